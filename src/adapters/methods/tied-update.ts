/** LoRA on an embedding and a head that are one matrix in the base. */
import { assert, fail } from '../../base/index.ts';
import { EMBEDDING_PATH, HEAD_PATH, savedModules, tensorName, type LoraConfig } from '../../formats/index.ts';
import type { LinearSite, ModelConfig } from '../../model/index.ts';
import type { Parameter } from '../../numeric/index.ts';
import type { StepRule } from '../method.ts';
import { loraTargets } from '../targets.ts';

export const EMBEDDING_A = tensorName(EMBEDDING_PATH, 'lora_embedding_A');
export const EMBEDDING_B = tensorName(EMBEDDING_PATH, 'lora_embedding_B');
export const HEAD_A = tensorName(HEAD_PATH, 'lora_A.weight');
export const HEAD_B = tensorName(HEAD_PATH, 'lora_B.weight');

/** Whether the embedding and the head are trained as the one matrix that they are in the base. */
export function isTied(config: LoraConfig, { tieEmbeddings }: { readonly tieEmbeddings: boolean }): boolean {
  return config.ensure_weight_tying && tieEmbeddings;
}

/** The matrices of the head's update are those of the embedding's, transposed: B of one is A of the other. */
export const TIED_PAIRS = [
  [EMBEDDING_A, HEAD_B],
  [EMBEDDING_B, HEAD_A],
] as const;

/**
 * Keeps the update of a head that is tied to the embedding the same as the embedding's, as PEFT trains it (`ensure_weight_tying`): there the head's
 * parameters are transposed views of the embedding's memory, each with a gradient and moments of its own, so that the optimizer changes
 * the one memory twice in a step. Here each is changed alone, and then both get both changes.
 * @throws CONFIG_INVALID when the head's A is not trained (LoRA-FA)
 */
function tiedUpdate(parameters: readonly Parameter[]): StepRule {
  const pairs = TIED_PAIRS.map(([ofEmbedding, ofHead]) => {
    const [embedding, head] = [ofEmbedding, ofHead].map((name) => parameters.find((one) => one.name === name));
    if (!embedding || !head) {
      fail(
        'CONFIG_INVALID',
        'ensure_weight_tying trains A and B of the embedding and the head as one: leave --freeze-a out',
        { param: 'ensure_weight_tying' },
      );
    }
    return { embedding: embedding.value, head: head.value, before: embedding.value.data.slice() };
  });
  return {
    state: new Map(),
    beforeUpdate() {
      for (const { embedding, before } of pairs) before.set(embedding.data);
    },
    afterUpdate() {
      for (const { embedding, head, before } of pairs) {
        const [M, N] = embedding.shape as [number, number];
        assert(head.shape[0] === N && head.shape[1] === M, 'the head has the transposes of the embedding');
        for (let m = 0; m < M; m++) {
          for (let n = 0; n < N; n++) {
            const [at, turned] = [m * N + n, n * M + m];
            const value = embedding.data[at] + head.data[turned] - before[at];
            embedding.data[at] = value;
            head.data[turned] = value;
          }
        }
      }
    },
  };
}

/** What keeps the update of a tied head and that of the embedding one; undefined where they are two, or none. */
export function tyingRule(
  config: LoraConfig,
  parameters: readonly Parameter[],
  model: { readonly tieEmbeddings: boolean },
): StepRule | undefined {
  const isUpdated = parameters.some(({ name }) => name === EMBEDDING_A);
  return isUpdated && isTied(config, model) ? tiedUpdate(parameters) : undefined;
}

/** What of the embedding and a head that is the same matrix is not as it seems: PEFT warns of the same. */
export function tyingWarnings(config: LoraConfig, sites: readonly LinearSite[], model: ModelConfig): string[] {
  const { embedding, head } = loraTargets(config, sites);
  const saved = savedModules(config.modules_to_save, { config: model });
  const isOuter = embedding || head || saved.some(({ path }) => path === EMBEDDING_PATH || path === HEAD_PATH);
  if (!config.ensure_weight_tying) {
    if (!isOuter || !model.tieEmbeddings) return [];
    return [
      'the head of this base is its embedding, and the adapter changes one of them or both apart: with ensure_weight_tying (--ensure-weight-tying) they stay one',
    ];
  }
  if (!model.tieEmbeddings) {
    return ['ensure_weight_tying has no effect: the head of this base is a matrix of its own'];
  }
  if (isOuter) return [];
  return ['ensure_weight_tying has no effect: neither the embedding nor the head is a target, or saved'];
}
