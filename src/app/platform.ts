import { join } from 'node:path';
import { AUDIT_MIGRATIONS, AuditLog } from '../audit/index.ts';
import { systemClock } from '../base/index.ts';
import { Delivery, DELIVERY_MIGRATIONS } from '../delivery/index.ts';
import { FileStore, JobLeases, JobQueue, JOBS_MIGRATIONS, Uploads } from '../jobs/index.ts';
import { Registry, REGISTRY_MIGRATIONS, ROUTING_MIGRATIONS } from '../registry/index.ts';
import { Database } from '../storage/index.ts';
import { ApiKeys, Prices, TENANCY_MIGRATIONS, Tenants, UsageMeter } from '../tenancy/index.ts';
import type { AppConfig } from './config.ts';
import { actorOfJob, deliveryEntry, jobEntry } from './governance/entries.ts';

/** The state in ESPALIER_HOME: one database and the adapters' files. */
export interface Platform extends AsyncDisposable {
  readonly registry: Registry;
  readonly delivery: Delivery;
  readonly tenants: Tenants;
  readonly keys: ApiKeys;
  readonly usage: UsageMeter;
  readonly prices: Prices;
  readonly files: FileStore;
  readonly uploads: Uploads;
  readonly jobs: JobQueue;
  readonly leases: JobLeases;
  /** Every change is recorded, in its own transaction. */
  readonly audit: AuditLog;
}

export async function openPlatform({ home }: AppConfig): Promise<Platform> {
  const migrations = [
    TENANCY_MIGRATIONS,
    REGISTRY_MIGRATIONS,
    ROUTING_MIGRATIONS,
    DELIVERY_MIGRATIONS,
    JOBS_MIGRATIONS,
    AUDIT_MIGRATIONS,
  ];
  const database = Database.open(join(home, 'espalier.db'), migrations, systemClock);
  const files = await FileStore.open(database, home, systemClock);
  const registry = await Registry.open(database, home, systemClock);
  const usage = new UsageMeter(database, systemClock);
  const audit = new AuditLog(database, systemClock);
  const delivery = await Delivery.open(database, home, systemClock, (event) => void audit.record(deliveryEntry(event)));
  return {
    registry,
    delivery,
    tenants: new Tenants(database, systemClock),
    keys: new ApiKeys(database, systemClock),
    usage,
    prices: new Prices(database, systemClock),
    files,
    uploads: new Uploads(database, files, systemClock),
    jobs: new JobQueue(database, systemClock),
    leases: new JobLeases(database, files, systemClock, (job) => {
      audit.record(jobEntry(actorOfJob(job), `job.${job.status}`, job, { reference: job.reference }));
      const adapter = job.reference === null ? undefined : registry.find(job.tenant, job.reference)?.digest;
      if (adapter && job.trainedTokens) usage.addTraining(job.tenant, job.project ?? null, adapter, job.trainedTokens);
    }),
    audit,
    async [Symbol.asyncDispose]() {
      delivery.canaries.flush();
      usage[Symbol.dispose]();
      database.close();
    },
  };
}
