import { InvalidArgumentError, Option } from 'commander';
import { COMPUTES, WEIGHT_FORMATS } from '../app/index.ts';

/** Option parsers: commander turns what they throw into a message that names the option. */
export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number from 1.');
  return value;
}

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < 0)
    throw new InvalidArgumentError('expected a whole number from 0.');
  return value;
}

/** 0 lets the system choose. */
export function portNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isInteger(value) || value < 0 || value > 65_535)
    throw new InvalidArgumentError('expected a whole number from 0 to 65535.');
  return value;
}

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('expected a number above 0.');
  return value;
}

export function nonNegativeNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError('expected a number from 0.');
  return value;
}

export function fraction(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value < 1))
    throw new InvalidArgumentError('expected a number from 0 to below 1.');
  return value;
}

/** A part that may be the whole. */
export function share(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value > 0 && value <= 1))
    throw new InvalidArgumentError('expected a number above 0, up to 1.');
  return value;
}

/** One of a list of words. */
export function oneOf<const T extends string>(words: readonly T[]): (text: string) => T {
  return (text) => {
    const found = words.find((word) => word === text);
    if (found === undefined) throw new InvalidArgumentError(`expected one of ${words.join(', ')}.`);
    return found;
  };
}

/** `--format`: how the base's weights are held in memory. */
export function weightsOption(): Option {
  return new Option('--format <format>', `the base's weights in memory: ${WEIGHT_FORMATS.join(', ')}`)
    .default('bf16')
    .argParser(oneOf(WEIGHT_FORMATS));
}

/** `--compute`: what products with the base's weights round to; undefined leaves it to ESPALIER_COMPUTE. */
export function computeOption(): Option {
  const what = `products with the base's weights: ${COMPUTES.join(', ')} (default: ESPALIER_COMPUTE, or auto: bf16 where the processor has it; int8 to train, or to answer with int8 weights, faster and less exactly)`;
  return new Option('--compute <dtype>', what).argParser(oneOf(COMPUTES));
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** A number of bytes with or without a unit: `2GiB`, `1500 MB`, `1073741824`. */
export function byteSize(text: string): number {
  const [, number, unit = ''] = /^([0-9.]+)\s*([a-z]*)$/i.exec(text.trim()) ?? [];
  const bytes = Math.floor(Number(number) * (UNITS[unit.toLowerCase()] ?? NaN));
  if (!Number.isSafeInteger(bytes) || bytes < 1) throw new InvalidArgumentError('expected a size such as 2GiB.');
  return bytes;
}

/** A list of words with commas between, each once. */
export function listOf<const T extends string>(words: readonly T[]): (text: string) => T[] {
  const one = oneOf(words);
  return (text) => [...new Set(text.split(',').map((word) => one(word.trim())))];
}

/** A list of numbers with commas between, each once. */
export function numbersOf(one: (text: string) => number): (text: string) => number[] {
  return (text) => [...new Set(text.split(',').map((part) => one(part.trim())))];
}

/** How many next tokens are guessed at a time: a number, or `off`. */
export function draftTokens(text: string): number {
  return text === 'off' ? 0 : wholeNumber(text);
}
