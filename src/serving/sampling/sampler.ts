import type { Rng } from '../../base/index.ts';
import type { Floats } from '../../numeric/index.ts';
import { adjustedLogits, hasAdjustments, NO_CONTEXT, type SamplingContext } from './logit-adjustments.ts';
import type { SamplingParams } from '../request.ts';

/**
 * The next token of one sequence. Depends on nothing but its own logits, its own tokens and its own generator. What is asked for is
 * applied in this order: penalties and bias, temperature, minP, topK, topP.
 * @param logits_V one row; not changed
 * @param known the lowest id with the highest of these logits, if somebody has looked already
 */
export function sampleToken(
  logits_V: Floats,
  params: SamplingParams,
  rng: Rng,
  context: SamplingContext = NO_CONTEXT,
  known?: number,
): number {
  const isAdjusted = hasAdjustments(params, context);
  const adjusted_V = isAdjusted ? adjustedLogits(logits_V, params, context) : logits_V;
  const best = isAdjusted ? argmax(adjusted_V) : (known ?? argmax(adjusted_V));
  if (params.temperature === 0) return best;
  const { weights_V, total } = weightsOf(adjusted_V, adjusted_V[best], params);
  const { topP, topK = 0 } = params;
  if (topP >= 1 && topK === 0) return drawFromAll(weights_V, total, rng);
  return drawFrom(mostProbable(weights_V, total, params), weights_V, rng);
}

/** The lowest id with the highest logit. */
export function argmax(logits_V: Floats): number {
  let best = 0;
  for (let id = 1; id < logits_V.length; id++) if (logits_V[id] > logits_V[best]) best = id;
  return best;
}

/** exp((logit − top) / temperature): the most probable token weighs 1, and one that minP excludes nothing. */
function weightsOf(
  logits_V: Floats,
  top: number,
  { temperature, minP = 0 }: SamplingParams,
): { weights_V: Float64Array; total: number } {
  const weights_V = new Float64Array(logits_V.length);
  let total = 0;
  for (let id = 0; id < weights_V.length; id++) {
    const weight = Math.exp((logits_V[id] - top) / temperature);
    if (weight < minP) continue;
    weights_V[id] = weight;
    total += weight;
  }
  return { weights_V, total };
}

/** The ids that topK and then topP leave, the most probable first. */
function mostProbable(weights_V: Float64Array, total: number, { topP, topK = 0 }: SamplingParams): number[] {
  const numKept = topK > 0 ? Math.min(topK, weights_V.length) : weights_V.length;
  // Tokens below (1 − p)/V sum to less than 1 − p: none of them can be needed, so few are left to sort.
  const floor = topK > 0 ? kthLargest(weights_V, numKept) : ((1 - topP) * total) / weights_V.length;
  const candidates: number[] = [];
  for (let id = 0; id < weights_V.length; id++) if (weights_V[id] >= floor && weights_V[id] > 0) candidates.push(id);
  candidates.sort((a, b) => weights_V[b] - weights_V[a] || a - b);
  candidates.length = Math.min(candidates.length, numKept);
  if (topP >= 1) return candidates;
  const limit = topP * (topK > 0 ? sumOf(candidates, weights_V) : total);
  let kept = 0;
  for (let sum = 0; kept < candidates.length && (kept === 0 || sum < limit); kept++) sum += weights_V[candidates[kept]];
  candidates.length = kept;
  return candidates;
}

/** The k-th largest value, k from 1 (Hoare's selection, 1961): no need to sort a whole vocabulary. */
function kthLargest(values: Float64Array, k: number): number {
  const work = Float64Array.from(values);
  const target = work.length - k;
  let [begin, end] = [0, work.length - 1];
  while (begin < end) {
    const pivot = work[(begin + end) >> 1];
    let [low, high] = [begin, end];
    while (low <= high) {
      while (work[low] < pivot) low++;
      while (work[high] > pivot) high--;
      if (low > high) break;
      [work[low], work[high]] = [work[high], work[low]];
      low++;
      high--;
    }
    if (target <= high) end = high;
    else if (target >= low) begin = low;
    else return pivot;
  }
  return work[target];
}

function drawFrom(ids: readonly number[], weights_V: Float64Array, rng: Rng): number {
  let left = rng.nextFloat() * sumOf(ids, weights_V);
  for (const id of ids) {
    left -= weights_V[id];
    if (left < 0) return id;
  }
  return ids[ids.length - 1];
}

function drawFromAll(weights_V: Float64Array, total: number, rng: Rng): number {
  let left = rng.nextFloat() * total;
  let last = 0;
  for (let id = 0; id < weights_V.length; id++) {
    if (weights_V[id] === 0) continue;
    last = id;
    left -= weights_V[id];
    if (left < 0) return id;
  }
  return last;
}

function sumOf(ids: readonly number[], weights_V: Float64Array): number {
  let sum = 0;
  for (const id of ids) sum += weights_V[id];
  return sum;
}
