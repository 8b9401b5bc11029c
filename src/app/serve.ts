import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { EspalierError, epochSeconds, errorMessage, fail, systemClock, type Clock, type Log } from '../base/index.ts';
import { startServer, type RunningServer } from '../http/index.ts';
import type { WeightFormat } from '../numeric/index.ts';
import { DEFAULT_ENGINE, EngineClient, longestSequence } from '../serving/index.ts';
import { longestWord, openChatRenderer, vocabularyBytes } from '../text/index.ts';
import { describeBase, resolveBase, type Base, type ModelProgress } from './bases.ts';
import type { AppConfig } from './config.ts';
import { DeliveryRuntime } from './delivery/runtime.ts';
import { ServingMetrics } from './metrics/metrics.ts';
import { resumeErasures } from './governance/erasure.ts';
import { openPlatform, type Platform } from './platform.ts';
import { ServedBases, type ServedBase } from './served-bases.ts';
import { makeServices } from './services.ts';
import { startTuning } from './tuning/tuning.ts';

export interface ServeOptions {
  /** Each has an engine on a thread of its own. At least one. */
  readonly bases: readonly string[];
  /** How the bases' weights are held in memory; bf16 unless told. */
  readonly format?: WeightFormat | undefined;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Of each base. */
  readonly maxSequences?: number | undefined;
  /** Of each base. */
  readonly cacheTokens?: number | undefined;
  /** Next tokens of a sequence that are guessed at a time; 0 is none. */
  readonly speculate?: number | undefined;
  /** Memory for adapters that are ready, those in use included: divided evenly among the bases. */
  readonly adapterBytes?: number | undefined;
  /** Memory for the files of adapters, so that a load reads no disk: divided likewise. */
  readonly hostBytes?: number | undefined;
  /** Training processes of fine-tuning jobs at once; 0: they are queued for another server. One unless told. */
  readonly jobs?: number | undefined;
  /** Supervised jobs of one base that share a training process, at most; four unless told. */
  readonly jobsTogether?: number | undefined;
  /** Of rates per minute, and of the dates of answers and traffic; the system’s unless told. */
  readonly clock?: Clock | undefined;
}

export interface Serving extends AsyncDisposable {
  readonly url: string;
  readonly baseNames: readonly string[];
  readonly instructionSet: string;
  readonly platform: Platform;
  /** Rejects when an engine has ended for good: whoever watches over the server has to start it again. */
  readonly failed: Promise<never>;
}

/** What one of several engines may take of the machine. */
interface Share {
  readonly threads: number | undefined;
  readonly readyBytes: number;
  readonly hostBytes: number;
}

const DEFAULT_ADAPTER_BYTES = 2 ** 30;
const DEFAULT_HOST_BYTES = 2 ** 30;
const DEFAULT_JOBS = 1;
const DEFAULT_JOBS_TOGETHER = 4;
/** Beside src/ and beside dist/ alike. */
const CONSOLE_FOLDER = fileURLToPath(new URL('../../console/dist/', import.meta.url));
/** How much of the usage counts a crash can lose, and how long the caches of a tenant outlive it. */
const USAGE_FLUSH_MS = 5_000;

/**
 * Starts engines and HTTP server. Disposing of the result lets requests finish, then stops them.
 * @throws USAGE_INVALID no base is named, or one twice
 */
export async function serve(
  config: AppConfig,
  options: ServeOptions,
  log: Log,
  onModelProgress?: ModelProgress,
): Promise<Serving> {
  const bases = await resolveBases(config, options.bases, options.format, onModelProgress);
  await using stack = new AsyncDisposableStack();
  const platform = stack.use(await openPlatform(config));
  await platform.registry.sweep();
  await platform.delivery.sweep();
  try {
    await resumeErasures(config, platform);
  } catch (error) {
    // It goes on at the next start, or when it is ordered again; that is no reason to answer nobody.
    log.error({ error: errorMessage(error) }, 'an erasure of a tenant has not ended');
  }
  const metrics = new ServingMetrics();
  const { promise: failed, reject: giveUp } = Promise.withResolvers<never>();
  // Whoever waits for it hears of it; nobody has to.
  failed.catch(() => undefined);
  const served: ServedBase[] = [];
  for (const [index, base] of bases.entries()) {
    const share = shareOf(config, options, bases.length, index);
    const one = await startBase(base, options, share, metrics, log, giveUp);
    stack.use(one.engine);
    served.push(one);
  }
  const limits = {
    maxConcurrent: options.jobs ?? DEFAULT_JOBS,
    maxTogether: options.jobsTogether ?? DEFAULT_JOBS_TOGETHER,
  };
  const tuning = stack.use(await startTuning(config, platform, bases, limits, log));
  const { clock = systemClock } = options;
  const delivery = stack.use(new DeliveryRuntime(config, platform, log));
  const services = makeServices(config, platform, new ServedBases(served), metrics, tuning, delivery, clock);
  const keepUp = (): void => {
    try {
      platform.usage.flush();
    } catch (error) {
      // What could not be written stays gathered.
      log.warn({ error: errorMessage(error) }, 'usage is kept for later');
    }
    Promise.all([services.watch.look(), services.adapters.dropRemoved()]).catch((error: unknown) =>
      log.error({ error: errorMessage(error) }, 'what was erased or removed stays in memory'),
    );
  };
  const upkeep = setInterval(keepUp, USAGE_FLUSH_MS);
  stack.defer(() => clearInterval(upkeep));
  // A clock that is given says what time it is; how long something took is measured.
  const dating: Clock = { nowMs: () => systemClock.nowMs(), epochMs: () => clock.epochMs() };
  const { host, port } = options;
  const server: RunningServer = stack.use(
    await startServer(services, { host, port, log, clock: dating, consoleFolder: CONSOLE_FOLDER }),
  );
  const owned = stack.move();
  return {
    url: server.url,
    baseNames: served.map(({ name }) => name),
    instructionSet: served[0].engine.instructionSet,
    platform,
    failed,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function resolveBases(
  config: AppConfig,
  names: readonly string[],
  format: WeightFormat | undefined,
  onModelProgress: ModelProgress | undefined,
): Promise<Base[]> {
  const bases: Base[] = [];
  for (const name of names) {
    const base = await resolveBase(config, name, onModelProgress, format);
    const same = bases.find((other) => other.name === base.name || other.digest === base.digest);
    if (same) {
      const message = `${name} is the same base as ${same.name}: name each once, under names that differ`;
      fail('USAGE_INVALID', message, { param: '--base' });
    }
    bases.push(base);
  }
  if (bases.length === 0) fail('USAGE_INVALID', 'name a base', { param: '--base' });
  return bases;
}

/** Even parts of the cores and of the memory for adapters; a core that is left over goes to the earlier bases. */
export function shareOf(
  { threads }: Pick<AppConfig, 'threads'>,
  {
    adapterBytes = DEFAULT_ADAPTER_BYTES,
    hostBytes = DEFAULT_HOST_BYTES,
  }: Pick<ServeOptions, 'adapterBytes' | 'hostBytes'>,
  numBases: number,
  index: number,
): Share {
  // Alone, a base leaves it to the kernels how many threads are best.
  if (numBases === 1) return { threads, readyBytes: adapterBytes, hostBytes };
  const cores = threads ?? availableParallelism();
  return {
    threads: Math.max(1, Math.floor(cores / numBases) + (index < cores % numBases ? 1 : 0)),
    readyBytes: Math.floor(adapterBytes / numBases),
    hostBytes: Math.floor(hostBytes / numBases),
  };
}

async function startBase(
  base: Base,
  {
    maxSequences = DEFAULT_ENGINE.maxSequences,
    cacheTokens = DEFAULT_ENGINE.cacheTokens,
    speculate = DEFAULT_ENGINE.maxDraftTokens,
  }: ServeOptions,
  { threads, readyBytes, hostBytes }: Share,
  metrics: ServingMetrics,
  log: Log,
  giveUp: (error: EspalierError) => void,
): Promise<ServedBase> {
  const renderer = openChatRenderer(base.open.path);
  const { vocabSize, hiddenSize, contextLength: ofBase } = describeBase(base).config;
  // A request that names no length gets what there is room for, not what there would be.
  const contextLength = longestSequence(ofBase, cacheTokens);
  const vocabulary = vocabularyBytes(renderer.tokenizer, vocabSize);
  const maxPromptBytes = contextLength * longestWord(vocabulary);
  const observer = metrics.ofBase(base.name);
  const engine = await EngineClient.start(
    {
      base: base.open,
      threads,
      engine: { ...DEFAULT_ENGINE, maxSequences, cacheTokens, maxDraftTokens: speculate },
      vocabulary: renderer.tokenizer.eosIds.length > 0 ? vocabulary : null,
      residency: { readyBytes, hostBytes },
    },
    {
      observer,
      onLoad: (load) => observer.onLoad(load),
      onCrash(reason, willRestart) {
        observer.onCrash();
        log.error({ base: base.name, reason, willRestart }, 'the engine stopped');
        if (willRestart) return;
        const message = `the engine of ${base.name} stopped for good: ${reason}`;
        giveUp(new EspalierError('ENGINE_UNAVAILABLE', message));
      },
    },
  );
  const { name } = base;
  const created = epochSeconds(systemClock);
  const ofBaseModel = { vocabSize, hiddenSize, contextLength, maxPromptBytes };
  return { name, digest: engine.baseDigest, created, engine, renderer, ...ofBaseModel };
}
