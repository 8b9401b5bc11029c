import type { Rng } from '../base/index.ts';
import type { Floats } from '../numeric/index.ts';
import type { SamplingParams } from './request.ts';

/**
 * The next token of one sequence. Depends on nothing but its own logits and its own generator.
 * @param logits_V one row; not changed
 */
export function sampleToken(logits_V: Floats, { temperature, topP }: SamplingParams, rng: Rng): number {
  const best = argmax(logits_V);
  if (temperature === 0) return best;
  const top = logits_V[best];
  const weights = new Float64Array(logits_V.length);
  let total = 0;
  for (let id = 0; id < weights.length; id++) {
    const weight = Math.exp((logits_V[id] - top) / temperature);
    weights[id] = weight;
    total += weight;
  }
  return topP >= 1 ? drawFrom(allIds(weights.length), weights, total, rng) : drawNucleus(weights, total, topP, rng);
}

/** The lowest id with the highest logit. */
export function argmax(logits_V: Floats): number {
  let best = 0;
  for (let id = 1; id < logits_V.length; id++) if (logits_V[id] > logits_V[best]) best = id;
  return best;
}

function drawNucleus(weights: Float64Array, total: number, topP: number, rng: Rng): number {
  // Tokens below (1 − p)/V sum to less than 1 − p: none of them can be needed, so few are left to sort.
  const floor = ((1 - topP) * total) / weights.length;
  const candidates: number[] = [];
  for (let id = 0; id < weights.length; id++) if (weights[id] >= floor) candidates.push(id);
  candidates.sort((a, b) => weights[b] - weights[a] || a - b);
  let kept = 0;
  let sum = 0;
  while (kept < candidates.length && (kept === 0 || sum < topP * total)) {
    sum += weights[candidates[kept]];
    kept++;
  }
  return drawFrom(candidates.slice(0, kept), weights, sum, rng);
}

function drawFrom(ids: Iterable<number>, weights: Float64Array, total: number, rng: Rng): number {
  let left = rng.nextFloat() * total;
  let last = 0;
  for (const id of ids) {
    last = id;
    left -= weights[id];
    if (left < 0) return id;
  }
  return last;
}

function* allIds(count: number): Generator<number> {
  for (let id = 0; id < count; id++) yield id;
}
