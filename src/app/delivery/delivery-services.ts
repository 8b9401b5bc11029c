import { fail } from '../../base/index.ts';
import type { DeliveryServices } from '../../http/index.ts';
import { referenceOf, type AdapterVersion } from '../../registry/index.ts';
import { requireTask } from '../adapters/task-routes.ts';
import { METRICS } from '../evaluate.ts';
import type { Platform } from '../platform.ts';
import { ownTenant } from '../tuning/file-services.ts';
import type { Promotions } from './promotions.ts';

/** Gates, canaries and shadows of the key's tenant, over HTTP. */
export function makeDeliveryServices(
  { registry, delivery, files }: Pick<Platform, 'registry' | 'delivery' | 'files'>,
  promotions: Promotions,
  canServe: (version: AdapterVersion) => boolean,
): DeliveryServices {
  const { gates, canaries, shadows } = delivery;
  const versionOf = (tenant: string, task: string, version: number): AdapterVersion => {
    requireTask(registry, tenant, task);
    const found = registry.resolve(tenant, referenceOf({ tenant, task, version }));
    if (canServe(found)) return found;
    const what = `${referenceOf(found)} belongs to the base ${found.base.name}, which this server does not have`;
    return fail('REQUEST_INVALID', what, { param: 'version' });
  };
  const owned = (principal: Parameters<DeliveryServices['events']>[0], task: string): string => {
    const tenant = ownTenant(principal);
    requireTask(registry, tenant, task);
    return tenant;
  };
  return {
    async setGate(principal, task, { file: id, ...gate }) {
      const tenant = owned(principal, task);
      const file = files.get(tenant, id);
      if (file.problem !== null) refuse('file', `${id} (${file.filename}) cannot be read:\n${file.problem}`);
      requireMetric(gate.metric, file.form === 'preference');
      requireBound(gate.threshold, gate.tolerance);
      await using plain = await files.plain(file.digest);
      await gates.set(tenant, task, plain.path, { ...gate, dataName: file.filename });
      const event = { tenant, task, version: null, actor: principal.keyId };
      delivery.record({ ...event, kind: 'gate-set', message: `${gate.metric} on ${file.filename}` });
      return gates.find(tenant, task) ?? failNothing('gate', task);
    },
    removeGate(principal, task) {
      const tenant = owned(principal, task);
      if (!gates.remove(tenant, task)) failNothing('gate', task);
      const event = { tenant, task, version: null, actor: principal.keyId };
      delivery.record({ ...event, kind: 'gate-removed', message: 'promotions are free' });
    },
    async startCanary(principal, task, version, settings, isGated) {
      const tenant = owned(principal, task);
      const found = versionOf(tenant, task, version);
      if (canaries.open(tenant, task)) refuse('version', `${tenant}/${task} has a canary already: stop it first`);
      if (isGated) await promotions.check(found, principal.keyId);
      canaries.start(tenant, task, version, settings, principal.keyId, isGated);
      return canaries.report(tenant, task) ?? failNothing('canary', task);
    },
    canary(principal, task) {
      const tenant = owned(principal, task);
      canaries.flush();
      return canaries.report(tenant, task) ?? failNothing('canary', task);
    },
    stopCanary(principal, task) {
      const tenant = owned(principal, task);
      return canaries.stop(tenant, task, principal.keyId, 'it was stopped') ?? failNothing('canary', task);
    },
    startShadow(principal, task, version, share) {
      const tenant = owned(principal, task);
      versionOf(tenant, task, version);
      return shadows.start(tenant, task, version, share, principal.keyId);
    },
    shadowReport(principal, task) {
      return shadows.report(owned(principal, task), task) ?? failNothing('shadow', task);
    },
    stopShadow(principal, task) {
      return shadows.stop(owned(principal, task), task, principal.keyId) ?? failNothing('shadow', task);
    },
    events: (principal, task, limit) => delivery.events(owned(principal, task), task, limit),
    score: (principal, requestId, score) => canaries.score(ownTenant(principal), requestId, score),
  };
}

/** @throws REQUEST_INVALID the metric is none, or not of such data */
export function requireMetric(metric: string, isPreference: boolean): void {
  if (!METRICS.some((known) => known === metric)) {
    refuse('metric', `metric must be one of ${METRICS.join(', ')}, got ${JSON.stringify(metric)}`);
  }
  if ((metric === 'preference-accuracy') === isPreference) return;
  const has = isPreference ? 'preferences, and they are' : 'no preferences, which alone are';
  refuse('metric', `the data holds ${has} scored by preference-accuracy`);
}

/** @throws REQUEST_INVALID the gate would let everything through */
export function requireBound(threshold: number | null, tolerance: number | null): void {
  if (threshold === null && tolerance === null) {
    refuse('threshold', 'a gate has a threshold, or a tolerance against the version that answers, or both');
  }
}

function refuse(param: string, message: string): never {
  return fail('REQUEST_INVALID', message, { param });
}

export function failNothing(what: 'gate' | 'canary' | 'shadow', task: string): never {
  return fail('DELIVERY_NOT_FOUND', `the task ${task} has no ${what}`, { param: 'task' });
}
