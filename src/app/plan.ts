import { existsSync } from 'node:fs';
import { readJsonFile } from '../formats/index.ts';
import { configuredModel, planFrom, presetModel, type Plan, type PlanOptions } from '../planning/index.ts';
import { DEFAULT_MICRO_BATCH_TOKENS } from '../training/index.ts';
import { readMachine } from './bench/machine.ts';
import type { AppConfig } from './config.ts';

export interface PlanRequest extends Omit<PlanOptions, 'model' | 'gigaflopsPerSecond' | 'machine' | 'compute'> {
  /** A preset's name or the path of a config.json. */
  readonly model: string;
  readonly gigaflops?: number | undefined;
}

/**
 * @param config where this machine's figures are, if it was measured; without, the plan is for two AVX2 cores
 * @throws USAGE_INVALID names the option; MODEL_INVALID the field of the config; CONFIG_INVALID for figures that cannot be read
 */
export function makePlan(
  { model, gigaflops, ...options }: PlanRequest,
  config?: Pick<AppConfig, 'home' | 'compute'>,
): Plan {
  const planned = existsSync(model) ? configuredModel(readJsonFile(model), model) : presetModel(model);
  return planFrom({
    ...options,
    microBatchTokens: options.microBatchTokens ?? DEFAULT_MICRO_BATCH_TOKENS,
    model: planned,
    machine: config && readMachine(config.home),
    compute: config?.compute,
    ...(gigaflops === undefined ? {} : { gigaflopsPerSecond: gigaflops }),
  });
}
