import { existsSync, readdirSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EspalierError, fail, systemClock, type Digest } from '../../base/index.ts';
import type { TenantErasure } from '../../http/index.ts';
import { deleteTenantRows } from '../../storage/index.ts';
import type { Erasure } from '../../tenancy/index.ts';
import type { AppConfig } from '../config.ts';
import { openPlatform, type Platform } from '../platform.ts';
import { retrainFoldersOf } from '../retrain/work-folders.ts';

/** What has to be done after the rows are gone: kept until it is, so that another process can go on. */
interface Plan {
  readonly report: TenantErasure;
  readonly adapterBlobs: readonly Digest[];
  readonly fileBlobs: readonly Digest[];
  readonly folders: readonly string[];
}

/** Tables that are erased otherwise: sums stay without the name, entries keep their hashes, and the order itself is needed to the end. */
const KEPT_TABLES = ['usage', 'audit_log', 'erasures'];
/** How long whoever trains for the tenant has to notice: it looks every half second, and a step may be long. */
const PATIENCE_MS = 60_000;
const BETWEEN_TRIES_MS = 100;

/**
 * What an erasure would take away.
 * @throws TENANT_NOT_FOUND there is nothing of that name
 */
export async function planErasure(config: AppConfig, platform: Platform, tenant: string): Promise<TenantErasure> {
  return (await makePlan(config, platform, tenant, null)).report;
}

/**
 * Erases a tenant: its keys first, so that nobody asks any more, then its jobs, rows, files and folders, and at last every trace in the
 * database file. Whatever moment it is killed at, {@link resumeErasures} or the same order goes on. What is in the memory of running servers is
 * theirs to forget: see {@link TenantWatch}.
 * @param actor whoever ordered it, for the audit log
 * @throws TENANT_NOT_FOUND; STORAGE_BUSY a job of the tenant does not stop, or the database is in use: the same order goes on
 */
export async function eraseTenant(
  config: AppConfig,
  platform: Platform,
  actor: string,
  tenant: string,
): Promise<TenantErasure> {
  if (!platform.erasures.isErasing(tenant)) await makePlan(config, platform, tenant, null);
  return finishErasure(config, platform, platform.erasures.begin(tenant, actor));
}

/** Ends what an earlier process has begun. @returns the reports of what was ended */
export async function resumeErasures(config: AppConfig, platform: Platform): Promise<TenantErasure[]> {
  const reports: TenantErasure[] = [];
  for (const erasure of platform.erasures.unfinished()) reports.push(await finishErasure(config, platform, erasure));
  return reports;
}

/** The same from the command line. */
export async function eraseTenantCommand(
  config: AppConfig,
  actor: string,
  tenant: string,
  isDryRun: boolean,
): Promise<TenantErasure> {
  await using platform = await openPlatform(config);
  return await (isDryRun ? planErasure(config, platform, tenant) : eraseTenant(config, platform, actor, tenant));
}

async function finishErasure(config: AppConfig, platform: Platform, erasure: Erasure): Promise<TenantErasure> {
  const { erasures, registry, files } = platform;
  const { id, tenant } = erasure;
  if (tenant !== null) {
    await stopWork(platform, tenant);
    const { report, ...rest } = await makePlan(config, platform, tenant, id);
    const planned = { ...rest, report: { ...report, ...(erasures.noted(id) as { readonly keys: number }) } };
    // The folders go before the rows: who is killed between them finds them again by the rows.
    for (const folder of planned.folders) await rm(folder, { recursive: true, force: true });
    deleteRows(platform, erasure, tenant, planned);
  }
  const plan = erasures.noted(id) as Plan;
  const adapterBlobs = await registry.release(plan.adapterBlobs);
  const blobsRemoved = adapterBlobs + files.release(plan.fileBlobs) + (await platform.delivery.sweep());
  const total = new Set([...plan.adapterBlobs, ...plan.fileBlobs]).size;
  const report = { ...plan.report, blobsRemoved, blobsShared: Math.max(0, total - blobsRemoved) };
  await compact(platform);
  erasures.finish(id);
  return report;
}

/** One transaction: what names the tenant's files is gone, and the list of them is kept for whoever removes them. */
function deleteRows(
  { database, erasures, tenants, usage, audit }: Platform,
  erasure: Erasure,
  tenant: string,
  plan: Plan,
): void {
  database.transaction(() => {
    const usageRows = usage.forget(tenant);
    deleteTenantRows(database, tenant, KEPT_TABLES);
    if (tenants.find(tenant)) tenants.remove(tenant);
    audit.erase(tenant, ({ count, entries }) => {
      const report = { ...plan.report, usageRows, auditEntries: count };
      const { adapterBlobs, fileBlobs } = plan;
      erasures.note(erasure.id, { report, adapterBlobs, fileBlobs, folders: [] } satisfies Plan);
      const { id: _id, blobsRemoved: _removed, blobsShared: _shared, auditEntries: _entries, ...counts } = report;
      return {
        actor: erasure.actor,
        tenant: null,
        action: 'tenant.erase',
        target: erasure.id,
        detail: { ...counts, entries },
      };
    });
    erasures.forgetName(erasure.id);
  });
}

/** A job that is cancelled is given back when its trainer has ended, and only then writes no more. */
async function stopWork({ jobs, leases }: Platform, tenant: string): Promise<void> {
  jobs.cancelAll(tenant);
  const deadline = systemClock.nowMs() + PATIENCE_MS;
  while (leases.isWorking(tenant)) {
    if (systemClock.nowMs() > deadline) {
      fail('STORAGE_BUSY', `a job of ${tenant} is still being trained after ${PATIENCE_MS / 1000} s: order it again`);
    }
    await sleep(BETWEEN_TRIES_MS);
  }
}

async function compact({ database }: Platform): Promise<void> {
  const deadline = systemClock.nowMs() + PATIENCE_MS;
  for (;;) {
    try {
      database.compact();
      return;
    } catch (error) {
      const canWait = error instanceof EspalierError && error.code === 'STORAGE_BUSY';
      if (!canWait || systemClock.nowMs() > deadline) throw error;
      await sleep(BETWEEN_TRIES_MS);
    }
  }
}

async function makePlan(config: AppConfig, platform: Platform, tenant: string, id: string | null): Promise<Plan> {
  const { registry, files, jobs, keys, tenants, usage, audit } = platform;
  const { adapters, bytes: adapterBytes } = registry.holdings(tenant);
  const stored = files.holdings(tenant);
  const jobIds = jobs.ids(tenant);
  const adapterBlobs = registry.digests(tenant);
  const folders = [
    ...jobIds.map((job) => join(platform.work, 'jobs', job)),
    join(config.home, 'start', tenant),
    ...retrainFoldersOf(platform.work, adapterBlobs),
  ];
  const usageRows = usage.read(tenant, '0000-01-01', '9999-12-31').length;
  const auditEntries = audit.count(tenant);
  const isThere =
    tenants.find(tenant) || adapters > 0 || stored.count > 0 || jobIds.length > 0 || usageRows > 0 || id !== null;
  if (!isThere) tenants.refuseUnknown(tenant);
  let jobBytes = 0;
  for (const folder of folders) jobBytes += sizeOf(folder);
  const fileBlobs = stored.digests;
  const report = {
    id,
    adapters,
    adapterBytes,
    files: stored.count,
    fileBytes: stored.bytes,
    jobs: jobIds.length,
    jobBytes,
    keys: keys.list(tenant).length,
    blobsRemoved: 0,
    blobsShared: 0,
    usageRows,
    auditEntries,
  };
  return { report, adapterBlobs, fileBlobs, folders };
}

/** Of a folder in which a job may be at work: what goes while it is read counts nothing. */
function sizeOf(folder: string): number {
  if (!existsSync(folder)) return 0;
  let sizeBytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const file = statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false });
    if (file?.isFile()) sizeBytes += file.size;
  }
  return sizeBytes;
}
