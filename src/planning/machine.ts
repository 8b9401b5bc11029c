import { fail } from '../base/index.ts';
import { isRecord } from '../formats/index.ts';
import { BASE_FORMATS, type BaseFormat } from './methods.ts';
import type { PassWork } from './pass-work.ts';

/** The layout of the file that holds {@link MachineFigures}. */
export const MACHINE_VERSION = 1;

/** Prices of products with a frozen base in one format. */
export interface FormatPrice {
  /** Seconds for each operation. */
  readonly perFlop: number;
  /** Seconds for each weight and pass, whatever the tokens. */
  readonly perWeight: number;
}

/** What a method costs beside LoRA's low-rank products, at the layers that it adapts. */
export interface MethodPrice {
  /** Seconds for each weight of an adapted layer, once for each pass. */
  readonly perWeight: number;
  /** Seconds for each number that goes into or comes out of an adapted layer. */
  readonly perValue: number;
}

/** What one machine does, in seconds and bytes; `espalier bench train --calibrate` measures it. */
export interface MachineFigures {
  readonly version: number;
  /** ISO 8601. */
  readonly measuredAt: string;
  readonly instructionSet: string;
  /** What products rounded to (`ESPALIER_COMPUTE`); `auto` where it is not said. */
  readonly compute?: string | undefined;
  readonly threads: number;
  /** The base that it was measured on. */
  readonly base: string;
  /** What a training process takes before any weights. */
  readonly processBytes: number;
  /** Resident bytes for each byte of activations and working set that is planned. */
  readonly bufferFactor: number;
  /** What a run takes once, whatever its steps: code is compiled, memory is touched for the first time. Not in older files. */
  readonly startSeconds?: number | undefined;
  readonly formats: Readonly<Partial<Record<BaseFormat, FormatPrice>>>;
  readonly perAttentionFlop: number;
  readonly perAdapterFlop: number;
  readonly perAdapterValue: number;
  readonly methods: Readonly<Record<string, MethodPrice>>;
  /** How far the figures are from the run that they explain worst, as a share of what it took; not in older files. */
  readonly error?: { readonly time: number; readonly memory: number } | undefined;
}

/**
 * Seconds of one forward and backward pass.
 * @returns undefined when the format was not measured
 */
export function passSeconds(
  machine: MachineFigures,
  { format, method }: { readonly format: BaseFormat; readonly method: string },
  work: PassWork,
): number | undefined {
  const price = machine.formats[format];
  if (price === undefined) return undefined;
  const extra = machine.methods[method] ?? { perWeight: 0, perValue: 0 };
  return (
    price.perFlop * work.baseFlops +
    price.perWeight * work.baseWeights +
    machine.perAttentionFlop * work.attentionFlops +
    machine.perAdapterFlop * work.adapterFlops +
    (machine.perAdapterValue + extra.perValue) * work.adapterValues +
    extra.perWeight * work.adaptedWeights
  );
}

/** Reads figures that were kept as JSON. @throws CONFIG_INVALID names the field, and how to measure again */
export function parseMachine(value: unknown, where: string): MachineFigures {
  const invalid = (what: string): never =>
    fail('CONFIG_INVALID', `${where}: ${what}: measure this machine again with espalier bench train --calibrate`);
  if (!isRecord(value)) return invalid('is no JSON object');
  const { version, formats, methods } = value;
  if (version !== MACHINE_VERSION)
    return invalid(`has version ${String(version)}, this program reads ${MACHINE_VERSION}`);
  const isPrice = (number: unknown): boolean => typeof number === 'number' && Number.isFinite(number) && number >= 0;
  const requirePrices = (record: Readonly<Record<string, unknown>>, names: readonly string[], path: string): void => {
    for (const name of names) if (!isPrice(record[name])) invalid(`${path}${name} must be a number of at least 0`);
  };
  requirePrices(
    value,
    ['threads', 'processBytes', 'bufferFactor', 'perAttentionFlop', 'perAdapterFlop', 'perAdapterValue'],
    '',
  );
  for (const name of ['measuredAt', 'instructionSet', 'base']) {
    if (typeof value[name] !== 'string') invalid(`${name} must be text`);
  }
  if (value['startSeconds'] !== undefined) requirePrices(value, ['startSeconds'], '');
  if (value['compute'] !== undefined && typeof value['compute'] !== 'string') invalid('compute must be text');
  for (const [group, records, names] of [
    ['formats', formats, ['perFlop', 'perWeight']],
    ['methods', methods, ['perWeight', 'perValue']],
  ] as const) {
    if (!isRecord(records)) return invalid(`${group} must be an object`);
    for (const [name, prices] of Object.entries(records)) {
      if (!isRecord(prices)) return invalid(`${group}.${name} must be an object`);
      requirePrices(prices, names, `${group}.${name}.`);
    }
  }
  if (value['error'] !== undefined) {
    if (!isRecord(value['error'])) return invalid('error must be an object');
    requirePrices(value['error'], ['time', 'memory'], 'error.');
  }
  const known: readonly string[] = BASE_FORMATS;
  for (const name of Object.keys(formats as object)) if (!known.includes(name)) invalid(`formats.${name} is no format`);
  return value as unknown as MachineFigures;
}
