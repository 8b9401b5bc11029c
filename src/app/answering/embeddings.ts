import { assert, fail } from '../../base/index.ts';
import type { EmbeddingRequest, Embeddings } from '../../http/index.ts';
import { GREEDY } from '../../serving/index.ts';
import { ask, checkPrompts, SEQUENCES_AT_ONCE, type Asking, type ChatEngine } from './asking.ts';
import { interleave } from './interleave.ts';
import { tokensOf } from './text-completions.ts';

/** One vector for each input, whatever else the engine computes beside it. @throws REQUEST_INVALID CONTEXT_TOO_LONG */
export async function embedInputs(
  service: ChatEngine,
  asking: Asking,
  { inputs, dimensions, pooling }: EmbeddingRequest,
): Promise<Embeddings> {
  const width = dimensions ?? service.hiddenSize;
  if (width > service.hiddenSize) {
    fail('REQUEST_INVALID', `dimensions must be at most ${service.hiddenSize} with this base, got ${width}`, {
      param: 'dimensions',
    });
  }
  const rendered = inputs.map((input, index) => {
    const param = inputs.length === 1 ? 'input' : `input[${index}]`;
    return { param, promptTokenIds: tokensOf(service, input, param) };
  });
  checkPrompts(service, asking, rendered, 0);
  for (const { promptTokenIds } of rendered) asking.meter.promptTokens += promptTokenIds.length;
  asking.reserve(asking.meter.promptTokens, inputs.length, 0, 0);
  const vectors: Float32Array[] = [];
  const sources = rendered.map(async function* ({ param, promptTokenIds }, index) {
    const request = { promptTokenIds, maxTokens: 0, stopTokenIds: [], sampling: GREEDY, embedding: pooling };
    for await (const { embedding } of ask(service, asking, request, param)) {
      assert(embedding, 'a request for an embedding ends with one');
      yield { index, vector: truncated(embedding, width) };
    }
  });
  for await (const { index, vector } of interleave(sources, SEQUENCES_AT_ONCE)) vectors[index] = vector;
  return { vectors, promptTokens: asking.meter.promptTokens };
}

/** The first `width` numbers, of length 1 again. */
function truncated(vector: Float32Array, width: number): Float32Array {
  if (width === vector.length) return vector;
  const kept = Float64Array.from(vector.subarray(0, width));
  const norm = Math.sqrt(kept.reduce((sum, value) => sum + value * value, 0));
  return Float32Array.from(kept, (value) => (norm === 0 ? 0 : value / norm));
}
