import { join } from 'node:path';
import { AUDIT_MIGRATIONS, AuditLog, type AuditEntry } from '../audit/index.ts';
import { fail, systemClock } from '../base/index.ts';
import { Delivery, DELIVERY_MIGRATIONS, type NewDeliveryEvent } from '../delivery/index.ts';
import { FileStore, JobLeases, JobQueue, JOBS_MIGRATIONS, Uploads } from '../jobs/index.ts';
import { Registry, REGISTRY_MIGRATIONS, ROUTING_MIGRATIONS } from '../registry/index.ts';
import { Database } from '../storage/index.ts';
import { ApiKeys, Erasures, Prices, TENANCY_MIGRATIONS, Tenants, UsageMeter } from '../tenancy/index.ts';
import type { AppConfig } from './config.ts';
import { openHomeVault } from './governance/home-vault.ts';
import { actorOfJob, deliveryEntry, jobEntry, jobOfActor } from './governance/entries.ts';

/** The state in ESPALIER_HOME: one database and the adapters' files. */
export interface Platform extends AsyncDisposable {
  readonly registry: Registry;
  readonly delivery: Delivery;
  readonly tenants: Tenants;
  readonly keys: ApiKeys;
  readonly erasures: Erasures;
  readonly usage: UsageMeter;
  readonly prices: Prices;
  readonly files: FileStore;
  readonly uploads: Uploads;
  readonly jobs: JobQueue;
  readonly leases: JobLeases;
  /** Every change is recorded, in its own transaction. */
  readonly audit: AuditLog;
  /** For what concerns the tables of all rooms. */
  readonly database: Database;
  /** Where what is in work lies, readable: the home folder, or, when it is encrypted, a folder in memory. */
  readonly work: string;
}

/** @throws CONFIG_INVALID the home is encrypted with another key than the one that is set */
export async function openPlatform({ home, encryptionKeys }: AppConfig): Promise<Platform> {
  const vault = await openHomeVault(home, encryptionKeys);
  const migrations = [
    TENANCY_MIGRATIONS,
    REGISTRY_MIGRATIONS,
    ROUTING_MIGRATIONS,
    DELIVERY_MIGRATIONS,
    JOBS_MIGRATIONS,
    AUDIT_MIGRATIONS,
  ];
  const database = Database.open(join(home, 'espalier.db'), migrations, systemClock);
  const files = await FileStore.open(database, home, systemClock, vault);
  const registry = await Registry.open(database, home, systemClock, vault);
  const usage = new UsageMeter(database, systemClock);
  const keys = new ApiKeys(database, systemClock);
  const jobs = new JobQueue(database, files, systemClock);
  const erasures = new Erasures(database, systemClock);
  const audit = new AuditLog(database, systemClock, (entry) => requireNotErased({ keys, jobs, erasures }, entry));
  const onEvent = (event: NewDeliveryEvent): void => void audit.record(deliveryEntry(event));
  const delivery = await Delivery.open(database, home, systemClock, { vault, onEvent });
  return {
    registry,
    delivery,
    tenants: new Tenants(database, systemClock),
    keys,
    erasures,
    database,
    work: vault?.scratch ?? home,
    usage,
    prices: new Prices(database, systemClock),
    files,
    uploads: new Uploads(database, files, systemClock),
    jobs,
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

/**
 * With a tenant go its keys and jobs: what they had on the way must not come after.
 * @throws TENANT_NOT_FOUND KEY_INVALID CANCELLED
 */
function requireNotErased(
  { keys, jobs, erasures }: Pick<Platform, 'keys' | 'jobs' | 'erasures'>,
  { actor, tenant }: AuditEntry,
): void {
  if (tenant !== null && erasures.isErasing(tenant)) {
    fail('TENANT_NOT_FOUND', `tenant "${tenant}" is being erased`, { param: 'tenant' });
  }
  if (actor.startsWith('key_') && !keys.has(actor)) {
    fail('KEY_INVALID', 'the API key was deleted while its request was on the way');
  }
  const job = jobOfActor(actor);
  if (job !== undefined && !jobs.has(job)) fail('CANCELLED', `the job ${job} was erased`);
}
