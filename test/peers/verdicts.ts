/** Figures held against their tolerances, printed as they come in. */
export class Verdicts {
  #numPassed = 0;
  readonly #failed: string[] = [];

  /** False also when nothing was compared. */
  get passed(): boolean {
    return this.#failed.length === 0 && this.#numPassed > 0;
  }

  heading(text: string): void {
    console.log(`\n${text}`);
  }

  /** Passes if the error is at most the tolerance; NaN never is. */
  add(what: string, error: number, tolerance: number): void {
    const passes = error <= tolerance;
    if (passes) this.#numPassed++;
    else this.#failed.push(what);
    const figures = `${error.toExponential(1)} <= ${tolerance.toExponential(1)}`;
    console.log(`  ${passes ? 'ok  ' : 'MISS'} ${figures.padEnd(20)} ${what}`);
  }

  summary(): string {
    const total = this.#numPassed + this.#failed.length;
    const list = this.#failed.map((what) => `\n  ${what}`).join('');
    return `\n${this.#numPassed} of ${total} figures are within their tolerance${list ? `; not these:${list}` : '.'}`;
  }
}
