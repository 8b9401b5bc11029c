/**
 * How several arrays become one, element by element, as Hugging Face PEFT's `merge_utils` does it: task arithmetic (Ilharco et al., 2023), TIES
 * (Yadav et al., 2023), DARE (Yu et al., 2024) and magnitude pruning. All arrays have one length.
 */
export type MergeRule = 'linear' | 'ties' | 'dare_linear' | 'dare_ties' | 'magnitude_prune';

export type MajoritySign = 'total' | 'frequency';

export interface RuleOptions {
  /** Share of the values of each array that is kept, from 0 to 1; `linear` keeps all. */
  readonly density: number;
  readonly majoritySign: MajoritySign;
  /** DARE's coin: whether value i of array `part` is kept. Called for every value of an array in rising order, part by part. */
  readonly keeps: (part: number, i: number, length: number) => boolean;
}

/** Σ weight · array under a rule, in float64. */
export function mergeArrays(
  rule: MergeRule,
  arrays: readonly ArrayLike<number>[],
  weights: readonly number[],
  options: RuleOptions,
): Float64Array {
  const pruned = arrays.map((array, part) => prune(rule, array, part, options));
  const isElected = rule === 'ties' || rule === 'dare_ties';
  return isElected ? disjointMean(pruned, weights, options.majoritySign) : weightedSum(pruned, weights);
}

function prune(
  rule: MergeRule,
  array: ArrayLike<number>,
  part: number,
  { density, keeps }: RuleOptions,
): ArrayLike<number> {
  if (rule === 'linear' || density >= 1) return array;
  if (rule === 'ties' || rule === 'magnitude_prune') return largest(array, Math.floor(density * array.length));
  // DARE: what is left is scaled up, so that the sum keeps its expected value.
  return Float64Array.from(array, (value, i) => (keeps(part, i, array.length) ? value / density : 0));
}

/** The `count` values of the largest magnitude, the others zero. Of equal ones the first are kept. */
function largest(array: ArrayLike<number>, count: number): Float64Array {
  const order = Array.from({ length: array.length }, (_, i) => i);
  order.sort((a, b) => Math.abs(array[b]) - Math.abs(array[a]) || a - b);
  const kept = new Float64Array(array.length);
  for (const i of order.slice(0, count)) kept[i] = array[i];
  return kept;
}

function weightedSum(arrays: readonly ArrayLike<number>[], weights: readonly number[]): Float64Array {
  return Float64Array.from({ length: arrays[0].length }, (_, i) =>
    arrays.reduce((sum, array, part) => sum + weights[part] * array[i], 0),
  );
}

/** The mean of those weighted values whose sign is the majority's, by the sum of the values or by their number. */
function disjointMean(
  arrays: readonly ArrayLike<number>[],
  weights: readonly number[],
  majoritySign: MajoritySign,
): Float64Array {
  return Float64Array.from({ length: arrays[0].length }, (_, i) => {
    let balance = 0;
    for (const array of arrays) balance += majoritySign === 'total' ? array[i] : Math.sign(array[i]);
    const elected = balance >= 0 ? 1 : -1;
    let [sum, count] = [0, 0];
    for (const [part, array] of arrays.entries()) {
      if (Math.sign(array[i]) !== elected) continue;
      sum += weights[part] * array[i];
      count++;
    }
    return sum / Math.max(1, count);
  });
}
