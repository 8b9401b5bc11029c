/** The memory under a value: every ArrayBuffer that its arrays view, once each. Plain objects, arrays, Maps and typed arrays are looked into. */
export function buffersOf(value: unknown): ArrayBuffer[] {
  const found = new Set<ArrayBuffer>();
  const visit = (part: unknown): void => {
    if (typeof part !== 'object' || part === null) return;
    if (ArrayBuffer.isView(part)) {
      if (part.buffer instanceof ArrayBuffer) found.add(part.buffer);
    } else if (part instanceof Map || Array.isArray(part)) {
      for (const inner of part.values()) visit(inner);
    } else {
      for (const inner of Object.values(part)) visit(inner);
    }
  };
  visit(value);
  return [...found];
}

/**
 * Gives the memory under a value back now instead of at some later garbage collection; its arrays are empty afterwards.
 * @returns the bytes that were freed
 */
export function freeBuffers(value: unknown): number {
  let freed = 0;
  for (const buffer of buffersOf(value)) {
    freed += buffer.byteLength;
    buffer.transfer(0);
  }
  return freed;
}

/** Bytes of memory under a value. */
export function sizeOfBuffers(value: unknown): number {
  let sizeBytes = 0;
  for (const buffer of buffersOf(value)) sizeBytes += buffer.byteLength;
  return sizeBytes;
}
