import { fail } from '../base/index.ts';

export interface StopResult {
  /** Text that is certain to be before any stop string. */
  readonly text: string;
  /** Characters that have come and are not in the text: held back, or cut off. */
  readonly numHeld: number;
  /** Whether a stop string was met: it and all text after it are gone, and nothing more comes. */
  readonly isStopped: boolean;
}

/**
 * Cuts a stream of text at the first stop string. Text that may yet turn out to be the beginning of one is held back. The stop string
 * that is complete first wins (of two that end together the longer), so the result does not depend on how the text is cut into pieces.
 */
export class StopMatcher {
  readonly #stops: readonly string[];
  #held = '';
  #isStopped = false;

  /** @throws REQUEST_INVALID for an empty stop string */
  constructor(stops: readonly string[]) {
    if (stops.includes('')) fail('REQUEST_INVALID', 'stop must not contain an empty string', { param: 'stop' });
    this.#stops = stops;
  }

  push(piece: string): StopResult {
    if (this.#isStopped) return { text: '', numHeld: piece.length, isStopped: true };
    const text = this.#held + piece;
    const cut = this.#findStop(text);
    if (cut !== undefined) {
      this.#isStopped = true;
      this.#held = '';
      return { text: text.slice(0, cut), numHeld: text.length - cut, isStopped: true };
    }
    const certain = text.length - this.#possibleStart(text);
    this.#held = text.slice(certain);
    return { text: text.slice(0, certain), numHeld: this.#held.length, isStopped: false };
  }

  /** The text held back, when the stream ends without a stop string. */
  flush(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }

  /** Where the stop string begins that is complete first. */
  #findStop(text: string): number | undefined {
    let start: number | undefined;
    let end = Infinity;
    for (const stop of this.#stops) {
      const found = text.indexOf(stop);
      if (found < 0) continue;
      const foundEnd = found + stop.length;
      if (foundEnd < end || (foundEnd === end && found < (start as number))) [start, end] = [found, foundEnd];
    }
    return start;
  }

  /** The length of the longest end of the text that begins a stop string. */
  #possibleStart(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) {
          longest = length;
          break;
        }
      }
    }
    return longest;
  }
}
