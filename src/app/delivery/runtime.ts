import { EspalierError, errorMessage, newId, Rng, systemClock, type Log } from '../../base/index.ts';
import type { Canary, ShadowComparison } from '../../delivery/index.ts';
import type { AnswerDelta, ChatRequest, ResolvedModel, RoutedRequest, TextRequest } from '../../http/index.ts';
import { LATEST, referenceOf, type AdapterVersion } from '../../registry/index.ts';
import { rougeL } from '../../training/index.ts';
import type { AppConfig } from '../config.ts';
import type { Platform } from '../platform.ts';
import { MeasuringThread } from './measure.ts';
import { isFault, observed, type ObservedAnswer } from './observe.ts';
import { Promotions } from './promotions.ts';
import { ShadowRunner } from './shadow-runner.ts';

/** How much of a canary's counts a crash can lose. */
const FLUSH_MS = 500;
/** Between two looks at canaries whose steps may end by their time. */
const TICK_MS = 2_000;

/** The two ways to answer a request: for its client, and by a shadow. */
export interface Answering<Request> {
  client(request: Request): AsyncIterable<AnswerDelta>;
  shadow(version: AdapterVersion, request: Request, signal: AbortSignal): AsyncIterable<AnswerDelta>;
}

/** What a server does about canaries, shadows and gates while it runs. */
export class DeliveryRuntime implements AsyncDisposable {
  readonly promotions: Promotions;
  readonly shadows: ShadowRunner;
  readonly #platform: Pick<Platform, 'registry' | 'delivery'>;
  readonly #measuring: MeasuringThread;
  readonly #log: Log;
  readonly #timers: readonly NodeJS.Timeout[];
  #isTicking = false;

  constructor(config: AppConfig, platform: Pick<Platform, 'registry' | 'delivery'>, log: Log) {
    this.#platform = platform;
    this.#log = log;
    this.#measuring = new MeasuringThread(config);
    this.promotions = new Promotions(platform, this.#measuring.measure);
    this.shadows = new ShadowRunner((error) => log.error({ error: errorMessage(error) }, 'a shadow was not recorded'));
    const flush = setInterval(() => this.#try(() => platform.delivery.canaries.flush()), FLUSH_MS);
    const tick = setInterval(() => void this.tick(), TICK_MS);
    this.#timers = [flush, tick];
  }

  /** Judges canaries, and promotes those whose steps have all ended well. A process that died in between is followed by one that goes on. */
  async tick(): Promise<void> {
    if (this.#isTicking) return;
    this.#isTicking = true;
    try {
      const { canaries } = this.#platform.delivery;
      for (const canary of canaries.tick()) await this.#promote(canary);
    } catch (error) {
      this.#log.error({ error: errorMessage(error) }, 'canaries could not be judged');
    } finally {
      this.#isTicking = false;
    }
  }

  /** A canary that this server cannot answer by. */
  onUnserved(canary: Canary): void {
    this.#count(canary, 'canary', newId('req_'), { isError: true, seconds: 0 });
  }

  /**
   * Answers a request, and counts and shadows it if its task has it so. A request that named no task is only answered.
   * @param request its seed is drawn here if the shadow is asked too, so that both answer alike if they can
   */
  answer<Request extends ChatRequest | TextRequest>(
    { routed, adapter }: ResolvedModel,
    request: Request,
    answering: Answering<Request>,
  ): AsyncIterable<AnswerDelta> {
    if (!routed) return answering.client(request);
    const { delivery } = this.#platform;
    const shadow = delivery.shadows.open(routed.tenant, routed.task);
    const numPrompts = 'prompts' in request ? request.prompts.length : 1;
    const isShadowed =
      shadow !== undefined &&
      request.numChoices * numPrompts === 1 &&
      adapter?.reference !== referenceOf(shadow) &&
      delivery.shadows.isAsked(shadow, routed.requestId);
    if (!isShadowed && !routed.trial) return answering.client(request);
    const asked = isShadowed && request.seed === null ? { ...request, seed: newSeed() } : request;
    return observed(answering.client(asked), systemClock, {
      onAnswer: (answer, seconds) => {
        this.#countTrial(routed, { isError: false, seconds });
        if (!isShadowed) return;
        const compare = (signal: AbortSignal): Promise<void> =>
          this.#compare(
            shadow,
            routed.requestId,
            answer,
            (version) => answering.shadow(version, asked, signal),
            signal,
          );
        this.shadows.submit({ run: compare, skip: () => this.#try(() => delivery.shadows.skip(shadow)) });
      },
      onFault: () => this.#countTrial(routed, { isError: true, seconds: 0 }),
    });
  }

  /** The same for what is no text: it is only counted. */
  async count<Result>({ routed }: ResolvedModel, work: () => Promise<Result>): Promise<Result> {
    if (!routed?.trial) return await work();
    const begunMs = systemClock.nowMs();
    try {
      const result = await work();
      this.#countTrial(routed, { isError: false, seconds: (systemClock.nowMs() - begunMs) / 1000 });
      return result;
    } catch (error) {
      if (isFault(error)) this.#countTrial(routed, { isError: true, seconds: 0 });
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.shadows[Symbol.dispose]();
    await this.#measuring[Symbol.asyncDispose]();
  }

  async #promote(canary: Canary): Promise<void> {
    const { canaries } = this.#platform.delivery;
    const request = {
      tenant: canary.tenant,
      reference: referenceOf(canary),
      alias: LATEST,
      actor: null,
      isGated: true,
    };
    try {
      await this.promotions.promote(request);
      canaries.promoted(canary);
    } catch (error) {
      const isFinal = error instanceof EspalierError && ['PROMOTION_REFUSED', 'ADAPTER_NOT_FOUND'].includes(error.code);
      if (isFinal) canaries.refused(canary, error.message);
      else this.#log.error({ canary: canary.id, error: errorMessage(error) }, 'a canary could not be promoted yet');
    }
  }

  async #compare(
    shadow: Parameters<Platform['delivery']['shadows']['add']>[0],
    requestId: string,
    primary: ObservedAnswer,
    ask: (version: AdapterVersion) => AsyncIterable<AnswerDelta>,
    signal: AbortSignal,
  ): Promise<void> {
    const { registry, delivery } = this.#platform;
    let answer: ObservedAnswer | undefined;
    let failure: unknown;
    try {
      const version = registry.resolve(shadow.tenant, referenceOf(shadow));
      const deltas = observed(ask(version), systemClock, {
        onAnswer: (told) => (answer = told),
        onFault: () => undefined,
      });
      for await (const _ of deltas);
    } catch (error) {
      if (signal.aborted) throw error;
      failure = error;
    }
    delivery.shadows.add(shadow, comparisonOf(requestId, primary, answer, failure));
  }

  #countTrial({ trial, requestId }: RoutedRequest, outcome: { isError: boolean; seconds: number }): void {
    if (trial) this.#count(trial.canary, trial.arm, requestId, outcome);
  }

  #count(...counted: Parameters<Platform['delivery']['canaries']['add']>): void {
    this.#try(() => this.#platform.delivery.canaries.add(...counted));
  }

  /** What goes wrong beside an answer must not fail it. */
  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#log.error({ error: errorMessage(error) }, 'counts of a canary or a shadow could not be written yet');
    }
  }
}

const NO_ANSWER: ObservedAnswer = { text: '', figures: { chars: 0, tokens: 0, ms: 0 } };

function comparisonOf(
  requestId: string,
  primary: ObservedAnswer,
  answer: ObservedAnswer | undefined,
  failure: unknown,
): ShadowComparison {
  const { text, figures } = answer ?? NO_ANSWER;
  return {
    requestId,
    error: answer ? null : errorMessage(failure),
    isEqual: answer !== undefined && text === primary.text,
    similarity: answer ? rougeL(text, primary.text) : 0,
    primary: primary.figures,
    shadow: figures,
  };
}

function newSeed(): number {
  return Rng.fromSeed(0, newId('')).nextUint32();
}
