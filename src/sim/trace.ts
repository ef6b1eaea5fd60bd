// What happened, line by line: the last lines are kept for a report, all of them go into a digest by
// which two runs are compared.

const keptMax = 400;

export class Trace {
  readonly #lines: string[] = [];
  readonly #print: ((line: string) => void) | null;
  #digest = 0xcbf2_9ce4n;
  count = 0;

  /** @param print every line as it comes; null: none. */
  constructor(print: ((line: string) => void) | null) {
    this.#print = print;
  }

  add(atMs: number, text: string): void {
    const line = `${atMs.toFixed(3)} ${text}`;
    this.#digest = BigInt(Bun.hash.xxHash3(line, this.#digest));
    this.count++;
    this.#print?.(line);
    this.#lines.push(line);
    if (this.#lines.length >= 2 * keptMax) this.#lines.splice(0, keptMax);
  }

  /** 16 hex digits. */
  get digest(): string {
    return this.#digest.toString(16).padStart(16, '0');
  }

  last(count: number): readonly string[] {
    return this.#lines.slice(-count);
  }
}
