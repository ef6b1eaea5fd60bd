// A straight line through measurements, the latest of which weigh most: y = base + slope · x. Prefill
// time over tokens and transfer time over bytes both look like this, and a mean rate alone would make
// one short prompt, which is mostly overhead, look like a slow machine.

export type Fit = { readonly base: number; readonly slope: number };

/** What a measurement still weighs when the next one has come: the last twenty or so count. */
const memory = 0.95;
/** So many measurements are believed even if all were of one size. */
const firmCount = 8;
/** Below this spread of x (relative, squared) base and slope cannot be told apart. */
const spreadMin = 0.01;

export class Line {
  /** Weighted sums. */
  #n = 0;
  #x = 0;
  #y = 0;
  #xx = 0;
  #xy = 0;
  #count = 0;
  #fit: Fit = { base: 0, slope: 0 };

  /** Measurements so far. */
  get count(): number {
    return this.#count;
  }

  get fit(): Fit {
    return this.#fit;
  }

  /**
   * Whether it may speak for sizes that it has not seen: base and slope were told apart, there is much
   * to go by, or the sizes were at least `firmX`. One short prompt, mostly overhead, says nothing of a
   * long one.
   */
  isFirm(firmX: number): boolean {
    return (
      this.meanX >= firmX || this.#count >= firmCount || (this.#count > 1 && this.#fit.base > 0)
    );
  }

  get meanX(): number {
    return this.#n === 0 ? 0 : this.#x / this.#n;
  }

  /** Both positive. */
  add(x: number, y: number): void {
    this.#n = this.#n * memory + 1;
    this.#x = this.#x * memory + x;
    this.#y = this.#y * memory + y;
    this.#xx = this.#xx * memory + x * x;
    this.#xy = this.#xy * memory + x * y;
    this.#count++;
    this.#fit = this.#solve();
  }

  /** Least squares, neither part below zero: nothing gets faster by being longer. */
  #solve(): Fit {
    const [n, x, y, xx, xy] = [this.#n, this.#x, this.#y, this.#xx, this.#xy];
    const spread = n * xx - x * x;
    if (spread > spreadMin * x * x) {
      const slope = (n * xy - x * y) / spread;
      const base = (y - slope * x) / n;
      if (slope > 0 && base >= 0) return { base, slope };
    }
    return { base: 0, slope: xy / xx };
  }
}
