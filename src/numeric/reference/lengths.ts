import { assert } from '../../base/index.ts';

/** JavaScript reads beyond an array as undefined and drops writes there, so the oracle checks every length that it is given. */
export function requireLength(name: string, array: { readonly length: number }, length: number): void {
  assert(array.length === length, `${name} has ${array.length} elements, expected ${length}`);
}
