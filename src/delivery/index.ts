/**
 * delivery: how a new version of a task comes to answer: gates before a promotion, canaries on a part of the requests, shadows beside all of them.
 * Owns: the tables of gates, canaries, shadows and their events; the data of gates.
 * May import: base storage.   Called by: app.
 * Runs on: any process; several may work on one home folder at once.
 * Throws: REQUEST_INVALID ANSWER_NOT_FOUND STORAGE_BUSY.
 */
export { DELIVERY_MIGRATIONS } from './tables.ts';
export { Delivery } from './delivery.ts';
export type { DeliveryEvent, DeliveryEventKind, NewDeliveryEvent } from './events.ts';
export { gateVerdict, type Gate, type GateVerdict, type GateScore } from './gates.ts';
export {
  CANARY_DEFAULTS,
  judgeCanary,
  NO_COUNTS,
  type ArmCounts,
  type Canary,
  type CanaryArm,
  type CanaryRules,
  type CanarySettings,
  type CanaryVerdict,
} from './canary.ts';
export type { CanaryReport } from './canaries.ts';
export type { AnswerFigures, Shadow, ShadowComparison, ShadowReport } from './shadows.ts';
