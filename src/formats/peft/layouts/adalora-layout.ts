import { adaloraRank, type AdaloraConfig } from '../configs/adalora-config.ts';
import { perModule } from './module-layouts.ts';
import type { TensorLayout } from './tensor-layout.ts';

/** AdaLoRA's tensors of a module with R kept ranks: lora_A [R, in], the singular values lora_E [R, 1], lora_B [out, R]. */
export function adaloraLayout(config: AdaloraConfig): TensorLayout {
  return perModule(['lora_A', 'lora_B', 'lora_E'], (site) => {
    const rank = adaloraRank(config, site.path);
    return { lora_A: [rank, site.in], lora_B: [site.out, rank], lora_E: [rank, 1] };
  });
}
