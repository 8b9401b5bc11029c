import { PROMPT_EMBEDDINGS, type PromptTuningConfig, type PTuningConfig } from '../../formats/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { requireTensor, type AdapterTensors, type Method } from '../method.ts';
import type { CompiledAdapter } from '../primitives.ts';

/** Prompt tuning (Lester et al., 2021): trained embeddings stand before the prompt. */
export const promptTuning: Method<PromptTuningConfig> = {
  name: 'prompt-tuning',
  peftType: 'PROMPT_TUNING',
  compile: (_config, _base, tensors) => compileEmbeddings(tensors),
};

/** P-tuning (Liu et al., 2021): the same artefact, since PEFT saves what the encoder gives and not the encoder. */
export const pTuning: Method<PTuningConfig> = {
  name: 'p-tuning',
  peftType: 'P_TUNING',
  compile: (_config, _base, tensors) => compileEmbeddings(tensors),
};

function compileEmbeddings(tensors: AdapterTensors): CompiledAdapter {
  const embeddings_ND = requireTensor(tensors, PROMPT_EMBEDDINGS);
  const count = embeddings_ND.shape[0];
  return assembleAdapter({ sites: new Map(), virtual: { kind: 'embeddings', count, embeddings_ND } });
}
