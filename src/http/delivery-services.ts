import type {
  Canary,
  CanaryReport,
  CanarySettings,
  DeliveryEvent,
  Gate,
  Shadow,
  ShadowReport,
} from '../delivery/index.ts';
import type { Principal } from '../tenancy/index.ts';

/** A gate as it is asked: its data is an uploaded file. */
export interface GateRequest extends Pick<Gate, 'metric' | 'threshold' | 'tolerance' | 'maxTokens'> {
  readonly file: string;
}

/**
 * How new versions of a tenant's tasks come to answer. All throw ADAPTER_NOT_FOUND for a task that the tenant does not have, REQUEST_INVALID for
 * the operator.
 */
export interface DeliveryServices {
  /** @throws STORED_FILE_NOT_FOUND REQUEST_INVALID the file cannot be scored by the metric */
  setGate(principal: Principal, task: string, gate: GateRequest): Promise<Gate>;
  /** @throws DELIVERY_NOT_FOUND there is none */
  removeGate(principal: Principal, task: string): void;
  /** @param isGated measures first whether the version could be promoted @throws PROMOTION_REFUSED REQUEST_INVALID */
  startCanary(
    principal: Principal,
    task: string,
    version: number,
    settings: CanarySettings,
    isGated: boolean,
  ): Promise<CanaryReport>;
  /** The latest, also one that has ended. @throws DELIVERY_NOT_FOUND there was none */
  canary(principal: Principal, task: string): CanaryReport;
  /** @throws DELIVERY_NOT_FOUND none is on */
  stopCanary(principal: Principal, task: string): Canary;
  startShadow(principal: Principal, task: string, version: number, share: number): Shadow;
  /** Of the latest, also of one that has ended. @throws DELIVERY_NOT_FOUND there was none */
  shadowReport(principal: Principal, task: string): ShadowReport;
  /** @throws DELIVERY_NOT_FOUND none is on */
  stopShadow(principal: Principal, task: string): Shadow;
  /** What was done, the latest first. */
  events(principal: Principal, task: string, limit: number): readonly DeliveryEvent[];
  /** @throws ANSWER_NOT_FOUND */
  score(principal: Principal, requestId: string, score: number): void;
}
