import { fail } from '../base/index.ts';
import type { Canary, CanarySettings, CanaryStatus } from './canary.ts';

export interface CanaryRow {
  readonly id: string;
  readonly tenant: string;
  readonly task: string;
  readonly version: number;
  readonly settings: string;
  readonly status: CanaryStatus;
  readonly reason: string | null;
  readonly step: number;
  readonly step_began_at: number;
  readonly step_requests: number;
  readonly started_at: number;
  readonly ended_at: number | null;
}

export function canaryOf(row: CanaryRow): Canary {
  return {
    id: row.id,
    tenant: row.tenant,
    task: row.task,
    version: row.version,
    settings: JSON.parse(row.settings) as CanarySettings,
    status: row.status,
    reason: row.reason,
    step: row.step,
    stepBeganAt: row.step_began_at,
    stepRequests: row.step_requests,
    startedAt: row.started_at,
    endedAt: row.ended_at,
  };
}

/** @throws REQUEST_INVALID */
export function checkSettings({ shares, minRequests }: CanarySettings): void {
  const refuse = (message: string): never => fail('REQUEST_INVALID', message, { param: 'share' });
  if (shares.length === 0 || shares.length > 16) refuse(`a canary has 1 to 16 shares, got ${shares.length}`);
  for (const [step, share] of shares.entries()) {
    if (!(share > 0 && share <= 1)) refuse(`a canary’s share is above 0 and at most 1, got ${share}`);
    if (step > 0 && share <= shares[step - 1]) refuse(`shares of a canary rise, got ${shares.join(', ')}`);
  }
  if (!(minRequests >= 1)) {
    fail('REQUEST_INVALID', `min_requests must be at least 1, got ${minRequests}`, { param: 'min_requests' });
  }
}
