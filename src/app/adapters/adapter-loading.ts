import { fail } from '../../base/index.ts';
import type { AdapterServices, LoadRequest } from '../../http/index.ts';
import { parseReference, type AdapterVersion } from '../../registry/index.ts';
import type { AdapterSource, TierStats } from '../../serving/index.ts';
import type { Principal } from '../../tenancy/index.ts';
import { adapterEntry } from '../governance/entries.ts';
import { isLoadableName, isPublished, type LoadedNames } from './loaded-names.ts';
import { Turns } from './turns.ts';
import type { Platform } from '../platform.ts';
import type { ServedBases } from '../served-bases.ts';

interface Loading {
  readonly platform: Platform;
  readonly bases: ServedBases;
  readonly names: LoadedNames;
  /** A name that is loaded and one that is unloaded of the same adapter wait for one another: else the second would take the first one's pin. */
  readonly turns: Turns;
}

/** Where an adapter's files are, for the engine. @throws STORAGE_CORRUPT */
export async function adapterSource(
  { registry }: Platform,
  tenant: string | null,
  version: AdapterVersion,
): Promise<AdapterSource> {
  const directory = await registry.materialise(version);
  return { digest: version.digest, directory, tenant, sizeBytes: version.sizeBytes };
}

/** Beside what the API asks. */
export interface LoadedAdapters extends AdapterServices {
  /** Takes away the names whose versions have been removed, perhaps by another process, and their pins. */
  dropRemoved(): Promise<void>;
}

/** Loading and unloading by name: a name is the tenant's own, an adapter that has one stays in memory. */
export function makeAdapterServices(served: Omit<Loading, 'turns'>): LoadedAdapters {
  const loading: Loading = { ...served, turns: new Turns() };
  return {
    async load(principal, request) {
      const version = await load(loading, principal, request);
      const entry = adapterEntry(principal.keyId, 'adapter.load', version, { name: request.name });
      loading.platform.audit.record({ ...entry, tenant: principal.tenant });
    },
    async unload(principal, name) {
      const { version, ...unloaded } = await unload(loading, principal, name);
      const entry = adapterEntry(principal.keyId, 'adapter.unload', version, { name });
      loading.platform.audit.record({ ...entry, tenant: principal.tenant });
      return unloaded;
    },
    async list({ tenant }, limit) {
      const { bases, names } = loading;
      await dropRemoved(loading, tenant);
      const lists = await Promise.all(
        bases.all.map(async ({ name, engine }) =>
          (await engine.residency(tenant, limit)).map((residence) => ({ ...residence, base: name })),
        ),
      );
      const residences = lists.length === 1 ? lists[0] : latestFirst(lists.flat()).slice(0, limit);
      const namesOf = new Map<string, string[]>();
      for (const [name, { digest }] of names.of(tenant)) namesOf.set(digest, [...(namesOf.get(digest) ?? []), name]);
      return residences.map((residence) => ({ ...residence, names: namesOf.get(residence.digest) ?? [] }));
    },
    async dropRemoved() {
      await Promise.all(loading.names.tenants().map((tenant) => dropRemoved(loading, tenant)));
    },
    async tiers() {
      const stats = await Promise.all(loading.bases.all.map(({ engine }) => engine.stats()));
      return {
        ready: sumOfTiers(stats.map(({ residency }) => residency.ready)),
        host: sumOfTiers(stats.map(({ residency }) => residency.host)),
      };
    },
  };
}

async function load(
  loading: Loading,
  { tenant }: Principal,
  { name, reference, isInPlace }: LoadRequest,
): Promise<AdapterVersion> {
  const { platform, bases, names, turns } = loading;
  const refuse = (message: string, param: string): never => fail('REQUEST_INVALID', message, { param });
  if (!isLoadableName(name)) {
    refuse(
      `lora_name must be letters, digits, ".", "_" and "-", at most 128, got ${JSON.stringify(name)}`,
      'lora_name',
    );
  }
  if (bases.find(name)) refuse(`${name} is a base of this server: choose another name`, 'lora_name');
  if (!parseReference(reference)) {
    const forms = 'TENANT/TASK, TENANT/TASK@VERSION, TENANT/TASK@ALIAS or sha256:…';
    refuse(`lora_path must be a reference of the registry (${forms}): no path and no URL is ever read`, 'lora_path');
  }
  await dropRemoved(loading, tenant);
  const before = names.find(tenant, name);
  if (before && !isInPlace) refuseLoaded(name);
  names.requireRoom(tenant, name);
  const version = platform.registry.resolve(tenant, reference);
  const { engine } = bases.ofVersion(version);
  const replaced = await turns.take(keyOf(tenant, version), async () => {
    await engine.pin(await adapterSource(platform, tenant, version));
    const now = names.find(tenant, name);
    if (now && !isInPlace) {
      // Somebody else took the name meanwhile.
      if (!names.hasDigest(tenant, version.digest)) await engine.unload(version.digest, tenant);
      refuseLoaded(name);
    }
    names.set(tenant, name, version);
    return now;
  });
  // Requests in flight end on the version with which they began.
  if (replaced) await letGo(loading, tenant, replaced);
  return version;
}

/** Unloads what no name of the tenant has any more. @returns undefined where one has it */
function letGo({ bases, names, turns }: Loading, tenant: string | null, version: AdapterVersion) {
  return turns.take(keyOf(tenant, version), async () => {
    if (names.hasDigest(tenant, version.digest)) return undefined;
    return bases.ofVersion(version).engine.unload(version.digest, tenant);
  });
}

async function dropRemoved(loading: Loading, tenant: string | null): Promise<void> {
  const { names, platform } = loading;
  const removed = names.of(tenant).filter(([, version]) => !isPublished(platform.registry, version));
  for (const [name] of removed) names.delete(tenant, name);
  await Promise.all(removed.map(([, version]) => letGo(loading, tenant, version)));
}

function keyOf(tenant: string | null, { digest }: AdapterVersion): string {
  return JSON.stringify([tenant, digest]);
}

async function unload(loading: Loading, { tenant }: Principal, name: string) {
  const { names } = loading;
  const version = names.find(tenant, name);
  if (!version) {
    return fail('ADAPTER_NOT_FOUND', `The lora adapter '${name}' cannot be found.`, { param: 'lora_name' });
  }
  names.delete(tenant, name);
  const { digest } = version;
  const kept = { freedBytes: 0, inUseBytes: 0, sharedBytes: version.sizeBytes };
  return { version, digest, ...((await letGo(loading, tenant, version)) ?? kept) };
}

function latestFirst<T extends { readonly lastUsedMs: number | null }>(residences: readonly T[]): T[] {
  return residences.toSorted((a, b) => (b.lastUsedMs ?? 0) - (a.lastUsedMs ?? 0));
}

/** Each engine has its own tiers; a router is told of the whole. */
function sumOfTiers(tiers: readonly TierStats[]): TierStats {
  const sum = (of: (tier: TierStats) => number): number => tiers.reduce((total, tier) => total + of(tier), 0);
  return {
    count: sum(({ count }) => count),
    sizeBytes: sum(({ sizeBytes }) => sizeBytes),
    heldBytes: sum(({ heldBytes }) => heldBytes),
    budgetBytes: sum(({ budgetBytes }) => budgetBytes),
    numEvicted: sum(({ numEvicted }) => numEvicted),
  };
}

function refuseLoaded(name: string): never {
  const message = `The lora adapter '${name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.`;
  return fail('REQUEST_INVALID', message, { param: 'lora_name' });
}
