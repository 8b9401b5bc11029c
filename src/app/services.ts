import { fail } from '../base/index.ts';
import type { AnswerDelta, ModelEntry, ModelSelection, ResolvedModel, Services } from '../http/index.ts';
import type { TunedModel } from '../jobs/index.ts';
import { referenceOf, type AdapterVersion } from '../registry/index.ts';
import type { AdapterMix, AdapterSource } from '../serving/index.ts';
import { Quotas, type Principal } from '../tenancy/index.ts';
import { adapterSource, makeAdapterServices, requireBase } from './adapter-loading.ts';
import type { Asking, ChatEngine } from './answering/asking.ts';
import { chatDeltas } from './answering/chat.ts';
import { embedInputs } from './answering/embeddings.ts';
import { LoadedNames } from './loaded-names.ts';
import type { ServingMetrics } from './metrics/metrics.ts';
import { resolveMix } from './answering/mixes.ts';
import type { Platform } from './platform.ts';
import { makeTaskServices } from './task-routes.ts';
import { textDeltas } from './answering/text-completions.ts';

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
export function makeServices(
  platform: Platform,
  base: ServedBase,
  chat: ChatEngine,
  metrics: ServingMetrics,
  tuning: Pick<Services, 'files' | 'jobs'>,
): Services {
  const { registry, keys, tenants, usage } = platform;
  const quotas = new Quotas((tenant) => tenants.find(tenant)?.maxConcurrent ?? null, DEFAULT_CONCURRENT);
  const names = new LoadedNames();
  const resolve = (principal: Principal, selection: ModelSelection): ResolvedModel => {
    const { model, adapters } = selection;
    if (!adapters) return resolveModel(platform, base, names, principal, selection);
    const alone = (reference: string): ResolvedModel => resolve(principal, { model: reference, task: null });
    return resolveMix(model, adapters, { name: base.name, digest: base.digest }, alone);
  };
  /** Whatever comes of the request, what it has used is recorded at its end. */
  const begin = async (
    principal: Principal,
    model: ResolvedModel,
    signal: AbortSignal,
  ): Promise<Asking & Disposable> => {
    const { tenant } = principal;
    const adapter = await sourceOf(platform, principal, model);
    const meter = { promptTokens: 0, completionTokens: 0, cachedTokens: 0 };
    const record = (): void => {
      metrics.onUsage(tenant, model.adapter?.digest ?? null, meter);
      if (tenant !== null) usage.add(tenant, model.adapter?.digest ?? null, meter);
    };
    return { tenant, adapter, signal, meter, [Symbol.dispose]: record };
  };
  return {
    maxChoices: MAX_CHOICES,
    adapters: makeAdapterServices({ platform, engine: chat.engine, names, base }),
    files: tuning.files,
    jobs: tuning.jobs,
    tasks: makeTaskServices(registry),
    authenticate: (key) => keys.authenticate(key),
    admit: ({ tenant }) => quotas.admit(tenant),
    resolveModel: resolve,
    async *chat(principal, model, request, signal): AsyncGenerator<AnswerDelta, void, undefined> {
      using asking = await begin(principal, model, signal);
      yield* chatDeltas(chat, asking, request);
    },
    async *complete(principal, model, request, signal): AsyncGenerator<AnswerDelta, void, undefined> {
      using asking = await begin(principal, model, signal);
      yield* textDeltas(chat, asking, request);
    },
    async embed(principal, model, request, signal) {
      using asking = await begin(principal, model, signal);
      return await embedInputs(chat, asking, request);
    },
    listModels: ({ tenant }) => [
      baseEntry(base),
      ...names.of(tenant).map(([name, version]) => ({ ...adapterEntry(version), id: name })),
      ...registry
        .list(tenant)
        .filter((version) => version.base.digest === base.digest)
        .map(adapterEntry),
      ...platform.jobs
        .models(tenant)
        .filter((model) => model.base === base.name)
        .map(tunedEntry),
    ],
    showModel: (principal, id) => {
      const named = names.find(principal.tenant, id);
      if (named) return { ...adapterEntry(named), id };
      const tuned = platform.jobs.findModel(principal.tenant, id);
      if (tuned) return tunedEntry(tuned);
      const { adapter } = resolve(principal, { model: id, task: null });
      return adapter ? adapterEntry(registry.resolve(principal.tenant, adapter.reference)) : baseEntry(base);
    },
    metricsText: async () => metrics.text(chat.engine.isAlive ? await chat.engine.stats() : undefined),
    isReady: () => chat.engine.isAlive,
  };
}

function resolveModel(
  { registry, jobs }: Platform,
  base: ServedBase,
  names: LoadedNames,
  { tenant, keyId }: Principal,
  { model, task, session }: ModelSelection,
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
  // An `ft:` name is the name of one version for ever, so the answer can go by it.
  const tuned = task === null && model.startsWith('ft:') ? jobs.findModel(tenant, model) : undefined;
  const version =
    task !== null && tenant !== null
      ? registry.route(tenant, task, session ?? keyId)
      : (names.find(tenant, model) ?? registry.resolve(tenant, tuned?.reference ?? model));
  requireBase(version, base);
  const reference = referenceOf(version);
  return { modelName: tuned?.name ?? reference, base: ofBase, adapter: { digest: version.digest, reference } };
}

/** Where the adapter of a resolved model, or each of its mix, is on disk. */
async function sourceOf(
  platform: Platform,
  { tenant }: Principal,
  { adapter, mix }: ResolvedModel,
): Promise<AdapterSource | AdapterMix | null> {
  if (!adapter) return null;
  const sourceOfReference = (reference: string): Promise<AdapterSource> =>
    adapterSource(platform, tenant, platform.registry.resolve(tenant, reference));
  if (!mix) return sourceOfReference(adapter.reference);
  const parts = mix.map(async ({ reference, weight }) => ({
    source: await sourceOfReference(reference),
    weight,
  }));
  return { digest: adapter.digest, parts: await Promise.all(parts) };
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

function tunedEntry({ name, tenant, base, createdAt }: TunedModel): ModelEntry {
  return { id: name, created: Math.floor(createdAt / 1000), ownedBy: tenant, parent: base };
}
