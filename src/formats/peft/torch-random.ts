/**
 * Positions as PyTorch draws them on a CPU, where a file leaves them out and gives the seed: part of FourierFT's format.
 */

/** The generator of `torch.manual_seed(seed)` with its 32-bit numbers: the Mersenne Twister (Matsumoto and Nishimura, 1998), MT19937. */
class MersenneTwister {
  readonly #state = new Uint32Array(624);
  #next = 624;

  constructor(seed: number) {
    this.#state[0] = seed % 2 ** 32;
    for (let i = 1; i < 624; i++) {
      const before = this.#state[i - 1];
      this.#state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
    }
  }

  nextUint32(): number {
    if (this.#next === 624) this.#twist();
    let y = this.#state[this.#next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #twist(): void {
    const s = this.#state;
    for (let i = 0; i < 624; i++) {
      const y = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
      s[i] = s[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}

/**
 * The first `count` of `torch.randperm(total, generator=torch.Generator().manual_seed(seed))`: Fisher and Yates' shuffle from the front,
 * of which only the swaps that are needed are made.
 * @param total below 2³²
 */
export function torchPermutation(seed: number, count: number, total: number): Int32Array {
  const generator = new MersenneTwister(seed);
  const moved = new Map<number, number>();
  const at = (index: number): number => moved.get(index) ?? index;
  const first = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    // The last element has nothing to be swapped with, and nothing is drawn for it.
    const other = i < total - 1 ? i + (generator.nextUint32() % (total - i)) : i;
    first[i] = at(other);
    moved.set(other, at(i));
  }
  return first;
}
