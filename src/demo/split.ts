import { assert, Rng } from '../base/index.ts';

/** How many items each part gets. */
export interface SplitSizes {
  readonly train: number;
  readonly valid: number;
  readonly test: number;
}

export interface Split<T> {
  readonly train: T[];
  readonly valid: T[];
  readonly test: T[];
}

/** The lower-case words of a text, without digits and punctuation: what is left when a copy was only retouched. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/\p{L}+/gu) ?? [];
}

/** Every run of `length` consecutive words of a text; the whole text if it is shorter. */
export function shingles(text: string, length: number): string[] {
  const words = wordsOf(text);
  if (words.length <= length) return [words.join(' ')];
  return words.slice(0, words.length - length + 1).map((_, start) => words.slice(start, start + length).join(' '));
}

/**
 * Groups items that share any key, directly or through others (union-find), and keeps the first item of each group.
 * With keys such as {@link shingles} no two of the items that are kept are copies of each other, so no split of them
 * can leak, and each test item counts once.
 */
export function firstOfEachGroup<T>(items: readonly T[], keysOf: (item: T) => readonly string[]): T[] {
  const parent = items.map((_, index) => index);
  const rootOf = (index: number): number => {
    let root = index;
    while (parent[root] !== root) root = parent[root];
    while (parent[index] !== root) [index, parent[index]] = [parent[index], root];
    return root;
  };
  const firstWithKey = new Map<string, number>();
  items.forEach((item, index) => {
    for (const key of keysOf(item)) {
      const earlier = firstWithKey.get(key);
      if (earlier === undefined) firstWithKey.set(key, index);
      else {
        const [a, b] = [rootOf(earlier), rootOf(index)];
        parent[Math.max(a, b)] = Math.min(a, b);
      }
    }
  });
  return items.filter((_, index) => rootOf(index) === index);
}

/**
 * Deals items into the three parts, each with equal numbers of every label (sizes are rounded down to a multiple of the
 * number of labels). Deterministic in `seed`, and in the order of the items; the order within a part is mixed.
 */
export function splitBalanced<T>(
  items: readonly T[],
  labelOf: (item: T) => string,
  sizes: SplitSizes,
  seed: number,
): Split<T> {
  const byLabel = Map.groupBy(items, labelOf);
  const parts: Split<T> = { train: [], valid: [], test: [] };
  const rng = Rng.fromSeed(seed, 'demo-split');
  for (const label of [...byLabel.keys()].sort()) {
    const pool = rng.shuffle([...(byLabel.get(label) ?? [])]);
    for (const part of ['test', 'valid', 'train'] as const) {
      const count = Math.floor(sizes[part] / byLabel.size);
      assert(pool.length >= count, `label ${label} has ${pool.length} items left for ${part}, ${count} are wanted`);
      parts[part].push(...pool.splice(0, count));
    }
  }
  for (const part of ['train', 'valid', 'test'] as const) rng.shuffle(parts[part]);
  return parts;
}

/** The same split of what `convert` makes of each item. */
export function mapSplit<T, U>(split: Split<T>, convert: (item: T) => U): Split<U> {
  return { train: split.train.map(convert), valid: split.valid.map(convert), test: split.test.map(convert) };
}
