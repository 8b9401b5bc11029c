/** What N tuned variants take on disk, as adapters beside one base and as full copies. */
export interface StorageBill {
  readonly variants: number;
  readonly baseBytes: number;
  readonly adapterBytes: number;
  /** The base once and every adapter. */
  readonly withAdaptersBytes: number;
  /** Every variant a full copy of the model. */
  readonly fullCopiesBytes: number;
}

/** Sizes of the tensors; a file's header adds some kilobytes. */
export function storageBill(variants: number, baseBytes: number, adapterBytes: number): StorageBill {
  return {
    variants,
    baseBytes,
    adapterBytes,
    withAdaptersBytes: baseBytes + variants * adapterBytes,
    fullCopiesBytes: variants * baseBytes,
  };
}
