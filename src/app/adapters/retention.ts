import { referenceOf, type AdapterVersion } from '../../registry/index.ts';
import type { AppConfig } from '../config.ts';
import { ACTOR_CLI, adapterEntry } from '../governance/entries.ts';
import { openPlatform, type Platform } from '../platform.ts';

export interface RetentionOptions {
  /** Only this tenant's versions; undefined: everybody's. */
  readonly tenant: string | undefined;
  /** The newest versions of each task that stay whatever points at them. */
  readonly keep: number;
  /** Says what would go. */
  readonly isDryRun: boolean;
}

export interface RetentionReport {
  readonly removed: readonly string[];
  /** Of the removed versions' files; those that others share stay on the disk. */
  readonly sizeBytes: number;
}

/** Of one task's versions those that retention removes: neither among the newest, nor held by a name that somebody may ask. */
export function outdated(
  versions: readonly AdapterVersion[],
  keep: number,
  isHeld: (version: AdapterVersion) => boolean,
): AdapterVersion[] {
  return versions
    .toSorted((a, b) => b.version - a.version)
    .slice(keep)
    .filter((version) => !isHeld(version));
}

/**
 * Removes versions that are old and that nothing names: no alias, no split, no canary or shadow, no tag, no fine-tuning job or checkpoint. Tensors that other
 * versions share stay.
 */
export async function collectAdapters(config: AppConfig, options: RetentionOptions): Promise<RetentionReport> {
  await using platform = await openPlatform(config);
  const { registry } = platform;
  const isHeld = holderOf(platform);
  const going = tasksOf(platform, options.tenant).flatMap((versions) => outdated(versions, options.keep, isHeld));
  if (!options.isDryRun) {
    for (const version of going) {
      const note = (removed: AdapterVersion): void =>
        void platform.audit.record(
          adapterEntry(ACTOR_CLI, 'adapter.remove', removed, { rule: `keep ${options.keep}` }),
        );
      await registry.remove(null, referenceOf(version), note);
    }
  }
  return {
    removed: going.map(referenceOf),
    sizeBytes: going.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

function holderOf({ registry, delivery, jobs }: Platform): (version: AdapterVersion) => boolean {
  const tuned = new Set(jobs.models(null).map(({ reference }) => reference));
  return (version) => {
    const { tenant, task } = version;
    const parts = registry.split(tenant, task)?.entries ?? [];
    return (
      tuned.has(referenceOf(version)) ||
      registry.aliasesOf(version).length > 0 ||
      registry.tagsOf(version).length > 0 ||
      delivery.userOf(version) !== undefined ||
      parts.some((part) => part.version === String(version.version))
    );
  };
}

/** The versions of each task. */
function tasksOf({ registry }: Platform, tenant: string | undefined): AdapterVersion[][] {
  const tasks = new Map<string, AdapterVersion[]>();
  for (let after: string | undefined; ;) {
    const page = registry.search(tenant ?? null, { after });
    for (const version of page) {
      const key = `${version.tenant}/${version.task}`;
      tasks.set(key, [...(tasks.get(key) ?? []), version]);
    }
    const last = page.at(-1);
    if (!last) return [...tasks.values()];
    after = referenceOf(last);
  }
}
