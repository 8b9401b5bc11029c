import type { Problem } from '../../../base/index.ts';
import type { PrefixTuningConfig, PromptTuningConfig, PTuningConfig } from '../configs/prompt-config.ts';
import type { AdapterBase, TensorLayout } from './tensor-layout.ts';

/** The only tensor of prompt tuning and P-tuning ([N, D]) and of prefix tuning ([N, L·2·G·E]). */
export const PROMPT_EMBEDDINGS = 'prompt_embeddings';

const moduleOf: TensorLayout['moduleOf'] = (name) => (name === PROMPT_EMBEDDINGS ? '' : undefined);
const explain = (): string => `is unknown: expected ${PROMPT_EMBEDDINGS} and nothing else`;

/** Virtual tokens as rows of the embedding's width. */
export function promptLayout(config: PromptTuningConfig | PTuningConfig): TensorLayout {
  const count = config.num_virtual_tokens;
  return {
    moduleOf,
    explain,
    expected(_targets, { config: { hiddenSize } }) {
      const whose = `embedding of ${hiddenSize} numbers a token and the config's ${count} virtual tokens`;
      return [{ name: PROMPT_EMBEDDINGS, shape: [count, hiddenSize], whose }];
    },
    misfits: (base) => [
      ...misfit('token_dim', config.token_dim, base.config.hiddenSize, 'numbers in an embedding'),
      ...contextMisfit(count, base),
    ],
  };
}

/** Keys and values of every layer, in a row for each virtual token: layer 0's key, layer 0's value, layer 1's key… */
export function prefixLayout(config: PrefixTuningConfig): TensorLayout {
  const count = config.num_virtual_tokens;
  return {
    moduleOf,
    explain,
    expected(_targets, { config: { numLayers, numKeyValueHeads, headWidth } }) {
      const width = numLayers * 2 * numKeyValueHeads * headWidth;
      const whose = `keys and values of ${numLayers} layers with ${numKeyValueHeads} heads of ${headWidth} and the config's ${count} virtual tokens`;
      return [{ name: PROMPT_EMBEDDINGS, shape: [count, width], whose }];
    },
    misfits(base) {
      const { numLayers, numKeyValueHeads, headWidth } = base.config;
      return [
        ...misfit('num_layers', config.num_layers, numLayers, 'layers'),
        ...misfit('num_attention_heads', config.num_attention_heads, numKeyValueHeads, 'key-value heads'),
        ...misfit('token_dim', config.token_dim, numKeyValueHeads * headWidth, 'numbers in the keys of a token'),
        ...contextMisfit(count, base),
      ];
    },
  };
}

function misfit(field: string, value: number, wanted: number, of: string): Problem[] {
  if (value === wanted) return [];
  return [{ where: field, message: `${field} is ${value}, but the base has ${wanted} ${of}` }];
}

/** Virtual tokens take places of the context, and one must be left. */
function contextMisfit(count: number, { config: { contextLength } }: AdapterBase): Problem[] {
  if (count < contextLength) return [];
  const message = `num_virtual_tokens is ${count}, but the base's context has ${contextLength} places`;
  return [{ where: 'num_virtual_tokens', message }];
}
