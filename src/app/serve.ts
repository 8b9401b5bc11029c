import { EspalierError, epochSeconds, systemClock, type Log } from '../base/index.ts';
import { startServer, type RunningServer } from '../http/index.ts';
import { DEFAULT_ENGINE, EngineClient } from '../serving/index.ts';
import { openChatRenderer, vocabularyBytes } from '../text/index.ts';
import { describeBase, resolveBase, type ModelProgress } from './bases.ts';
import type { AppConfig } from './config.ts';
import { ServingMetrics } from './metrics/metrics.ts';
import { openPlatform, type Platform } from './platform.ts';
import { makeServices } from './services.ts';

export interface ServeOptions {
  readonly base: string;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly maxSequences?: number | undefined;
  readonly cacheTokens?: number | undefined;
  /** Next tokens of a sequence that are guessed at a time; 0 is none. */
  readonly speculate?: number | undefined;
  /** Memory for adapters that are ready, those in use included. */
  readonly adapterBytes?: number | undefined;
  /** Memory for the files of adapters, so that a load reads no disk. */
  readonly hostBytes?: number | undefined;
}

export interface Serving extends AsyncDisposable {
  readonly url: string;
  readonly baseName: string;
  readonly instructionSet: string;
  readonly platform: Platform;
  /** Rejects when the engine has ended for good: there is nothing left to serve. */
  readonly failed: Promise<never>;
}

const DEFAULT_ADAPTER_BYTES = 2 ** 30;
const DEFAULT_HOST_BYTES = 2 ** 30;
/** How much of the usage counts a crash can lose. */
const USAGE_FLUSH_MS = 5_000;

/** Starts engine and HTTP server. Disposing of the result lets requests finish, then stops both. */
export async function serve(
  config: AppConfig,
  options: ServeOptions,
  log: Log,
  onModelProgress?: ModelProgress,
): Promise<Serving> {
  const base = await resolveBase(config, options.base, onModelProgress);
  const renderer = openChatRenderer(base.open.path);
  const { cacheTokens = DEFAULT_ENGINE.cacheTokens } = options;
  await using stack = new AsyncDisposableStack();
  const platform = stack.use(await openPlatform(config));
  await platform.registry.sweep();
  const flushing = setInterval(() => platform.usage.flush(), USAGE_FLUSH_MS);
  stack.defer(() => clearInterval(flushing));
  const metrics = new ServingMetrics();
  const { promise: failed, reject: giveUp } = Promise.withResolvers<never>();
  // Whoever waits for it hears of it; nobody has to.
  failed.catch(() => undefined);
  const { vocabSize, hiddenSize } = describeBase(base).config;
  const engine = stack.use(
    await EngineClient.start(
      {
        base: base.open,
        threads: config.threads,
        engine: {
          ...DEFAULT_ENGINE,
          maxSequences: options.maxSequences ?? DEFAULT_ENGINE.maxSequences,
          cacheTokens,
          maxDraftTokens: options.speculate ?? DEFAULT_ENGINE.maxDraftTokens,
        },
        vocabulary: renderer.tokenizer.eosIds.length > 0 ? vocabularyBytes(renderer.tokenizer, vocabSize) : null,
        residency: {
          readyBytes: options.adapterBytes ?? DEFAULT_ADAPTER_BYTES,
          hostBytes: options.hostBytes ?? DEFAULT_HOST_BYTES,
        },
      },
      {
        observer: metrics,
        onLoad: (load) => metrics.onLoad(load),
        onCrash(reason, willRestart) {
          metrics.onCrash();
          log.error({ reason, willRestart }, 'the engine stopped');
          if (!willRestart) giveUp(new EspalierError('ENGINE_UNAVAILABLE', `the engine stopped for good: ${reason}`));
        },
      },
    ),
  );
  const served = { name: base.name, digest: engine.baseDigest, created: epochSeconds(systemClock) };
  const services = makeServices(platform, served, { engine, renderer, vocabSize, hiddenSize }, metrics);
  const server: RunningServer = stack.use(await startServer(services, { host: options.host, port: options.port, log }));
  const owned = stack.move();
  return {
    url: server.url,
    baseName: base.name,
    instructionSet: engine.instructionSet,
    platform,
    failed,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
