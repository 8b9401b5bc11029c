import { fail } from '../base/index.ts';
import type { AnswerDelta, ModelEntry, ModelSelection, ResolvedModel, Services } from '../http/index.ts';
import { referenceOf, type AdapterVersion } from '../registry/index.ts';
import type { AdapterMix, AdapterSource, EngineStats } from '../serving/index.ts';
import { Quotas, type Principal } from '../tenancy/index.ts';
import type { Asking, ChatEngine } from './asking.ts';
import { chatDeltas } from './chat.ts';
import { embedInputs } from './embeddings.ts';
import { resolveMix } from './mixes.ts';
import type { Platform } from './platform.ts';
import { textDeltas } from './text-completions.ts';

/** Requests of one tenant at once, where it has no limit of its own. */
const DEFAULT_CONCURRENT = 64;
const MAX_CHOICES = 8;

export interface ServedBase {
  readonly name: string;
  readonly digest: string;
  /** When the server started, in seconds since 1970. */
  readonly created: number;
}

/** Composes registry, tenancy and engine into what the HTTP face needs. */
export function makeServices(platform: Platform, base: ServedBase, chat: ChatEngine): Services {
  const { registry, keys, tenants, usage } = platform;
  const quotas = new Quotas((tenant) => tenants.find(tenant)?.maxConcurrent ?? null, DEFAULT_CONCURRENT);
  const resolve = (principal: Principal, selection: ModelSelection): ResolvedModel => {
    const { model, adapters } = selection;
    if (!adapters) return resolveModel(platform, base, principal, selection);
    const alone = (reference: string): ResolvedModel => resolve(principal, { model: reference, task: null });
    return resolveMix(model, adapters, { name: base.name, digest: base.digest }, alone);
  };
  /** Whatever comes of the request, what it has used is recorded at its end. */
  const begin = async (
    principal: Principal,
    model: ResolvedModel,
    signal: AbortSignal,
  ): Promise<Asking & AsyncDisposable> => {
    const { tenant } = principal;
    const adapter = await sourceOf(platform, principal, model);
    const meter = { promptTokens: 0, completionTokens: 0, cachedTokens: 0 };
    const record = async (): Promise<void> => {
      if (tenant !== null) usage.add(tenant, model.adapter?.digest ?? null, meter);
    };
    return { tenant, adapter, signal, meter, [Symbol.asyncDispose]: record };
  };
  return {
    maxChoices: MAX_CHOICES,
    authenticate: (key) => keys.authenticate(key),
    admit: ({ tenant }) => quotas.admit(tenant),
    resolveModel: resolve,
    async *chat(principal, model, request, signal): AsyncGenerator<AnswerDelta, void, undefined> {
      await using asking = await begin(principal, model, signal);
      yield* chatDeltas(chat, asking, request);
    },
    async *complete(principal, model, request, signal): AsyncGenerator<AnswerDelta, void, undefined> {
      await using asking = await begin(principal, model, signal);
      yield* textDeltas(chat, asking, request);
    },
    async embed(principal, model, request, signal) {
      await using asking = await begin(principal, model, signal);
      return await embedInputs(chat, asking, request);
    },
    listModels: ({ tenant }) => [
      baseEntry(base),
      ...registry
        .list(tenant)
        .filter((version) => version.base.digest === base.digest)
        .map(adapterEntry),
    ],
    showModel: (principal, id) => {
      const { adapter } = resolve(principal, { model: id, task: null });
      return adapter ? adapterEntry(registry.resolve(principal.tenant, adapter.reference)) : baseEntry(base);
    },
    metricsText: async () => engineMetrics(await chat.engine.stats()),
    isReady: () => chat.engine.isAlive,
  };
}

function resolveModel(
  { registry }: Platform,
  base: ServedBase,
  { tenant }: Principal,
  { model, task }: ModelSelection,
): ResolvedModel {
  const ofBase = { name: base.name, digest: base.digest };
  if (model === base.name && task === null) return { modelName: base.name, base: ofBase, adapter: null };
  if (task !== null && model !== base.name) {
    fail('REQUEST_INVALID', `a task is chosen on the base: model must be ${base.name}, got ${JSON.stringify(model)}`, {
      param: 'model',
    });
  }
  if (task !== null && tenant === null) {
    fail(
      'REQUEST_INVALID',
      'a task is chosen for the key’s tenant, and an operator’s key has none: name the adapter in model',
      {
        param: 'metadata.task',
      },
    );
  }
  const version = task !== null && tenant !== null ? registry.route(tenant, task) : registry.resolve(tenant, model);
  if (version.base.digest !== base.digest) {
    fail(
      'ADAPTER_UNAVAILABLE',
      `${referenceOf(version)} belongs to the base ${version.base.name} (${version.base.digest}), this server has ${base.name} (${base.digest})`,
    );
  }
  const reference = referenceOf(version);
  return { modelName: reference, base: ofBase, adapter: { digest: version.digest, reference } };
}

/** Where the adapter of a resolved model, or each of its mix, is on disk. */
async function sourceOf(
  platform: Platform,
  principal: Principal,
  { adapter, mix }: ResolvedModel,
): Promise<AdapterSource | AdapterMix | null> {
  if (!adapter) return null;
  if (!mix) return adapterSource(platform, principal, adapter.reference);
  const parts = mix.map(async ({ reference, weight }) => ({
    source: await adapterSource(platform, principal, reference),
    weight,
  }));
  return { digest: adapter.digest, parts: await Promise.all(parts) };
}

async function adapterSource(platform: Platform, { tenant }: Principal, reference: string) {
  const version = platform.registry.resolve(tenant, reference);
  return { digest: version.digest, directory: await platform.registry.materialise(version) };
}

function baseEntry(base: ServedBase): ModelEntry {
  return { id: base.name, created: base.created, ownedBy: 'espalier', parent: null };
}

function adapterEntry(version: AdapterVersion): ModelEntry {
  return {
    id: referenceOf(version),
    created: Math.floor(version.createdAt / 1000),
    ownedBy: version.tenant,
    parent: version.base.name,
  };
}

/** Series of the engine in Prometheus' text format. */
function engineMetrics(stats: EngineStats): string {
  const series: readonly (readonly [name: string, type: 'gauge' | 'counter', help: string, value: number])[] = [
    ['espalier_engine_running_sequences', 'gauge', 'Sequences that take part in steps', stats.numRunning],
    ['espalier_engine_waiting_sequences', 'gauge', 'Sequences that wait to begin', stats.numWaiting],
    ['espalier_engine_cache_blocks', 'gauge', 'Blocks of the cache of keys and values', stats.cacheBlocks],
    ['espalier_engine_cache_blocks_free', 'gauge', 'Blocks that nobody reads', stats.cacheBlocksFree],
    ['espalier_engine_cache_blocks_cached', 'gauge', 'Of those, blocks with a cached prefix', stats.cacheBlocksCached],
    ['espalier_engine_prefix_hits_total', 'counter', 'Blocks of prompts that were in the cache', stats.prefixHits],
    ['espalier_engine_prefix_misses_total', 'counter', 'Blocks of prompts that were computed', stats.prefixMisses],
    ['espalier_engine_prefix_evictions_total', 'counter', 'Cached blocks given up', stats.prefixEvictions],
    ['espalier_engine_preemptions_total', 'counter', 'Sequences that were computed again', stats.preemptions],
    ['espalier_engine_resident_adapters', 'gauge', 'Adapters in memory', stats.residentAdapters],
    ['espalier_engine_resident_adapter_bytes', 'gauge', 'Bytes of adapters in memory', stats.residentAdapterBytes],
    ['espalier_engine_steps_total', 'counter', 'Forward passes', stats.steps],
    ['espalier_engine_generated_tokens_total', 'counter', 'Tokens generated', stats.generatedTokens],
    ['espalier_engine_prompt_tokens_total', 'counter', 'Tokens of admitted prompts', stats.promptTokens],
  ];
  return series
    .map(([name, type, help, value]) => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value}\n`)
    .join('');
}
