import { createHash } from 'node:crypto';
import type { Tokenizer } from '../text/index.ts';
import type { LoadedExamples } from './example.ts';
import type { TokenExample } from './pack.ts';

/** Examples that stand more than once in the data, and where the first of them stand. */
export interface Overlap {
  readonly count: number;
  /** Pairs of lines, at most {@link MAX_SHOWN}: the earlier (or training) example, and the one that repeats it. */
  readonly lines: readonly (readonly [first: number, again: number])[];
}

/**
 * What the data repeats. Exact: all tokens are the same. By words: the prompts are the same words in the same order, without regard to
 * case, punctuation and space, so that one answers the other or contradicts it.
 */
export interface OverlapReport {
  readonly exactDuplicates: Overlap;
  readonly samePrompts: Overlap;
  /** Held-out examples that were trained on: the held-out loss is then too good. */
  readonly exactLeaks: Overlap;
  readonly promptLeaks: Overlap;
}

const MAX_SHOWN = 5;

export function findOverlaps(
  train: LoadedExamples,
  valid: LoadedExamples | undefined,
  tokenizer: Tokenizer,
): OverlapReport {
  const exact = train.examples.map(contentKey);
  const prompts = train.examples.map((example) => promptKey(example, tokenizer));
  const heldOut = valid ?? { examples: [], lines: [] };
  return {
    exactDuplicates: repeats(exact, train.lines),
    samePrompts: repeats(prompts, train.lines),
    exactLeaks: leaks([exact, train.lines], [heldOut.examples.map(contentKey), heldOut.lines]),
    promptLeaks: leaks(
      [prompts, train.lines],
      [heldOut.examples.map((example) => promptKey(example, tokenizer)), heldOut.lines],
    ),
  };
}

/** What is wrong with the overlaps, for people. */
export function describeOverlaps(report: OverlapReport): string[] {
  const { exactDuplicates, samePrompts, exactLeaks, promptLeaks } = report;
  const shown = ({ lines }: Overlap, what: string): string =>
    lines.map(([first, again]) => what.replace('#', String(again)).replace('#', String(first))).join(', ');
  return [
    exactDuplicates.count > 0
      ? `${exactDuplicates.count} training examples repeat an earlier one exactly (${shown(exactDuplicates, 'line # is line #')}): they count more than once`
      : '',
    samePrompts.count > exactDuplicates.count
      ? `${samePrompts.count} training examples have the prompt of an earlier one, but for case and punctuation (${shown(samePrompts, 'line # asks what line # asks')})`
      : '',
    exactLeaks.count > 0
      ? `${exactLeaks.count} held-out examples are in the training data (${shown(exactLeaks, 'held-out line # is training line #')}): the held-out loss is too good, remove them`
      : '',
    promptLeaks.count > exactLeaks.count
      ? `${promptLeaks.count} held-out prompts are in the training data, but for case and punctuation (${shown(promptLeaks, 'held-out line # asks what training line # asks')}): the held-out loss may be too good`
      : '',
  ].filter((line) => line !== '');
}

/** A digest of all tokens of an example and which of them are learned, or of its label. */
export function contentKey({ tokenIds, lossWeights, label }: TokenExample): string {
  const bytes = (values: Int32Array | Float32Array): Uint8Array =>
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const hash = createHash('sha256').update(bytes(tokenIds)).update(bytes(lossWeights));
  return (label === undefined ? hash : hash.update(String(label))).digest('hex');
}

/** A digest of the words before the last answer; of all words where the prompt has none. */
export function promptKey(example: TokenExample, tokenizer: Tokenizer): string {
  const text = (end: number): string =>
    wordsOf(tokenizer.decode(example.tokenIds.subarray(0, end), { skipSpecial: true }));
  const prompt = text(lastAnswerStart(example));
  return createHash('sha256')
    .update(prompt === '' ? text(example.tokenIds.length) : prompt)
    .digest('hex');
}

/** Where the last answer of an example's first sequence begins. */
export function lastAnswerStart({ lossWeights, ends }: TokenExample): number {
  let start = (ends?.[0] ?? lossWeights.length) - 1;
  while (start > 0 && lossWeights[start] === 0) start--;
  while (start > 0 && lossWeights[start - 1] !== 0) start--;
  return start;
}

function wordsOf(text: string): string {
  return (text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).join(' ');
}

type Keyed = readonly [keys: readonly string[], lines: readonly number[]];

function repeats(keys: readonly string[], lines: readonly number[]): Overlap {
  const firsts = new Map<string, number>();
  const found: (readonly [number, number])[] = [];
  for (const [index, key] of keys.entries()) {
    const first = firsts.get(key);
    if (first === undefined) firsts.set(key, index);
    else found.push([lines[first], lines[index]]);
  }
  return { count: found.length, lines: found.slice(0, MAX_SHOWN) };
}

function leaks([trainKeys, trainLines]: Keyed, [keys, lines]: Keyed): Overlap {
  const places = new Map(trainKeys.map((key, index) => [key, trainLines[index]]));
  const found = keys.flatMap((key, index): (readonly [number, number])[] => {
    const line = places.get(key);
    return line === undefined ? [] : [[line, lines[index]]];
  });
  return { count: found.length, lines: found.slice(0, MAX_SHOWN) };
}
