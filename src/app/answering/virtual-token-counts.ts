import { join } from 'node:path';
import { ADAPTER_CONFIG, isRecord, numVirtualTokens, readJsonFile } from '../../formats/index.ts';
import type { AdapterSource } from '../../serving/index.ts';

/** More are not remembered: the oldest is read again. */
const MAX_KNOWN = 10_000;

/** How many virtual tokens adapters have, as their configs say: read once for each. */
export class VirtualTokenCounts {
  readonly #known = new Map<string, number>();

  of({ digest, directory }: Pick<AdapterSource, 'digest' | 'directory'>): number {
    const known = this.#known.get(digest);
    if (known !== undefined) return known;
    const count = readCount(directory);
    this.#known.set(digest, count);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAX_KNOWN) break;
      this.#known.delete(oldest);
    }
    return count;
  }
}

function readCount(directory: string): number {
  try {
    const config = readJsonFile(join(directory, ADAPTER_CONFIG));
    const count = isRecord(config) ? numVirtualTokens(config) : 0;
    return Number.isSafeInteger(count) && count > 0 ? count : 0;
  } catch {
    // Who loads it says what is wrong with it.
    return 0;
  }
}
