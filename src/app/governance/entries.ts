/** What the audit log is told of each kind of change: names, numbers and states, never contents. */
import type { AuditEntry, JsonFields } from '../../audit/index.ts';
import type { DeliveryEventKind, NewDeliveryEvent } from '../../delivery/index.ts';
import type { Job, StoredFile, Upload } from '../../jobs/index.ts';
import { referenceOf, type AdapterVersion, type SplitEntry } from '../../registry/index.ts';
import type { ApiKey, Tenant, TenantLimits } from '../../tenancy/index.ts';

/** Whoever works at this machine's command line. */
export const ACTOR_CLI = 'cli';
/** The server by a rule of its own. */
export const ACTOR_SERVER = 'server';

const JOB_ACTOR = 'job:';

/** What a fine-tuning job does by itself. */
export function actorOfJob({ id }: Pick<Job, 'id'>): string {
  return JOB_ACTOR + id;
}

/** The job that did something, by its name as an actor; undefined for anybody else. */
export function jobOfActor(actor: string): string | undefined {
  return actor.startsWith(JOB_ACTOR) ? actor.slice(JOB_ACTOR.length) : undefined;
}

export function publication(actor: string, version: AdapterVersion, detail: JsonFields = {}): AuditEntry {
  const { digest, base, method, sizeBytes } = version;
  return adapterEntry(actor, 'adapter.publish', version, { digest, base: base.name, method, sizeBytes, ...detail });
}

export function adapterEntry(
  actor: string,
  action: `adapter.${string}`,
  version: AdapterVersion,
  detail: JsonFields = {},
): AuditEntry {
  return { actor, tenant: version.tenant, action, target: referenceOf(version), detail };
}

export function splitEntryOf(actor: string, tenant: string, task: string, split: readonly SplitEntry[]): AuditEntry {
  const parts = split.map(({ version, weight }) => `${version}=${weight}`).join(' ');
  return { actor, tenant, action: 'route.split', target: `${tenant}/${task}`, detail: { split: parts } };
}

export function fileEntry(
  actor: string,
  action: `file.${string}` | 'upload.complete',
  { tenant, id, purpose, digest, sizeBytes }: StoredFile,
  detail: JsonFields = {},
): AuditEntry {
  return { actor, tenant, action, target: id, detail: { purpose, digest, sizeBytes, ...detail } };
}

export function uploadEntry(
  actor: string,
  action: `upload.${string}`,
  { tenant, id, purpose, sizeBytes }: Upload,
  detail: JsonFields = {},
): AuditEntry {
  return { actor, tenant, action, target: id, detail: { purpose, sizeBytes, ...detail } };
}

export function jobEntry(actor: string, action: `job.${string}`, job: Job, detail: JsonFields = {}): AuditEntry {
  const { tenant, id, status, method, base } = job;
  return { actor, tenant, action, target: id, detail: { status, method, base: base.name, ...detail } };
}

export function keyEntry(actor: string, action: `key.${string}`, key: ApiKey): AuditEntry {
  const { tenant, keyId, role, expiresAt } = key;
  return { actor, tenant, action, target: keyId, detail: { role, expiresAt } };
}

export function tenantEntry(
  actor: string,
  action: `tenant.${string}`,
  name: string,
  limits: Partial<TenantLimits> | Tenant = {},
): AuditEntry {
  const { name: _name, createdAt: _createdAt, ...detail } = limits as Partial<Tenant>;
  return { actor, tenant: name, action, target: name, detail };
}

const DELIVERY_ACTIONS: Record<DeliveryEventKind, string> = {
  'gate-set': 'gate.set',
  'gate-removed': 'gate.remove',
  promoted: 'adapter.promote',
  'promoted-without-gate': 'adapter.promote-ungated',
  'promotion-refused': 'adapter.promote-refused',
  'canary-started': 'canary.start',
  'canary-grown': 'canary.grow',
  'canary-passed': 'canary.pass',
  'canary-promoted': 'canary.promote',
  'canary-rolled-back': 'canary.rollback',
  'canary-stopped': 'canary.stop',
  'shadow-started': 'shadow.start',
  'shadow-stopped': 'shadow.stop',
};

/** What was done about who answers a task. */
export function deliveryEntry({ tenant, task, version, kind, actor, message }: NewDeliveryEvent): AuditEntry {
  const target = version === null ? `${tenant}/${task}` : referenceOf({ tenant, task, version });
  return { actor: actor ?? ACTOR_SERVER, tenant, action: DELIVERY_ACTIONS[kind], target, detail: { message } };
}
