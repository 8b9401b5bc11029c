/** Counters beside the labelled ones, for each label: enough to notice who grows. */
const CANDIDATES_PER_LABEL = 8;
/** How much larger a candidate must be than the smallest that has a label: labels that come and go are of no use. */
const PROMOTION_FACTOR = 2;
/** After so much weight all scores are halved, so that the past is forgotten. */
const HALVING_WEIGHT = 1e7;

export const OTHER = 'other';

/**
 * Keeps the number of a metric's series bounded: at most `limit` keys have a label of their own, the heaviest as far as is known; the
 * rest are {@link OTHER}. Candidates are counted by Misra and Gries' summary (1982), in bounded memory however many keys there are.
 */
export class TopLabels {
  readonly #limit: number;
  readonly #onDrop: (key: string) => void;
  readonly #labelled = new Map<string, number>();
  #candidates = new Map<string, number>();
  #weight = 0;

  /** @param onDrop a key has lost its label: its series should go */
  constructor(limit: number, onDrop: (key: string) => void) {
    this.#limit = limit;
    this.#onDrop = onDrop;
  }

  /** Counts `weight` for `key`. @returns the label under which it is to be reported */
  observe(key: string, weight: number): string {
    this.#age(weight);
    const score = this.#labelled.get(key);
    if (score !== undefined || this.#labelled.size < this.#limit) {
      this.#labelled.set(key, (score ?? 0) + weight);
      return key;
    }
    const candidate = this.#count(key, weight);
    const [smallest, least] = this.#smallest();
    if (candidate <= PROMOTION_FACTOR * least) return OTHER;
    this.#labelled.delete(smallest);
    this.#candidates.delete(key);
    this.#candidates.set(smallest, least);
    this.#labelled.set(key, candidate);
    this.#onDrop(smallest);
    return key;
  }

  #count(key: string, weight: number): number {
    const known = this.#candidates.get(key);
    if (known !== undefined || this.#candidates.size < CANDIDATES_PER_LABEL * this.#limit) {
      this.#candidates.set(key, (known ?? 0) + weight);
      return (known ?? 0) + weight;
    }
    const lessened = [...this.#candidates].map(([other, score]) => [other, score - weight] as const);
    this.#candidates = new Map(lessened.filter(([, score]) => score > 0));
    return weight;
  }

  #smallest(): [key: string, score: number] {
    let [smallest, least] = ['', Infinity];
    for (const [key, score] of this.#labelled) if (score < least) [smallest, least] = [key, score];
    return [smallest, least];
  }

  #age(weight: number): void {
    this.#weight += weight;
    if (this.#weight < HALVING_WEIGHT) return;
    this.#weight = 0;
    for (const scores of [this.#labelled, this.#candidates]) {
      for (const [key, score] of scores) scores.set(key, score / 2);
    }
  }
}
