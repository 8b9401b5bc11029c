import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSafetensors } from '../formats/index.ts';
import type { LinearSite, ModelConfig } from '../model/index.ts';
import type { Adapter } from './artefact.ts';
import { plainLoraDeltas } from './plain-lora.ts';

interface MlxTensor {
  readonly shape: readonly [number, number];
  readonly data: Float32Array;
}

/** An adapter as mlx-lm reads it (`mlx_lm/tuner/utils.py`, `load_adapters`). */
export interface MlxLora {
  readonly config: {
    readonly fine_tune_type: 'lora';
    /** Blocks from the last one backwards that have LoRA layers. */
    readonly num_layers: number;
    readonly lora_parameters: {
      readonly rank: number;
      readonly scale: number;
      readonly dropout: number;
      /** Modules of a block. */
      readonly keys: readonly string[];
    };
  };
  readonly tensors: ReadonlyMap<string, MlxTensor>;
}

/**
 * A LoRA in mlx-lm's form: `….lora_a` [in, R] and `….lora_b` [R, out], applied as scale · (x · lora_a) · lora_b with one rank and one scale for all of
 * them and no alpha. So matrices are transposed, smaller ranks are filled up with zeros, and what differs in scale is multiplied into
 * lora_b. A module that mlx-lm makes a LoRA layer of and that has no tensors here starts with a lora_b of zeros: it changes nothing.
 * @throws ADAPTER_INVALID names what mlx-lm cannot hold
 */
export function mlxLora(
  adapter: Adapter,
  base: { readonly config: ModelConfig; readonly sites: readonly LinearSite[] },
): MlxLora {
  const deltas = plainLoraDeltas(adapter, base.sites, "mlx-lm's format");
  const rank = Math.max(...deltas.map(({ a_RI }) => a_RI.shape[0]));
  const [{ scale }] = deltas;
  const tensors = new Map<string, MlxTensor>();
  const keys = new Set<string>();
  for (const { site, a_RI, b_OR, scale: own } of deltas) {
    const [ownRank] = a_RI.shape;
    const factor = own / scale;
    const a_IR = new Float32Array(site.in * rank);
    const b_RO = new Float32Array(rank * site.out);
    for (let r = 0; r < ownRank; r++) {
      for (let i = 0; i < site.in; i++) a_IR[i * rank + r] = a_RI.data[r * site.in + i];
      for (let o = 0; o < site.out; o++) b_RO[r * site.out + o] = factor * b_OR.data[o * ownRank + r];
    }
    tensors.set(`${site.path}.lora_a`, { shape: [site.in, rank], data: a_IR });
    tensors.set(`${site.path}.lora_b`, { shape: [rank, site.out], data: b_RO });
    keys.add(site.path.replace(/^model\.layers\.\d+\./, ''));
  }
  const firstLayer = Math.min(...deltas.map(({ site }) => site.layer));
  const lora_parameters = { rank, scale, dropout: 0, keys: [...keys] };
  return {
    config: { fine_tune_type: 'lora', num_layers: base.config.numLayers - firstLayer, lora_parameters },
    tensors,
  };
}

/** Writes {@link mlxLora} into a new folder. */
export function writeMlxLora(folder: string, { config, tensors }: MlxLora): void {
  mkdirSync(folder);
  writeSafetensors(join(folder, 'adapters.safetensors'), tensors, { format: 'mlx' });
  writeFileSync(join(folder, 'adapter_config.json'), `${JSON.stringify(config, null, 4)}\n`);
}
