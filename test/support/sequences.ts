import { BASE_ADAPTER, type CompiledAdapter } from '../../src/adapters/index.ts';
import { parseModelConfig } from '../../src/model/index.ts';
import type { GenerateRequest } from '../../src/serving/request.ts';
import type { Scheduler } from '../../src/serving/scheduling/scheduler.ts';
import { Sequence } from '../../src/serving/sequence.ts';

/** A model of nothing: what is scheduled here is never computed. */
export const nothingConfig = parseModelConfig(
  {
    model_type: 'llama',
    vocab_size: 8,
    hidden_size: 4,
    intermediate_size: 4,
    num_hidden_layers: 1,
    num_attention_heads: 2,
  },
  'config.json',
);

export interface SequenceOptions extends Partial<GenerateRequest> {
  /** Its length, where the tokens do not matter: then no two requests have the same. */
  readonly numPrompt?: number;
  readonly compiled?: CompiledAdapter;
}

let numMade = 0;

/** A sequence of the base. */
export function makeSequence(id: string, options: SequenceOptions = {}): Sequence {
  const { numPrompt = 1, compiled = BASE_ADAPTER, ...request } = options;
  const own = 1000 * ++numMade;
  return new Sequence(
    {
      id,
      promptTokenIds: Int32Array.from({ length: numPrompt }, (_, i) => own + i),
      adapter: null,
      maxTokens: 4,
      stopTokenIds: [],
      sampling: { temperature: 0, topP: 1, seed: 0 },
      ...request,
    },
    compiled,
    1_000_000,
  );
}

/** One step without the arithmetic: what is planned, as `id:positions`; a sequence that is caught up gets a token, or ends. */
export function stepOf(scheduler: Scheduler, nowMs = 0): string[] {
  const { plan } = scheduler.schedule(nowMs);
  scheduler.commit(plan);
  for (const { sequence } of plan) {
    if (sequence.numComputed < sequence.numTokens) continue;
    sequence.tokenIds.push(-sequence.order);
    if (sequence.numTokens >= sequence.maxTokens) scheduler.remove(sequence);
  }
  return plan.map(({ sequence, numNew }) => `${sequence.request.id}:${numNew}`);
}
