/** Scores of generated answers against what was expected. All are shares from 0 to 1; the mean over examples but for BLEU and macro-F1, which are of the whole set. */
export type AnswerMetric = 'exact-match' | 'accuracy' | 'macro-f1' | 'rouge-l' | 'bleu';
export const ANSWER_METRICS: readonly AnswerMetric[] = ['exact-match', 'accuracy', 'macro-f1', 'rouge-l', 'bleu'];

export interface Answer {
  readonly generated: string;
  readonly expected: string;
}

export function scoreAnswers(metric: AnswerMetric, answers: readonly Answer[]): number {
  switch (metric) {
    case 'exact-match':
      return mean(answers.map(({ generated, expected }) => (generated.trim() === expected.trim() ? 1 : 0)));
    case 'accuracy':
      return mean(answers.map(({ generated, expected }) => (labelOf(generated) === labelOf(expected) ? 1 : 0)));
    case 'macro-f1':
      return macroF1(answers);
    case 'rouge-l':
      return mean(answers.map(({ generated, expected }) => rougeL(generated, expected)));
    case 'bleu':
      return bleu(answers);
    default:
      return metric satisfies never;
  }
}

/**
 * Whether an answer that has begun with `begun` can still score under a metric that compares whole answers; under the others it
 * always can. An answer that cannot need not be generated to its end.
 */
export function canStillMatch(metric: AnswerMetric, begun: string, expected: string): boolean {
  if (metric !== 'exact-match' && metric !== 'accuracy') return true;
  const norm = metric === 'accuracy' ? labelOf : (text: string): string => text.trim();
  // The bytes of a character may still be on their way.
  return norm(expected).startsWith(norm(begun.replace(/\uFFFD+$/u, '')));
}

/** Labels are compared without regard to case and surrounding white space; the whole answer counts. */
function labelOf(text: string): string {
  return text.trim().toLowerCase();
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * The mean of the F1 of every label that is expected anywhere, each counting the same however rare it is. An answer that is no such label
 * is a miss of the expected one and of no other.
 */
function macroF1(answers: readonly Answer[]): number {
  const labels = new Map<string, { right: number; expected: number; answered: number }>();
  for (const { expected } of answers) labels.set(labelOf(expected), { right: 0, expected: 0, answered: 0 });
  for (const { generated, expected } of answers) {
    const [wanted, given] = [labels.get(labelOf(expected)), labels.get(labelOf(generated))];
    if (wanted) wanted.expected++;
    if (given) given.answered++;
    if (wanted && wanted === given) wanted.right++;
  }
  return mean([...labels.values()].map(({ right, expected, answered }) => (2 * right) / (expected + answered)));
}

/** Words, numbers and single punctuation marks, in lower case. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? [];
}

/** F1 of the longest common subsequence of words (Lin, 2004). */
export function rougeL(generated: string, expected: string): number {
  const [a, b] = [wordsOf(generated), wordsOf(expected)];
  if (a.length === 0 || b.length === 0) return a.length === b.length ? 1 : 0;
  let previous = new Uint32Array(b.length + 1);
  for (const word of a) {
    const current = new Uint32Array(b.length + 1);
    for (let j = 1; j <= b.length; j++) {
      current[j] = word === b[j - 1] ? previous[j - 1] + 1 : Math.max(previous[j], current[j - 1]);
    }
    previous = current;
  }
  const common = previous[b.length];
  return common === 0 ? 0 : (2 * common) / (a.length + b.length);
}

const MAX_ORDER = 4;

/** BLEU-4 of the whole set with one reference each, without smoothing (Papineni et al., 2002). */
export function bleu(answers: readonly Answer[]): number {
  const matches = new Float64Array(MAX_ORDER);
  const totals = new Float64Array(MAX_ORDER);
  let [generatedLength, expectedLength] = [0, 0];
  for (const { generated, expected } of answers) {
    const [a, b] = [wordsOf(generated), wordsOf(expected)];
    generatedLength += a.length;
    expectedLength += b.length;
    for (let order = 1; order <= MAX_ORDER; order++) {
      const wanted = countGrams(b, order);
      for (const [gram, count] of countGrams(a, order)) {
        matches[order - 1] += Math.min(count, wanted.get(gram) ?? 0);
        totals[order - 1] += count;
      }
    }
  }
  if (matches.some((count) => count === 0)) return 0;
  let logPrecision = 0;
  for (let i = 0; i < MAX_ORDER; i++) logPrecision += Math.log(matches[i] / totals[i]) / MAX_ORDER;
  const brevity = generatedLength >= expectedLength ? 0 : 1 - expectedLength / generatedLength;
  return Math.exp(logPrecision + brevity);
}

function countGrams(words: readonly string[], order: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i + order <= words.length; i++) {
    const gram = words.slice(i, i + order).join('\u0000');
    counts.set(gram, (counts.get(gram) ?? 0) + 1);
  }
  return counts;
}
