import { fail } from '../../base/index.ts';
import type { LoraStartName, LoraTraining } from '../../training/index.ts';
import type { TrainMethod } from './train-methods.ts';

/** How a LoRA begins and learns, where it is not as its paper does it. */
export interface LoraOptions {
  readonly start?: LoraStartName | undefined;
  readonly rateRatio?: number | undefined;
  readonly freezeA?: boolean | undefined;
}

const FLAGS = { start: '--start', rateRatio: '--rate-ratio', freezeA: '--freeze-a' } as const;
const LORA_METHODS: readonly TrainMethod[] = ['lora', 'qlora', 'dora'];

/** What of it is the run's; undefined for none (LoRA+'s ratio is the optimizer's). @throws USAGE_INVALID for a method that has no A and B */
export function loraTraining(method: TrainMethod, options: LoraOptions): LoraTraining | undefined {
  const { start, freezeA } = options;
  for (const [name, flag] of Object.entries(FLAGS)) {
    if (!options[name as keyof typeof FLAGS]) continue;
    const isOf = name === 'start' ? method === 'lora' || method === 'qlora' : LORA_METHODS.includes(method);
    if (isOf) continue;
    fail('USAGE_INVALID', `${flag} has no meaning for --method ${method}: leave it out, or use --method lora`, {
      param: name,
    });
  }
  if (start === undefined && !freezeA) return undefined;
  return {
    ...(start !== undefined && { start }),
    ...(freezeA && { freezeA }),
  };
}
