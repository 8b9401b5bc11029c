import { existsSync } from 'node:fs';
import { readJsonFile } from '../formats/index.ts';
import { configuredModel, planFrom, presetModel, type Plan, type PlanOptions } from '../planning/index.ts';

export interface PlanRequest extends Omit<PlanOptions, 'model' | 'gigaflopsPerSecond'> {
  /** A preset's name or the path of a config.json. */
  readonly model: string;
  readonly gigaflops?: number | undefined;
}

/** @throws USAGE_INVALID names the option; MODEL_INVALID the field of the config */
export function makePlan({ model, gigaflops, ...options }: PlanRequest): Plan {
  const planned = existsSync(model) ? configuredModel(readJsonFile(model), model) : presetModel(model);
  return planFrom({
    ...options,
    model: planned,
    ...(gigaflops === undefined ? {} : { gigaflopsPerSecond: gigaflops }),
  });
}
