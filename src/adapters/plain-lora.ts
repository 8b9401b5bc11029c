import { fail } from '../base/index.ts';
import { idsOf } from '../formats/index.ts';
import type { LinearSite } from '../model/index.ts';
import type { Adapter } from './artefact.ts';
import { loraDeltas, type LoraDelta } from './methods/lora.ts';
import { loraTargets } from './targets.ts';

/**
 * The matrices of an adapter that is LoRA and nothing else: what other programs' formats can hold.
 * @param format whose, in a sentence: `a GGUF adapter`
 * @throws ADAPTER_INVALID names what the format cannot hold
 */
export function plainLoraDeltas(
  { config, tensors }: Adapter,
  sites: readonly LinearSite[],
  format: string,
): [LoraDelta, ...LoraDelta[]] {
  const refuse = (what: string): never =>
    fail('ADAPTER_INVALID', `${what}: ${format} holds plain LoRA only; export it as a PEFT folder`);
  if (config.peft_type !== 'LORA') return refuse(`the method is ${config.peft_type}`);
  if (config.use_dora) refuse('use_dora scales outputs');
  if (config.lora_bias) refuse('lora_bias adds a bias');
  if ([...tensors.keys()].some((name) => name.endsWith('.bias'))) refuse('bias trains biases of the base');
  if (config.modules_to_save !== null) refuse('modules_to_save trains whole modules');
  const { embedding, head } = loraTargets(config, sites);
  if (embedding || head) refuse('target_modules has the embedding or the head');
  if (idsOf(config.trainable_token_indices).length > 0) refuse('trainable_token_indices trains rows of the embedding');
  const [first, ...others] = loraDeltas(config, sites, tensors);
  // One without a module is refused when it is read.
  return first ? [first, ...others] : refuse('it has no module');
}
