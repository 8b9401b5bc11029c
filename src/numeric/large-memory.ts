import { loadAddon, type Addon } from './native-addon.ts';

/** Less than this does not fill a large page. */
const LARGE_PAGE_BYTES = 2 * 2 ** 20;

let addon: Addon | undefined;
let isAsked = false;

/**
 * Zeroed memory for arrays that are read at many places at once: activations, keys and values. Where the system can, it lies in large pages, of which
 * the processor need not look up the place so often (docs/measurements.md says what that gives). Memory that is never touched is not resident.
 */
export function largeMemory(sizeBytes: number): ArrayBuffer {
  const buffer = new ArrayBuffer(sizeBytes);
  if (sizeBytes >= LARGE_PAGE_BYTES) addonIfBuilt()?.preferLargePages(new Uint8Array(buffer));
  return buffer;
}

/** The reference kernels, which need no addon, use such memory too. */
function addonIfBuilt(): Addon | undefined {
  if (isAsked) return addon;
  isAsked = true;
  try {
    addon = loadAddon();
  } catch {
    // Small pages hold the same numbers.
  }
  return addon;
}
