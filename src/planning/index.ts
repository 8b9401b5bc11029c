/**
 * planning: what a run and a server will cost, before they start: parameters, memory, storage, time.
 * Owns: the presets, and the accounting that each figure follows.
 * May import: base formats model adapters.   Called by: app.
 * Runs on: any thread.
 * Throws: USAGE_INVALID MODEL_NOT_FOUND CONFIG_INVALID.
 */
export { planFrom } from './plan.ts';
export type { Plan, PlanOptions } from './plan.ts';
export { configuredModel, presetModel } from './presets.ts';
export type { PlannedModel } from './presets.ts';
export { PLANNED_METHODS, BASE_FORMATS, WITHOUT_HEAD } from './methods.ts';
export type { Trainable } from './methods.ts';
export { fitTraining, type TrainingFit, type TrainingNeeds } from './fit-training.ts';
export { FULL_RECIPES } from './memory.ts';
export { parseMachine, type MachineFigures } from './machine.ts';
export { doubtsOf } from './machine-doubts.ts';
export { fitMachine, type TrainingMeasurement } from './fit-machine.ts';
export { countTrainable } from './methods.ts';
export { renderPlan, formatBytes, formatCount, formatDuration } from './render.ts';
