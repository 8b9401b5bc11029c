import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BASE_ADAPTER, compileAdapter, type CompiledAdapter } from '../../src/adapters/index.ts';
import { Rng } from '../../src/base/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { COMPUTE_DTYPES, loadNativeKernels, type Floats } from '../../src/numeric/index.ts';
import { DEFAULT_ENGINE, Engine, type EngineParts } from '../../src/serving/engine.ts';
import {
  GREEDY,
  type FinishReason,
  type GenerateRequest,
  type RankedLogprob,
  type TokenEvent,
} from '../../src/serving/request.ts';
import { chooseToken } from '../../src/serving/sampling/choose.ts';
import { argmax } from '../../src/serving/sampling/sampler.ts';
import { everyKindAdapter, prefixAdapter, promptAdapter, scaleAdapter, tokenAdapter } from './served-adapters.ts';
import { randomAdapter } from './tiny-adapters.ts';
import { tinySites, writeTinyBase } from './tiny-base.ts';

/** Random requests to a tiny base with adapters of every form, and the answer that each gets when it is alone. */

/** What the base's products are made in: f32, or what ESPALIER_TEST_COMPUTE says, with weights of the same name. */
export const computeDtype = COMPUTE_DTYPES.find((dtype) => dtype === process.env['ESPALIER_TEST_COMPUTE']) ?? 'f32';

export const tinyBase = (() => {
  const folder = mkdtempSync(join(tmpdir(), 'random-requests-'));
  writeTinyBase(folder);
  const format = computeDtype === 'int8' ? 'int8' : 'bf16';
  const loaded = loadBase(folder, 'tiny', loadNativeKernels({ threads: 1 }), format, computeDtype);
  rmSync(folder, { recursive: true });
  return loaded;
})();

/** Adapter zero is the base; the others have nothing in common. */
export const adapters: readonly CompiledAdapter[] = [
  BASE_ADAPTER,
  ...(['q_proj', 'v_proj o_proj', 'q_proj k_proj v_proj o_proj', 'gate_proj', 'up_proj down_proj'] as const).map(
    (targets, index) => {
      const options = { seed: index, rank: [1, 2, 4, 8, 16][index], targets: targets.split(' ') };
      return compileAdapter(randomAdapter(tinySites(), options), tinyBase);
    },
  ),
  promptAdapter(tinyBase.config, 11, 6),
  prefixAdapter(tinyBase.config, 21, 7),
  tokenAdapter(tinyBase.config, true, 8),
  scaleAdapter(tinyBase.config, 9),
  everyKindAdapter(tinyBase.config, 10),
];

/** Fails whatever batch it is in. */
export const BROKEN_ADAPTER: CompiledAdapter = {
  sites: new Map([
    [
      tinyBase.sites[9].path,
      [
        {
          kind: 'bias',
          get bias_O(): never {
            throw new Error('broken adapter');
          },
        },
      ],
    ],
  ]),
  sizeBytes: 0,
};
export const BROKEN_SAMPLER = { temperature: -1, topP: 1, seed: 0 };

export interface Outcome {
  readonly tokenIds: number[];
  /** Of the row of logits that each token was chosen from, also of the one that ended the answer. */
  readonly digests: number[];
  /** What the request read of its prompt's rows. */
  ofPrompt: Pick<TokenEvent, 'promptLogprobs' | 'embedding'>;
  /** Those of the answer's tokens, where the request asked for them. */
  readonly logprobs: RankedLogprob[];
  finishReason: FinishReason | null;
}

export function emptyOutcome(): Outcome {
  return { tokenIds: [], digests: [], ofPrompt: {}, logprobs: [], finishReason: null };
}

/** Adds an event to what its request has got. */
export function addEvent(outcome: Outcome, event: TokenEvent): void {
  const { tokenIds, logprobs = [], finishReason, promptLogprobs, embedding } = event;
  outcome.tokenIds.push(...tokenIds);
  outcome.logprobs.push(...logprobs);
  outcome.finishReason = finishReason;
  if (promptLogprobs ?? embedding) outcome.ofPrompt = { promptLogprobs, embedding };
}

export const NUM_PROMPTS = 24;
const NUM_STEMS = 4;
export const LONGEST = 36;
export const MAX_NEW = 20;
/** Of any adapter. */
export const MAX_VIRTUAL = 21;

/**
 * Prompt `p` on adapter `a`: a quarter of them sampled, some with penalties, some with tokens that end it early, some that read their
 * prompt's rows. Prompts of one stem begin alike.
 */
export function makeRequest(id: string, p: number, a: number): GenerateRequest {
  const rng = Rng.fromSeed(p, 'prompt');
  const ids = (from: Rng, count: number): number[] =>
    Array.from({ length: count }, () => from.nextBelow(tinyBase.config.vocabSize));
  const sampled = p % 4 === 1 ? { temperature: 1, topP: 0.5, seed: p } : GREEDY;
  const sampling = p % 8 === 5 ? { ...sampled, frequencyPenalty: 0.5, repetitionPenalty: 1.1 } : sampled;
  const length = 1 + rng.nextBelow(LONGEST);
  const stem = ids(Rng.fromSeed(p % NUM_STEMS, 'stem'), Math.min(length - 1, 34));
  return {
    id,
    promptTokenIds: Int32Array.from([...stem, ...ids(rng, length - stem.length)]),
    adapter: a === 0 ? null : `adapter ${a}`,
    maxTokens: 1 + rng.nextBelow(MAX_NEW),
    stopTokenIds: p % 3 === 0 ? ids(rng, 120) : [],
    minTokens: p % 12 === 9 ? 3 : 0,
    sampling,
    ...(p % 8 === 3 && { logprobs: { top: 2, ofPrompt: true } }),
    ...(p % 8 === 6 && { embedding: 'mean' }),
  };
}

/** An engine's parts that note a digest of every row of logits that a token is chosen from. */
export function recorder(nowMs: () => number = () => 0): EngineParts & { readonly digests: Map<string, number[]> } {
  const digests = new Map<string, number[]>();
  return {
    digests,
    clock: { nowMs, epochMs: nowMs },
    choose(sequence, logits_V, best, restrict) {
      const { id, sampling } = sequence.request;
      if (sampling === BROKEN_SAMPLER) throw new Error('broken sampler');
      digests.set(id, [...(digests.get(id) ?? []), digestOf(logits_V)]);
      assert.equal(best, argmax(logits_V), 'the engine knows the highest logit');
      return chooseToken(sequence, logits_V, best, restrict);
    },
  };
}

/** FNV-1a over the bits. */
function digestOf(values: Floats): number {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.byteLength / 4);
  let hash = 0x811c9dc5;
  for (const word of words) hash = Math.imul(hash ^ word ^ (word >>> 15), 0x01000193);
  return hash >>> 0;
}

const alone = new Map<string, Outcome>();
export function outcomeAlone(p: number, a: number): Outcome {
  const known = alone.get(`${p} ${a}`);
  if (known) return known;
  const { digests, ...parts } = recorder();
  const cacheTokens = LONGEST + MAX_NEW + MAX_VIRTUAL;
  const engine = new Engine(tinyBase, { ...DEFAULT_ENGINE, maxSequences: 1, cacheTokens, maxDraftTokens: 0 }, parts);
  engine.submit(makeRequest('alone', p, a), adapters[a]);
  const outcome = emptyOutcome();
  while (engine.hasWork) for (const event of engine.step().events) addEvent(outcome, event);
  outcome.digests.push(...(digests.get('alone') ?? []));
  alone.set(`${p} ${a}`, outcome);
  return outcome;
}
