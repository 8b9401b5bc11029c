/** So many bytes are read, checked and compiled in the time that a load costs whatever its size. */
const FIXED_COST_BYTES = 2 ** 20;

/** What it costs to load an adapter again, for eviction: a model, because measured times would make eviction depend on the machine's noise. */
export function loadCost(sizeBytes: number): number {
  return FIXED_COST_BYTES + sizeBytes;
}
