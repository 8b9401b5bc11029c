/** The proof of what the linear layers' parity probe (adapters/proof) does not see: virtual tokens, trained tokens' rows, trained norms, heads. */
import { PARITY_TOLERANCES, type CompiledAdapter, type TokenRows } from '../../adapters/index.ts';
import { fail, Rng } from '../../base/index.ts';
import type { BaseModel } from '../../model/index.ts';
import { compareToReference } from '../../numeric/index.ts';
import { DEFAULT_ENGINE, Engine, GREEDY, type GenerateRequest } from '../../serving/index.ts';
import { probeClasses } from './class-probe.ts';
import { plainLogits, STEP_TOKENS, type RowProbe } from './plain-logits.ts';

const PROBE_PROMPT = 12;
/** Tokens that are generated, and so rows of logits that are compared. */
const PROBE_ANSWER = 4;
/**
 * Lets the engine answer a prompt with the adapter, in a batch with the same prompt on the base, and compares its logits, or those of a
 * classifier's labels, with those of a plain forward pass.
 * @returns undefined for an adapter that has none of these
 * @throws ADAPTER_INVALID the two differ, or the adapter changes no logit
 */
export function probeRows(base: BaseModel, adapter: CompiledAdapter): RowProbe | undefined {
  const { virtual, tokenRows, norms, embedding, head } = adapter;
  if (!(virtual ?? tokenRows ?? norms ?? embedding ?? head)) return undefined;
  const prompt = probePrompt(base, tokenRows);
  if (head?.kind === 'classes') return probeClasses(base, adapter, prompt);
  const { tokenIds, logits, unchanged } = servedLogits(base, adapter, prompt, virtual?.count ?? 0);
  const plain = plainLogits(base, adapter, [...prompt, ...tokenIds.slice(0, -1)], PROBE_ANSWER);
  const tolerance = PARITY_TOLERANCES[base.format];
  const { passes, error, message } = compareToReference(logits, plain, tolerance);
  if (!passes) {
    fail('ADAPTER_INVALID', `the adapter's logits in a batch are not those of a plain pass: ${message}`, {
      param: 'parity',
    });
  }
  if (compareToReference(logits.subarray(0, unchanged.length), unchanged, Infinity).error === 0) {
    fail('ADAPTER_INVALID', 'the adapter changes no logit: it answers like the base', { param: 'effect' });
  }
  return { error, tolerance };
}

/** Random tokens, half of them trained ones where there are such. */
function probePrompt({ config }: BaseModel, tokenRows: TokenRows | undefined): number[] {
  const rng = Rng.fromSeed(0, 'row probe');
  return Array.from({ length: PROBE_PROMPT }, (_, n) => {
    const any = rng.nextBelow(config.vocabSize);
    return tokenRows && n % 2 === 0 ? tokenRows.ids[any % tokenRows.ids.length] : any;
  });
}

/** @returns the greedy answer with each of its rows of logits, and the base's first row */
function servedLogits(base: BaseModel, adapter: CompiledAdapter, prompt: readonly number[], numVirtual: number) {
  const tokenIds: number[] = [];
  let hasBase = false;
  const logits = new Float32Array(PROBE_ANSWER * base.config.vocabSize);
  const unchanged = new Float32Array(base.config.vocabSize);
  const cacheTokens = 2 * (numVirtual + prompt.length + PROBE_ANSWER) + 256;
  const engine = new Engine(
    base,
    { ...DEFAULT_ENGINE, maxStepTokens: STEP_TOKENS, cacheTokens },
    {
      choose({ request: { id } }, logits_V, best = 0) {
        if (id === 'adapter') logits.set(logits_V, tokenIds.push(best) * logits_V.length - logits_V.length);
        else if (!hasBase) unchanged.set(logits_V);
        hasBase ||= id === 'base';
        return { id: best, logprob: undefined };
      },
    },
  );
  const ask = (id: string): GenerateRequest => ({
    id,
    adapter: id === 'base' ? null : id,
    promptTokenIds: Int32Array.from(prompt),
    maxTokens: PROBE_ANSWER,
    stopTokenIds: [],
    sampling: GREEDY,
  });
  engine.submit(ask('base'));
  engine.submit(ask('adapter'), adapter);
  while (engine.hasWork) for (const { error } of engine.step().failures) throw error;
  return { tokenIds, logits, unchanged };
}
