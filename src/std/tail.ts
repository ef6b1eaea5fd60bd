// The last lines of what a child process says on its way to our own output: whoever reports its death
// can then say what its last words were.

const lineCountMax = 3;
const lineCharsMax = 300;

export class Tail {
  readonly #decoder = new TextDecoder();
  #lines: string[] = [];
  #rest = '';

  add(bytes: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split('\n');
    this.#rest = (lines.pop() ?? '').slice(-lineCharsMax);
    this.#keep(lines);
  }

  /** One line of text; empty when nothing was said. */
  text(): string {
    const rest = this.#rest.trim();
    return [...this.#lines, ...(rest === '' ? [] : [rest.slice(0, lineCharsMax)])].join('; ');
  }

  #keep(lines: readonly string[]): void {
    const said = lines.map((line) => line.trim().slice(0, lineCharsMax)).filter(Boolean);
    this.#lines = [...this.#lines, ...said].slice(-lineCountMax);
  }
}
