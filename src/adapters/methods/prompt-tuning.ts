import { fail } from '../../base/index.ts';
import { PROMPT_EMBEDDINGS, type PromptTuningConfig } from '../../formats/index.ts';
import { baseHooks } from '../../model/index.ts';
import { replaceRows } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { requireTensor, type AdapterTensors, type TrainableMethod } from '../method.ts';
import type { CompiledAdapter } from '../primitives.ts';
import { virtualRows } from './virtual-rows.ts';

/** Prompt tuning (Lester et al., 2021): trained embeddings [N, D] stand before the prompt. */
export const promptTuning: TrainableMethod<PromptTuningConfig> = {
  name: 'prompt-tuning',
  peftType: 'PROMPT_TUNING',
  sharesProduct: true,

  parameters: ({ num_virtual_tokens: N, token_dim: D }) => [{ name: PROMPT_EMBEDDINGS, shape: [N, D] }],

  /** As PEFT does it: N(0, 1); embeddings of drawn tokens; or those of a text's tokens, from the first again when they run out. */
  initialise({ prompt_tuning_init: from, num_virtual_tokens: N }, _parameter, values, rng, base, initialTokenIds) {
    if (from === 'RANDOM') {
      for (let i = 0; i < values.length; i++) values[i] = rng.nextNormal();
      return;
    }
    const ids = from === 'TEXT' ? (initialTokenIds ?? []) : drawn(N, () => rng.nextBelow(base.config.vocabSize));
    if (ids.length === 0) {
      fail('CONFIG_INVALID', 'the text that virtual tokens begin as has no token: give one, or let them be drawn', {
        param: 'prompt_tuning_init_text',
      });
    }
    const tokenIds = Int32Array.from({ length: N }, (_, n) => ids[n % ids.length]);
    base.kernels.embeddingForward(values, base.embedding, tokenIds, N);
  },

  bind({ num_virtual_tokens: N }, _base, tensors) {
    return {
      ...baseHooks,
      numVirtual: N,
      embed(g, rows, x) {
        replaceRows(g, x, requireTensor(tensors, PROMPT_EMBEDDINGS), virtualRows(rows, N));
      },
    };
  },

  compile: (_config, _base, tensors) => compileEmbeddings(tensors),
};

/** An adapter of virtual tokens that are rows of input. */
export function compileEmbeddings(tensors: AdapterTensors): CompiledAdapter {
  const embeddings_ND = requireTensor(tensors, PROMPT_EMBEDDINGS);
  const count = embeddings_ND.shape[0];
  return assembleAdapter({ sites: new Map(), virtual: { kind: 'embeddings', count, embeddings_ND } });
}

function drawn(count: number, draw: () => number): number[] {
  return Array.from({ length: count }, draw);
}
