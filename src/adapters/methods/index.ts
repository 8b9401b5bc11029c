import { fail } from '../../base/index.ts';
import type { PeftConfig } from '../../formats/index.ts';
import type { Method } from '../method.ts';
import { lora } from './lora.ts';

/** Every PEFT method that can be trained and served. */
export const METHODS: readonly Method[] = [lora];

/** @throws CONFIG_INVALID for a peft_type without a method */
export function methodOf(config: PeftConfig): Method {
  const method = METHODS.find(({ peftType }) => peftType === config.peft_type);
  return method ?? fail('CONFIG_INVALID', `peft_type ${config.peft_type} is not supported yet`, { param: 'peft_type' });
}
