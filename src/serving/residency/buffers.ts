type Memory = ArrayBuffer | SharedArrayBuffer;

/** The memory under a value: every buffer that its arrays view, once each. Plain objects, arrays, Maps and typed arrays are looked into. */
function memoryOf(value: unknown): Memory[] {
  const found = new Set<Memory>();
  const visit = (part: unknown): void => {
    if (typeof part !== 'object' || part === null) return;
    if (ArrayBuffer.isView(part)) {
      found.add(part.buffer);
    } else if (part instanceof Map || Array.isArray(part)) {
      for (const inner of part.values()) visit(inner);
    } else {
      for (const inner of Object.values(part)) visit(inner);
    }
  };
  visit(value);
  return [...found];
}

/** The buffers under a value that have to be moved when it goes to another thread; shared ones need no moving. */
export function buffersOf(value: unknown): ArrayBuffer[] {
  return memoryOf(value).filter((buffer) => buffer instanceof ArrayBuffer);
}

/** The shared buffers under a value. */
export function sharedBuffersOf(value: unknown): SharedArrayBuffer[] {
  return memoryOf(value).filter((buffer) => buffer instanceof SharedArrayBuffer);
}

/** Bytes of memory under a value. */
export function sizeOfBuffers(value: unknown): number {
  let sizeBytes = 0;
  for (const { byteLength } of memoryOf(value)) sizeBytes += byteLength;
  return sizeBytes;
}

/**
 * Gives the memory under a value back now, not at some later garbage collection; its arrays are empty afterwards. Shared memory cannot
 * be taken from whoever else may hold it: it goes when nobody does.
 */
export function freeBuffers(value: unknown): void {
  for (const buffer of buffersOf(value)) buffer.transfer(0);
}
