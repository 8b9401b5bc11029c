import { assert, broken } from '../base/index.ts';
import type { BoundRows, Floats, Kernels } from './kernels.ts';
import { type Addon, floats, type Handle, size } from './native-addon.ts';
import { AFTER, BEFORE, type ProgramSpan, type RowProgram, SLOT_FIELDS } from './row-program.ts';

type Programs = Pick<Kernels, 'bindRows' | 'scaleInputs' | 'applyRows'>;

/** Rows bound to programs. The addon points into the programs' bytes: they are kept for as long as this is. */
class NativeRows implements BoundRows {
  readonly handle: Handle;
  readonly end: number;
  readonly #programs: readonly RowProgram[];
  /** Of all programs together: in, out and uses of each slot. */
  readonly #slots: Int32Array;

  constructor(handle: Handle, spans: readonly ProgramSpan[]) {
    this.handle = handle;
    this.end = spans.at(-1)?.end ?? 0;
    this.#programs = [...new Set(spans.map(({ program }) => program))];
    this.#slots = new Int32Array(Math.max(0, ...this.#programs.map(({ slots }) => slots.length)));
    for (const { slots } of this.#programs) this.#join(slots);
  }

  isBefore(slot: number): boolean {
    return (this.#usesOf(slot) & BEFORE) !== 0;
  }

  isAfter(slot: number): boolean {
    return (this.#usesOf(slot) & AFTER) !== 0;
  }

  /** The layer's width of input or output must be that of the programs. */
  check(slot: number, field: 'in' | 'out', length: number, T: number): void {
    if (this.#programs.length > 0 && this.end > T) broken(`rows up to ${this.end} are bound in a batch of ${T}`);
    if (this.#usesOf(slot) === 0) return;
    const width = this.#slots[slot * SLOT_FIELDS + (field === 'in' ? 0 : 1)];
    if (length !== T * width) broken(`slot ${slot} has ${field} = ${width}, not ${length} / ${T}`);
  }

  #usesOf(slot: number): number {
    return this.#slots[slot * SLOT_FIELDS + 2] ?? 0;
  }

  #join(slots: Int32Array): void {
    for (let i = 0; i < slots.length; i += SLOT_FIELDS) {
      if (slots[i + 2] === 0) continue;
      const isSame = this.#slots[i] === slots[i] && this.#slots[i + 1] === slots[i + 1];
      if (this.#slots[i + 2] !== 0 && !isSame) broken(`programs do not agree on the shape of slot ${i / SLOT_FIELDS}`);
      this.#slots[i] = slots[i];
      this.#slots[i + 1] = slots[i + 1];
      this.#slots[i + 2] |= slots[i + 2];
    }
  }
}

function native(rows: BoundRows): NativeRows {
  assert(rows instanceof NativeRows, 'bound rows are used by the kernels that bound them');
  return rows;
}

/** The kernels on rows of adapters. Every argument is checked here. */
export function nativePrograms(addon: Addon): Programs {
  /** A program is opened once; its handle goes with it. */
  const opened = new WeakMap<RowProgram, Handle>();
  const open = (program: RowProgram): Handle => {
    let handle = opened.get(program);
    if (!handle) {
      // Shared memory cannot be detached, so the addon's pointers hold for as long as the array is reachable.
      assert(program.bytes.buffer instanceof SharedArrayBuffer, 'a program is in shared memory');
      handle = addon.openProgram(program.bytes, program.records, program.scales);
      opened.set(program, handle);
    }
    return handle;
  };
  const checked = (name: string, array: Floats, T: number): Float32Array => {
    if (T <= 0 || array.length % size('T', T) !== 0) broken(`${name} has not ${T} rows`);
    return floats(name, array, array.length);
  };
  return {
    bindRows(spans) {
      const handle = addon.newBoundRows();
      let end = 0;
      for (const span of spans) {
        assert(size('begin', span.begin) >= end && size('end', span.end) > span.begin, 'spans rise and share no row');
        end = span.end;
        addon.bindRows(handle, open(span.program), span.begin, span.end);
      }
      return new NativeRows(handle, spans);
    },

    scaleInputs(out_TI, x_TI, rows, slot, T) {
      const x = checked('x', x_TI, T);
      native(rows).check(size('slot', slot), 'in', x.length, T);
      addon.scaleInputs(floats('out', out_TI, x.length), x, native(rows).handle, slot, T);
    },

    applyRows(y_TO, x_TI, rows, slot, T) {
      const [y, x] = [checked('y', y_TO, T), checked('x', x_TI, T)];
      native(rows).check(size('slot', slot), 'in', x.length, T);
      native(rows).check(slot, 'out', y.length, T);
      addon.applyRows(y, x, native(rows).handle, slot, T);
    },
  };
}
