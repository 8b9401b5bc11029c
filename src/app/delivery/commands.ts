/** Gates, canaries and shadows from the command line. A running server obeys from the next request on. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { fail } from '../../base/index.ts';
import type {
  Canary,
  CanaryReport,
  CanarySettings,
  DeliveryEvent,
  Gate,
  Shadow,
  ShadowReport,
} from '../../delivery/index.ts';
import { readTrainingFile } from '../../formats/index.ts';
import type { AdapterVersion } from '../../registry/index.ts';
import { parseTarget } from '../adapters/adapters.ts';
import { rollbackTask } from '../adapters/task-routes.ts';
import type { AppConfig } from '../config.ts';
import { ACTOR_CLI } from '../governance/entries.ts';
import { openPlatform } from '../platform.ts';
import { failNothing, requireBound, requireMetric } from './delivery-services.ts';
import { measureHere } from './measure.ts';
import { Promotions } from './promotions.ts';

export interface GateOptions extends Pick<Gate, 'metric' | 'threshold' | 'tolerance' | 'maxTokens'> {
  readonly data: string;
}

export type OnMeasured = (numDone: number, total: number) => void;

/**
 * Points an alias at a version, if its task's gate lets it.
 * @throws ADAPTER_NOT_FOUND PROMOTION_REFUSED
 */
export async function promoteAdapter(
  config: AppConfig,
  reference: string,
  { alias, isGated = true }: { readonly alias: string; readonly isGated?: boolean },
  onMeasured?: OnMeasured,
): Promise<AdapterVersion> {
  await using platform = await openPlatform(config);
  const promotions = new Promotions(platform, measureHere(config, onMeasured));
  return await promotions.promote({ tenant: null, reference, alias, actor: ACTOR_CLI, isGated });
}

export async function rollbackAdapter(config: AppConfig, target: string, alias: string): Promise<AdapterVersion> {
  const { tenant, task } = parseTarget(target, 'name');
  await using platform = await openPlatform(config);
  return rollbackTask(platform, tenant, task, alias, ACTOR_CLI);
}

/** @throws FILE_NOT_FOUND DATA_INVALID REQUEST_INVALID */
export async function setGate(config: AppConfig, target: string, { data, ...gate }: GateOptions): Promise<Gate> {
  const { tenant, task } = parseTarget(target, 'name');
  requireBound(gate.threshold, gate.tolerance);
  if (!existsSync(data)) fail('FILE_NOT_FOUND', `${data}: no such file`, { param: '--data' });
  requireMetric(gate.metric, readTrainingFile(data).form === 'preference');
  await using platform = await openPlatform(config);
  const { gates } = platform.delivery;
  await gates.set(tenant, task, data, { ...gate, dataName: basename(data) });
  const message = `${gate.metric} on ${basename(data)}`;
  platform.delivery.record({ tenant, task, version: null, actor: ACTOR_CLI, kind: 'gate-set', message });
  return gates.find(tenant, task) ?? failNothing('gate', task);
}

/** @throws DELIVERY_NOT_FOUND */
export async function clearGate(config: AppConfig, target: string): Promise<void> {
  const { tenant, task } = parseTarget(target, 'name');
  await using platform = await openPlatform(config);
  if (!platform.delivery.gates.remove(tenant, task)) failNothing('gate', task);
  const event = { tenant, task, version: null, actor: ACTOR_CLI };
  platform.delivery.record({ ...event, kind: 'gate-removed', message: 'promotions are free' });
}

/** @param reference TENANT/TASK@VERSION @throws ADAPTER_NOT_FOUND PROMOTION_REFUSED REQUEST_INVALID */
export async function startCanary(
  config: AppConfig,
  reference: string,
  settings: CanarySettings,
  isGated: boolean,
  onMeasured?: OnMeasured,
): Promise<CanaryReport> {
  await using platform = await openPlatform(config);
  const { tenant, task, version } = platform.registry.resolve(null, reference);
  if (isGated) {
    const promotions = new Promotions(platform, measureHere(config, onMeasured));
    await promotions.check(platform.registry.resolve(null, reference), ACTOR_CLI);
  }
  const { canaries } = platform.delivery;
  canaries.start(tenant, task, version, settings, ACTOR_CLI, isGated);
  return canaries.report(tenant, task) ?? failNothing('canary', task);
}

/** @throws DELIVERY_NOT_FOUND */
export async function showCanary(config: AppConfig, target: string): Promise<CanaryReport> {
  const { tenant, task } = parseTarget(target, 'name');
  await using platform = await openPlatform(config);
  return platform.delivery.canaries.report(tenant, task) ?? failNothing('canary', task);
}

/** @throws DELIVERY_NOT_FOUND */
export async function stopCanary(config: AppConfig, target: string): Promise<Canary> {
  const { tenant, task } = parseTarget(target, 'name');
  await using platform = await openPlatform(config);
  return platform.delivery.canaries.stop(tenant, task, ACTOR_CLI, 'it was stopped') ?? failNothing('canary', task);
}

/** @param reference TENANT/TASK@VERSION @throws ADAPTER_NOT_FOUND REQUEST_INVALID */
export async function startShadow(config: AppConfig, reference: string, share: number): Promise<Shadow> {
  await using platform = await openPlatform(config);
  const { tenant, task, version } = platform.registry.resolve(null, reference);
  return platform.delivery.shadows.start(tenant, task, version, share, ACTOR_CLI);
}

/** @throws DELIVERY_NOT_FOUND */
export async function stopShadow(config: AppConfig, target: string): Promise<Shadow> {
  const { tenant, task } = parseTarget(target, 'name');
  await using platform = await openPlatform(config);
  return platform.delivery.shadows.stop(tenant, task, ACTOR_CLI) ?? failNothing('shadow', task);
}

/** @throws DELIVERY_NOT_FOUND */
export async function shadowReport(config: AppConfig, target: string): Promise<ShadowReport> {
  const { tenant, task } = parseTarget(target, 'name');
  await using platform = await openPlatform(config);
  return platform.delivery.shadows.report(tenant, task) ?? failNothing('shadow', task);
}

/** The latest first. */
export async function deliveryEvents(
  config: AppConfig,
  target: string,
  limit: number,
): Promise<readonly DeliveryEvent[]> {
  const { tenant, task } = parseTarget(target, 'name');
  await using platform = await openPlatform(config);
  return platform.delivery.events(tenant, task, limit);
}
