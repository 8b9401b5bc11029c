import { InvalidArgumentError } from 'commander';

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

/** One of a list of words. */
export function oneOf<const T extends string>(words: readonly T[]): (text: string) => T {
  return (text) => {
    const found = words.find((word) => word === text);
    if (found === undefined) throw new InvalidArgumentError(`expected one of ${words.join(', ')}.`);
    return found;
  };
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
