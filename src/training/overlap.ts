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
  /** Held-out examples that were trained on, or of which a turn was: the held-out loss is then too good. */
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
  const prompts = train.examples.map((example) => promptKeys(example, tokenizer));
  const heldOut = valid ?? { examples: [], lines: [] };
  return {
    exactDuplicates: repeats(exact, train.lines),
    samePrompts: repeats(
      prompts.map((keys) => keys[keys.length - 1]),
      train.lines,
    ),
    exactLeaks: leaks(
      [exact.map((key) => [key]), train.lines],
      [heldOut.examples.map((example) => [contentKey(example)]), heldOut.lines],
    ),
    promptLeaks: leaks(
      [prompts, train.lines],
      [heldOut.examples.map((example) => promptKeys(example, tokenizer)), heldOut.lines],
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

/** For each learned answer a digest of all words before it, the first answer's first; one of all words where there are none before an answer, or no answer. */
export function promptKeys(example: TokenExample, tokenizer: Tokenizer): readonly string[] {
  const { tokenIds, lossWeights, ends } = example;
  const length = ends?.[0] ?? lossWeights.length;
  const words: string[] = [];
  const keys: string[] = [];
  let begin = 0;
  const read = (end: number): void => {
    const piece = wordsOf(tokenizer.decode(tokenIds.subarray(begin, end), { skipSpecial: true }));
    if (piece !== '') words.push(piece);
    begin = end;
  };
  const key = (): string => createHash('sha256').update(words.join(' ')).digest('hex');
  for (let start = 0; start < length; start++) {
    if (lossWeights[start] === 0 || (start > 0 && lossWeights[start - 1] !== 0)) continue;
    read(start);
    if (words.length > 0) keys.push(key());
  }
  if (keys.length > 0) return keys;
  read(tokenIds.length);
  return [key()];
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

/** Each example by its keys, any of which may be another's. */
type Keyed = readonly [keys: readonly (readonly string[])[], lines: readonly number[]];

function leaks([trainKeys, trainLines]: Keyed, [heldOutKeys, lines]: Keyed): Overlap {
  const places = new Map(trainKeys.flatMap((keys, index) => keys.map((key) => [key, trainLines[index]] as const)));
  const found = heldOutKeys.flatMap((keys, index): (readonly [number, number])[] => {
    const line = keys.map((key) => places.get(key)).find((place) => place !== undefined);
    return line === undefined ? [] : [[line, lines[index]]];
  });
  return { count: found.length, lines: found.slice(0, MAX_SHOWN) };
}
