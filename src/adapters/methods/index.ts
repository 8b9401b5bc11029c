import { fail } from '../../base/index.ts';
import type { PeftConfig } from '../../formats/index.ts';
import type { Method, TrainableMethod } from '../method.ts';
import { adalora } from './adalora.ts';
import { boft } from './boft.ts';
import { dora } from './dora.ts';
import { fourierft } from './fourierft.ts';
import { hra } from './hra.ts';
import { ia3 } from './ia3.ts';
import { lnTuning } from './ln-tuning.ts';
import { loha } from './loha.ts';
import { lokr } from './lokr.ts';
import { lora } from './lora.ts';
import { miss } from './miss.ts';
import { oft } from './oft.ts';
import { pTuning } from './p-tuning.ts';
import { prefixTuning } from './prefix-tuning.ts';
import { promptTuning } from './prompt-tuning.ts';
import { randlora } from './randlora.ts';
import { trainableTokens } from './trainable-tokens.ts';
import { vblora } from './vblora.ts';
import { vera } from './vera.ts';

/** Every PEFT method that can be served. */
export const METHODS: readonly Method[] = [
  lora,
  dora,
  adalora,
  ia3,
  vera,
  loha,
  lokr,
  oft,
  boft,
  hra,
  miss,
  fourierft,
  randlora,
  vblora,
  promptTuning,
  pTuning,
  prefixTuning,
  trainableTokens,
  lnTuning,
];

/** Those that can be trained too. */
export const TRAINABLE_METHODS: readonly TrainableMethod[] = METHODS.filter(isTrainable);

function isTrainable(method: Method): method is TrainableMethod {
  return 'bind' in method;
}

/** @throws CONFIG_INVALID for a peft_type without a method */
export function methodOf(config: PeftConfig): Method {
  return find(METHODS, config) ?? refuse(config.peft_type, 'is not supported yet');
}

/** @throws CONFIG_INVALID for a method that is only served, by its name; for settings that cannot be trained yet, by theirs */
export function trainableMethodOf(config: PeftConfig): TrainableMethod {
  const method = find(TRAINABLE_METHODS, config);
  const known = TRAINABLE_METHODS.map(({ name }) => name).join(', ');
  if (!method) refuse(methodOf(config).name, `is served, but cannot be trained yet: train one of ${known}`);
  const [untrained] = method.untrained?.(config) ?? [];
  if (untrained !== undefined) refuse(untrained, 'is served, but cannot be trained yet', untrained);
  return method;
}

function find<Any extends Method>(methods: readonly Any[], config: PeftConfig): Any | undefined {
  return methods.find((method) => method.peftType === config.peft_type && (method.accepts?.(config) ?? true));
}

function refuse(what: string, why: string, param = 'peft_type'): never {
  return fail('CONFIG_INVALID', `${what} ${why}`, { param });
}
