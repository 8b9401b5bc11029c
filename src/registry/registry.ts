import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fail, type Clock, type Digest, type Problem } from '../base/index.ts';
import { BlobStore, sweepTemporaries, type Database, type PlainFile, type Vault } from '../storage/index.ts';
import { referenceOf, type AdapterVersion } from './adapter-version.ts';
import { aliasHistory, checkAlias, LATEST, moveAlias, rollBackAlias, type AliasChange } from './aliases.ts';
import { eachVersion, findVersion, listVersions, type Page } from './catalog.ts';
import { holdingsOf, requireAllowance, type Allowance, type Holdings } from './holdings.ts';
import { materialiseVersion, removeFolder } from './materialise.ts';
import { publishArtefact, type PublishInfo, type PublishResult } from './publish.ts';
import { failUnknown } from './reference.ts';
import { findReference, resolveReference } from './resolve.ts';
import { listRoutes, routeTask } from './routes.ts';
import { findSplit, setSplit, type Split, type SplitEntry } from './splits.ts';
import { changeTags, searchVersions, tagsOf, type Search } from './tags.ts';
import { dataOf, type DataRole, type KeptData } from './training-data.ts';
import { sweepBlobs, verifyVersions } from './upkeep.ts';

/**
 * The adapters of all tenants. Look-ups are synchronous and take one or two indexed reads; what moves files is asynchronous. A
 * `tenant` of null is the operator, who sees every tenant's adapters; for a tenant the others' do not exist.
 */
export class Registry {
  readonly #database: Database;
  readonly #blobs: BlobStore;
  readonly #folders: string;
  readonly #clock: Clock;

  private constructor(database: Database, blobs: BlobStore, folders: string, clock: Clock) {
    this.#database = database;
    this.#blobs = blobs;
    this.#folders = folders;
    this.#clock = clock;
  }

  /** @param home its sub-folders `blobs` and `adapters` belong to the registry; with a vault, readable adapters are in its scratch folder */
  static async open(database: Database, home: string, clock: Clock, vault?: Vault): Promise<Registry> {
    const blobs = await BlobStore.open(join(home, 'blobs'), clock, vault);
    const folders = join(vault?.scratch ?? home, 'adapters');
    await mkdir(folders, { recursive: true });
    await sweepTemporaries(folders, clock);
    return new Registry(database, blobs, folders, clock);
  }

  /** See {@link publishArtefact}. */
  publish(tenant: string, task: string, artefactFolder: string, info: PublishInfo): Promise<PublishResult> {
    return publishArtefact(this.#database, this.#blobs, this.#clock, { tenant, task }, artefactFolder, info);
  }

  /** See {@link resolveReference}. @throws ADAPTER_NOT_FOUND */
  resolve(tenant: string | null, reference: string): AdapterVersion {
    return resolveReference(this.#database, tenant, reference);
  }

  /** The same, or undefined where {@link resolve} throws. */
  find(tenant: string | null, reference: string): AdapterVersion | undefined {
    return findReference(this.#database, tenant, reference);
  }

  /** See {@link routeTask}. @throws ADAPTER_NOT_FOUND */
  route(tenant: string, task: string, session: string): AdapterVersion {
    return routeTask(this.#database, tenant, task, session);
  }

  /** Who answers a task beside, or instead of, the alias `latest`; undefined: nobody. */
  split(tenant: string, task: string): Split | undefined {
    return findSplit(this.#database, tenant, task);
  }

  /** Takes effect for the next request. See {@link setSplit}. @throws REQUEST_INVALID */
  setSplit(tenant: string, task: string, entries: readonly SplitEntry[]): void {
    this.#database.transaction(() => setSplit(this.#database, this.#clock, tenant, task, entries));
  }

  /** What answers each task of a tenant, in the order of the tasks, behind `afterTask`. */
  routes(tenant: string, limit?: number, afterTask?: string): AdapterVersion[] {
    return listRoutes(this.#database, tenant, limit, afterTask);
  }

  /** Before work that would be in vain. @param sizeBytes of the version that would come @throws QUOTA_EXCEEDED */
  requireRoom(tenant: string, sizeBytes: number, allowance: Allowance): void {
    requireAllowance(this.#database, tenant, sizeBytes, allowance);
  }

  /** What a tenant has here, in versions and bytes. */
  holdings(tenant: string): Holdings {
    return holdingsOf(this.#database, tenant);
  }

  /** The blobs that a tenant's versions name, manifests and training data included, each once; others may name them too. */
  digests(tenant: string): Digest[] {
    return this.#database
      .all<{ digest: Digest }>(
        `SELECT digest FROM adapter_versions WHERE tenant = ?1 UNION
         SELECT f.digest FROM adapter_files AS f JOIN adapter_versions AS v ON v.id = f.version_id WHERE v.tenant = ?1 UNION
         SELECT digest FROM adapter_data WHERE tenant = ?1`,
        tenant,
      )
      .map(({ digest }) => digest);
  }

  /** Removes those of these blobs that no version names any more, with their folders. @returns how many */
  release(digests: readonly Digest[]): Promise<number> {
    return this.#sweep(digests);
  }

  list(tenant: string | null, page: Page = {}): AdapterVersion[] {
    return listVersions(this.#database, tenant, page);
  }

  /** See {@link eachVersion}. */
  each(tenant: string | null): Generator<AdapterVersion, void, undefined> {
    return eachVersion(this.#database, tenant);
  }

  /** See {@link searchVersions}. */
  search(tenant: string | null, search: Search): AdapterVersion[] {
    return searchVersions(this.#database, tenant, search);
  }

  tagsOf(version: AdapterVersion): string[] {
    return tagsOf(this.#database, version);
  }

  /** See {@link changeTags}. @throws ADAPTER_NOT_FOUND REQUEST_INVALID */
  tag(
    tenant: string | null,
    reference: string,
    change: { readonly add: readonly string[]; readonly remove: readonly string[] },
  ): AdapterVersion {
    return this.#database.transaction(() => {
      const version = this.resolve(tenant, reference);
      changeTags(this.#database, this.#clock, version, change);
      return version;
    });
  }

  /** Adds scores that were measured later; one of the same name takes the old one's place. They are no part of what a version is. */
  recordMetrics({ tenant, task, version }: AdapterVersion, metrics: Readonly<Record<string, number>>): void {
    this.#database.run(
      'UPDATE adapter_versions SET metrics = json_patch(metrics, ?) WHERE tenant = ? AND task = ? AND version = ?',
      JSON.stringify(metrics),
      tenant,
      task,
      version,
    );
  }

  /** What a version was trained on, as far as it was kept. */
  dataOf(version: AdapterVersion): KeptData[] {
    return dataOf(this.#database, version);
  }

  /** A version's kept data, for reading. @throws STORAGE_CORRUPT it is missing or damaged */
  async data(version: AdapterVersion, role: DataRole): Promise<PlainFile | undefined> {
    const kept = this.dataOf(version).find((data) => data.role === role);
    if (!kept) return undefined;
    const state = await this.#blobs.verify(kept.digest);
    if (state === 'whole') return await this.#blobs.plain(kept.digest);
    return fail('STORAGE_CORRUPT', `the ${role} data of ${referenceOf(version)} (${kept.digest}) is ${state}`);
  }

  /**
   * Points an alias at a version.
   * @throws ADAPTER_NOT_FOUND REQUEST_INVALID
   */
  promote(tenant: string | null, reference: string, alias: string = LATEST): AdapterVersion {
    checkAlias(alias);
    return this.#database.transaction(() => {
      const version = this.resolve(tenant, reference);
      moveAlias(this.#database, version, alias, this.#clock);
      return version;
    });
  }

  /** See {@link rollBackAlias}. @throws REQUEST_INVALID */
  rollback(tenant: string, task: string, alias: string = LATEST): AdapterVersion {
    return this.#database.transaction(() => {
      const version = rollBackAlias(this.#database, tenant, task, alias, this.#clock);
      return findVersion(this.#database, 'byVersion', tenant, task, version) ?? failUnknown(`${tenant}/${task}`);
    });
  }

  history(tenant: string, task: string, alias: string = LATEST): AliasChange[] {
    return aliasHistory(this.#database, tenant, task, alias);
  }

  /** The aliases that point at a version. */
  aliasesOf({ tenant, task, version }: AdapterVersion): string[] {
    return this.#database
      .all<{ alias: string }>(
        'SELECT alias FROM aliases WHERE tenant = ? AND task = ? AND version = ? ORDER BY alias',
        tenant,
        task,
        version,
      )
      .map(({ alias }) => alias);
  }

  /**
   * Removes a version and the blobs that nobody else uses. The task's last version takes the aliases with it.
   * @param onRemove called inside the transaction: what it throws keeps the version
   * @throws ADAPTER_NOT_FOUND
   * @throws ADAPTER_IN_USE an alias or the task's split has it and the task has other versions: what is served must not change by accident
   */
  async remove(
    tenant: string | null,
    reference: string,
    onRemove?: (version: AdapterVersion) => void,
  ): Promise<AdapterVersion> {
    const [removed, data] = this.#database.transaction(() => {
      const version = this.resolve(tenant, reference);
      const kept = this.dataOf(version);
      const { tenant: owner, task } = version;
      const aliases = this.aliasesOf(version);
      const count = this.#database.get<{ n: number }>(
        'SELECT count(*) AS n FROM adapter_versions WHERE tenant = ? AND task = ?',
        owner,
        task,
      );
      if (aliases.length > 0 && count?.n !== 1) {
        fail(
          'ADAPTER_IN_USE',
          `${referenceOf(version)} is what ${aliases.map((alias) => `@${alias}`).join(', ')} points at: promote another version first`,
        );
      }
      const isRouted = this.split(owner, task)?.entries.some((entry) => entry.version === String(version.version));
      if (isRouted === true && count?.n !== 1) {
        fail('ADAPTER_IN_USE', `${referenceOf(version)} answers a part of ${owner}/${task}: change its routes first`);
      }
      if (count?.n === 1) {
        for (const table of ['aliases', 'route_splits']) {
          this.#database.run(`DELETE FROM ${table} WHERE tenant = ? AND task = ?`, owner, task);
        }
      }
      this.#database.run(
        'DELETE FROM adapter_versions WHERE tenant = ? AND task = ? AND version = ?',
        owner,
        task,
        version.version,
      );
      onRemove?.(version);
      return [version, kept] as const;
    });
    await this.#sweep([removed, ...removed.files, ...data].map(({ digest }) => digest));
    return removed;
  }

  /**
   * A folder with the version's files, for reading only. See {@link materialiseVersion}.
   * @throws STORAGE_CORRUPT
   * @throws ADAPTER_NOT_FOUND it was removed meanwhile
   */
  async materialise(version: AdapterVersion): Promise<string> {
    try {
      return await materialiseVersion(this.#blobs, this.#folders, version);
    } catch (cause) {
      const { tenant, task } = version;
      if (findVersion(this.#database, 'byVersion', tenant, task, version.version)) throw cause;
      return fail('ADAPTER_NOT_FOUND', `${referenceOf(version)} was removed`, { cause });
    }
  }

  /** Reads every blob of every version; an empty list means that all is whole. */
  verify(): Promise<Problem[]> {
    return verifyVersions(this.#database, this.#blobs);
  }

  /** Encrypts what is not, or not with the vault's key. @returns how many blobs */
  async seal(): Promise<number> {
    let numSealed = 0;
    for (const digest of await this.#blobs.list()) if (await this.#blobs.seal(digest)) numSealed++;
    return numSealed;
  }

  /** Removes what interrupted publishes left. @returns the number of blobs removed */
  async sweep(): Promise<number> {
    return this.#sweep(await this.#blobs.list());
  }

  async #sweep(candidates: readonly Digest[]): Promise<number> {
    const removed = sweepBlobs(this.#database, this.#blobs, candidates);
    for (const digest of removed) await removeFolder(this.#folders, digest);
    return removed.length;
  }
}
