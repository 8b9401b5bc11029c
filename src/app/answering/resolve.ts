/** From what a request names to the base, the adapter version or the mix that answers it. */
import { fail } from '../../base/index.ts';
import type { Canary } from '../../delivery/index.ts';
import type { ModelEntry, ModelSelection, ResolvedModel } from '../../http/index.ts';
import type { TunedModel } from '../../jobs/index.ts';
import { referenceOf, type AdapterVersion } from '../../registry/index.ts';
import type { AdapterMix, AdapterSource } from '../../serving/index.ts';
import type { Principal } from '../../tenancy/index.ts';
import { adapterSource } from '../adapters/adapter-loading.ts';
import { routeToVersion } from '../delivery/task-router.ts';
import { isPublished, type LoadedNames } from '../adapters/loaded-names.ts';
import type { Platform } from '../platform.ts';
import type { ServedBase, ServedBases } from '../served-bases.ts';
import { resolveMix } from './mixes.ts';
import { VirtualTokenCounts } from './virtual-token-counts.ts';

export class ModelResolver {
  readonly #platform: Platform;
  readonly #bases: ServedBases;
  readonly #names: LoadedNames;
  readonly #onUnserved: (canary: Canary) => void;
  readonly #virtualTokens = new VirtualTokenCounts();

  /** @param onUnserved told of a canary whose version this server cannot answer by */
  constructor(platform: Platform, bases: ServedBases, names: LoadedNames, onUnserved: (canary: Canary) => void) {
    this.#onUnserved = onUnserved;
    this.#platform = platform;
    this.#bases = bases;
    this.#names = names;
  }

  /**
   * @param requestId of a request whose task may have a canary or a shadow
   * @throws ADAPTER_NOT_FOUND also of what is another tenant's, or another base's; REQUEST_INVALID
   */
  resolve(principal: Principal, selection: ModelSelection, requestId: string): ResolvedModel {
    const { model, adapters } = selection;
    const base = this.#bases.find(model);
    if (adapters) {
      return resolveMix(model, adapters, base && baseOf(base), (reference) =>
        this.#resolveOne(principal, { model: reference, task: null }, requestId),
      );
    }
    return this.#resolveOne(principal, selection, requestId);
  }

  /** Where the adapter of a resolved model, or each of its mix, is on disk. */
  async sourceOf({ tenant }: Principal, { adapter, mix }: ResolvedModel): Promise<AdapterSource | AdapterMix | null> {
    if (!adapter) return null;
    const platform = this.#platform;
    const sourceOfReference = async (reference: string): Promise<AdapterSource> => {
      const source = await adapterSource(platform, tenant, platform.registry.resolve(tenant, reference));
      return { ...source, numVirtual: this.#virtualTokens.of(source) };
    };
    if (!mix) return sourceOfReference(adapter.reference);
    const parts = mix.map(async ({ reference, weight }) => ({ source: await sourceOfReference(reference), weight }));
    return { digest: adapter.digest, parts: await Promise.all(parts) };
  }

  /** The bases, the names that the tenant has loaded, and its adapters on these bases. */
  list({ tenant }: Principal): ModelEntry[] {
    return [
      ...this.#bases.all.map(baseEntry),
      ...this.#names
        .of(tenant)
        .filter(([, version]) => isPublished(this.#platform.registry, version))
        .map(([name, version]) => ({ ...adapterEntry(version), id: name })),
      ...this.#platform.registry
        .each(tenant)
        .filter((version) => this.#bases.has(version))
        .map(adapterEntry),
      ...this.#platform.jobs
        .models(tenant)
        .filter((model) => this.#bases.find(model.base))
        .map((model) => this.#tunedEntry(model)),
    ];
  }

  /** @throws ADAPTER_NOT_FOUND */
  show(principal: Principal, id: string): ModelEntry {
    const named = this.#findNamed(principal.tenant, id);
    if (named) return { ...adapterEntry(named), id };
    const tuned = this.#platform.jobs.findModel(principal.tenant, id);
    if (tuned) return this.#tunedEntry(tuned);
    const { adapter, base } = this.resolve(principal, { model: id, task: null }, '');
    if (!adapter) return baseEntry(this.#bases.ofDigest(base.digest));
    return adapterEntry(this.#platform.registry.resolve(principal.tenant, adapter.reference));
  }

  /** An exact version as a shadow is asked it. @throws ADAPTER_NOT_FOUND it belongs to a base that is not served here */
  ofVersion(version: AdapterVersion): ResolvedModel {
    const reference = referenceOf(version);
    const base = baseOf(this.#bases.ofVersion(version));
    return { modelName: reference, base, adapter: { digest: version.digest, reference } };
  }

  #resolveOne(
    { tenant, keyId }: Principal,
    { model, task, session }: ModelSelection,
    requestId: string,
  ): ResolvedModel {
    const named = this.#bases.find(model);
    if (named && task === null) return { modelName: named.name, base: baseOf(named), adapter: null };
    if (task !== null) {
      if (!named) this.#refuseTask(model);
      if (tenant === null) {
        const message =
          'a task is chosen for the key’s tenant, and an operator’s key has none: name the adapter in model';
        fail('REQUEST_INVALID', message, { param: 'metadata.task' });
      }
    }
    const { jobs, registry } = this.#platform;
    // An `ft:` name is the name of one version for ever, so the answer can go by it.
    const tuned = task === null && model.startsWith('ft:') ? jobs.findModel(tenant, model) : undefined;
    const routing =
      task === null || tenant === null
        ? undefined
        : routeToVersion(
            this.#platform,
            { tenant, task, session: session ?? keyId },
            (candidate) => this.#bases.has(candidate) && (!named || candidate.base.digest === named.digest),
            this.#onUnserved,
          );
    const version =
      routing?.version ?? this.#findNamed(tenant, model) ?? registry.resolve(tenant, tuned?.reference ?? model);
    const base = this.#bases.ofVersion(version);
    if (named && named !== base) {
      const what = `the task "${task}" is answered by ${referenceOf(version)}, which belongs to the base ${base.name}`;
      fail('ADAPTER_NOT_FOUND', `${what}, and model is ${named.name}`, { param: 'model' });
    }
    const reference = referenceOf(version);
    return {
      modelName: tuned?.name ?? reference,
      base: baseOf(base),
      adapter: { digest: version.digest, reference },
      ...(routing && task !== null && tenant !== null && { routed: { tenant, task, requestId, trial: routing.trial } }),
    };
  }

  /** What a name that the tenant has loaded points at, unless it was removed. */
  #findNamed(tenant: string | null, name: string): AdapterVersion | undefined {
    const version = this.#names.find(tenant, name);
    return version && isPublished(this.#platform.registry, version) ? version : undefined;
  }

  /** A name of a job's: for ever that of one version. */
  #tunedEntry({ name, reference, tenant, base, createdAt }: TunedModel): ModelEntry {
    const classes = this.#platform.registry.find(tenant, reference)?.classes ?? null;
    return { id: name, created: Math.floor(createdAt / 1000), ownedBy: tenant, parent: base, classes };
  }

  #refuseTask(model: string): never {
    const message = `a task is chosen on a base: model must be ${this.#bases.names}, got ${JSON.stringify(model)}`;
    return fail('REQUEST_INVALID', message, { param: 'model' });
  }
}

function baseOf({ name, digest }: ServedBase): ResolvedModel['base'] {
  return { name, digest };
}

function baseEntry(base: ServedBase): ModelEntry {
  return { id: base.name, created: base.created, ownedBy: 'espalier', parent: null, classes: null };
}

function adapterEntry(version: AdapterVersion): ModelEntry {
  return {
    id: referenceOf(version),
    created: Math.floor(version.createdAt / 1000),
    ownedBy: version.tenant,
    parent: version.base.name,
    classes: version.classes,
  };
}
