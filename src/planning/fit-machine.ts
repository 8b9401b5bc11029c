import { assert } from '../base/index.ts';
import type { ModelConfig } from '../model/index.ts';
import { MACHINE_VERSION, passSeconds, type MachineFigures } from './machine.ts';
import { isBuffer, FULL_RECIPES, totalBytes, trainingMemory } from './memory.ts';
import type { BaseFormat, Trainable } from './methods.ts';
import { passWork } from './pass-work.ts';

/** A training run of equal passes, and what it took. */
export interface TrainingMeasurement {
  readonly config: ModelConfig;
  readonly trainable: Trainable;
  readonly method: string;
  readonly format: BaseFormat;
  readonly rank: number;
  /** Of each pass, and tokens of each. */
  readonly sequences: number;
  readonly seq: number;
  readonly passSeconds: number;
  /** What the run took beside its passes. */
  readonly startSeconds: number;
  /** Of the process. */
  readonly peakBytes: number;
}

/** Methods that cost what their low-rank products do. */
const PLAIN = ['lora', 'qlora'];

/**
 * The figures that explain measured runs best: non-negative least squares of the relative errors, of time by {@link passWork} and of memory by
 * {@link trainingMemory}.
 * @param about what was measured, by whom and when
 */
export function fitMachine(
  measured: readonly TrainingMeasurement[],
  about: Pick<MachineFigures, 'measuredAt' | 'instructionSet' | 'compute' | 'threads' | 'base'>,
): MachineFigures {
  assert(measured.length > 0, 'a machine is known by what it did');
  const prices = fitTimes(measured);
  const price = (name: string): number => prices.get(name) ?? 0;
  const names = <T extends string>(list: readonly T[]): T[] => [...new Set(list)];
  const formats = names(measured.map(({ format }) => format));
  const methods = names(measured.map(({ method }) => method)).filter((method) => !PLAIN.includes(method));
  const memory = fitMemory(measured);
  const figures: MachineFigures = {
    version: MACHINE_VERSION,
    ...about,
    ...memory,
    startSeconds: median(measured.map(({ startSeconds }) => startSeconds)),
    formats: Object.fromEntries(
      formats.map((name) => [name, { perFlop: price(`${name} flop`), perWeight: price(`${name} weight`) }]),
    ),
    perAttentionFlop: price('attention'),
    perAdapterFlop: price('adapter flop'),
    perAdapterValue: price('adapter value'),
    methods: Object.fromEntries(
      methods.map((name) => [name, { perWeight: price(`${name} weight`), perValue: price(`${name} value`) }]),
    ),
  };
  return { ...figures, error: { time: worstTime(figures, measured), memory: worstMemory(memory, measured) } };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
}

function worstTime(figures: MachineFigures, measured: readonly TrainingMeasurement[]): number {
  const errors = measured.map((one) => {
    const work = passWork(one.config, one.trainable, one.sequences, one.seq);
    return Math.abs((passSeconds(figures, one, work) ?? 0) / one.passSeconds - 1);
  });
  return Math.max(...errors);
}

function worstMemory(
  { processBytes, bufferFactor }: Pick<MachineFigures, 'processBytes' | 'bufferFactor'>,
  measured: readonly TrainingMeasurement[],
): number {
  const errors = measured.map((one) => {
    const { others, buffers } = memoryOf(one);
    return Math.abs((processBytes + others + bufferFactor * buffers) / one.peakBytes - 1);
  });
  return Math.max(...errors);
}

/** What is planned of a measured run's memory. */
function memoryOf({ config, trainable, format, rank, sequences, seq }: TrainingMeasurement): {
  readonly buffers: number;
  readonly others: number;
} {
  const [recipe] = FULL_RECIPES;
  const parts = trainingMemory(config, trainable, { format, rank, recipe, tokens: sequences * seq });
  const buffers = totalBytes(parts.filter(isBuffer));
  return { buffers, others: totalBytes(parts) - buffers };
}

function fitTimes(measured: readonly TrainingMeasurement[]): ReadonlyMap<string, number> {
  const rows = measured.map((one) => {
    const work = passWork(one.config, one.trainable, one.sequences, one.seq);
    const extra = PLAIN.includes(one.method)
      ? {}
      : { [`${one.method} weight`]: work.adaptedWeights, [`${one.method} value`]: work.adapterValues };
    return {
      [`${one.format} flop`]: work.baseFlops,
      [`${one.format} weight`]: work.baseWeights,
      attention: work.attentionFlops,
      'adapter flop': work.adapterFlops,
      'adapter value': work.adapterValues,
      ...extra,
    };
  });
  return nonNegativeLeastSquares(
    rows,
    measured.map(({ passSeconds }) => passSeconds),
  );
}

function fitMemory(measured: readonly TrainingMeasurement[]): Pick<MachineFigures, 'processBytes' | 'bufferFactor'> {
  const rows: Record<string, number>[] = [];
  const totals: number[] = [];
  for (const one of measured) {
    const { buffers, others } = memoryOf(one);
    rows.push({ process: 1, buffers });
    totals.push(Math.max(1, one.peakBytes - others));
  }
  const fitted = nonNegativeLeastSquares(rows, totals);
  return { processBytes: Math.round(fitted.get('process') ?? 0), bufferFactor: fitted.get('buffers') ?? 1 };
}

/** Far more than the dozen or two of columns need; each sweep is some hundred operations. */
const SWEEPS = 20_000;

/**
 * Non-negative x that makes the relative errors of rows·x to `totals` least, by coordinate descent (Franc, Hlaváč and Navara, 2005).
 * @param rows the numbers of each row by the name of their column; a missing one is 0
 */
export function nonNegativeLeastSquares(
  rows: readonly Readonly<Record<string, number>>[],
  totals: readonly number[],
): Map<string, number> {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  // Columns of equal length, so that a second per operation and a second per pass are alike to the descent.
  const a = columns.map((name) => rows.map((row, i) => (row[name] ?? 0) / totals[i]));
  const lengths = a.map((column) => Math.hypot(...column));
  const unit = a.map((column, j) => column.map((value) => (lengths[j] === 0 ? 0 : value / lengths[j])));
  const x = columns.map(() => 0);
  const residual = totals.map(() => 1);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (const [j, column] of unit.entries()) {
      const slope = column.reduce((sum, value, i) => sum + value * residual[i], 0);
      const change = Math.max(-x[j], slope);
      if (change === 0) continue;
      x[j] += change;
      for (const [i, value] of column.entries()) residual[i] -= value * change;
    }
  }
  return new Map(columns.map((name, j) => [name, lengths[j] === 0 ? 0 : x[j] / lengths[j]]));
}
