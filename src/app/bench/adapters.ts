import { join } from 'node:path';
import {
  compileAdapter,
  loraParameters,
  packAdapter,
  writeArtefact,
  type Adapter,
  type CompiledAdapter,
} from '../../adapters/index.ts';
import { assert, Rng } from '../../base/index.ts';
import { defaultLoraConfig } from '../../formats/index.ts';
import type { BaseModel, LinearSite } from '../../model/index.ts';
import { sizeOf } from '../../numeric/index.ts';
import type { AdapterSource } from '../../serving/index.ts';

/** How requests choose among N adapters (the popularities of Punica, Chen et al., 2023, and two more). */
export const POPULARITIES = ['none', 'identical', 'distinct', 'uniform', 'zipf', 'skewed'] as const;
export type Popularity = (typeof POPULARITIES)[number];

export interface BenchAdapterOptions {
  readonly rank: number;
  readonly targets: readonly string[] | string;
}

/** Random numbers that adapters take their values from, each from another place: drawing them one by one would take longer than the bench. */
const POOL_LENGTH = 2 ** 22;

/** Makes LoRA adapters whose A and B are random and not zero: unlike untrained ones, they change every answer. */
export class BenchAdapters {
  readonly #sites: readonly LinearSite[];
  readonly #options: BenchAdapterOptions;
  readonly #pool: Float32Array;

  constructor(sites: readonly LinearSite[], options: BenchAdapterOptions) {
    this.#sites = sites;
    this.#options = options;
    const rng = Rng.fromSeed(0, 'bench adapters');
    this.#pool = Float32Array.from({ length: POOL_LENGTH }, () => 0.02 * rng.nextNormal());
  }

  make(index: number): Adapter {
    const { rank, targets } = this.#options;
    const target_modules = typeof targets === 'string' ? targets : [...targets];
    const config = { ...defaultLoraConfig(), r: rank, lora_alpha: 2 * rank, target_modules };
    const rng = Rng.fromSeed(index, 'bench adapter');
    const parameters = loraParameters(config, this.#sites);
    const tensors = new Map(
      parameters.map(({ name, shape }) => {
        const length = sizeOf(shape);
        assert(length <= POOL_LENGTH, `${name} has at most ${POOL_LENGTH} values`);
        const from = rng.nextBelow(POOL_LENGTH - length + 1);
        return [name, { shape, data: this.#pool.slice(from, from + length) }] as const;
      }),
    );
    return { config, tensors };
  }

  /** As serving has it: compiled and packed. */
  compile(index: number, base: BaseModel): CompiledAdapter {
    return packAdapter(compileAdapter(this.make(index), base), base);
  }

  /** Writes it as a PEFT folder under `folder`. */
  write(folder: string, index: number, baseDigest: string): AdapterSource {
    const directory = join(folder, `adapter-${index}`);
    const { digest, sizeBytes } = writeArtefact(directory, this.make(index), baseDigest);
    return { digest, directory, tenant: null, sizeBytes };
  }
}

/**
 * Which adapter each of `count` requests uses, of `numAdapters`; undefined is the base. `zipf` has exponent 1; of `skewed`, nine in ten
 * are the first adapter's.
 */
export function chooseAdapters(
  popularity: Popularity,
  count: number,
  numAdapters: number,
  rng: Rng,
): (number | undefined)[] {
  const chosen = Array.from({ length: count }, (_, n) => n);
  const weights = Array.from({ length: numAdapters }, (_, n) => 1 / (n + 1));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  switch (popularity) {
    case 'none':
      return chosen.map(() => undefined);
    case 'identical':
      return chosen.map(() => 0);
    case 'distinct':
      return chosen.map((n) => n % numAdapters);
    case 'uniform':
      return chosen.map(() => rng.nextBelow(numAdapters));
    case 'skewed':
      return chosen.map(() => (rng.nextFloat() < 0.9 ? 0 : rng.nextBelow(numAdapters)));
    case 'zipf':
      return chosen.map(() => {
        let left = rng.nextFloat() * total;
        return Math.min(
          numAdapters - 1,
          weights.findIndex((weight) => (left -= weight) < 0),
        );
      });
  }
}
