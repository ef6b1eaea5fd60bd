// A download on a terminal: a bar for the whole and one for each file, as soon as something of it comes.

import { MultiBar, type SingleBar } from 'cli-progress';
import { type FileStart, type Progress, sizeText } from './progress.ts';

/** With more files than this, those that are done make room. */
const keepMax = 12;

export class ProgressBars implements Progress {
  readonly #stream: NodeJS.WritableStream;
  #bars: MultiBar | null = null;
  #total: SingleBar | null = null;
  readonly #files = new Map<string, FileStart>();
  readonly #have = new Map<string, number>();
  readonly #shown = new Map<string, SingleBar>();

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
  }

  begin(title: string, files: readonly FileStart[]): void {
    for (const file of files) {
      this.#files.set(file.name, file);
      this.#have.set(file.name, file.haveBytes);
    }
    this.#bars = new MultiBar({
      stream: this.#stream,
      format: '{name} {bar} {percentage} %  {have} of {all}',
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: 24,
      hideCursor: false,
      emptyOnZero: false,
      autopadding: true,
    });
    this.#total = this.#bar(
      title,
      [...this.#files.values()].reduce((sum, f) => sum + f.bytes, 0),
    );
    this.#showTotal();
  }

  at(name: string, bytes: number): void {
    const file = this.#files.get(name);
    if (file === undefined) return;
    this.#have.set(name, bytes);
    const bar = this.#shown.get(name) ?? this.#bar(name, file.bytes);
    if (bar === null) return;
    this.#shown.set(name, bar);
    bar.update(bytes, texts(name, bytes, file.bytes));
    if (bytes === file.bytes && this.#files.size > keepMax) {
      this.#bars?.remove(bar);
      this.#shown.delete(name);
    }
    this.#showTotal();
  }

  note(line: string): void {
    if (this.#bars === null) this.#stream.write(`${line}\n`);
    else this.#bars.log(`${line}\n`);
  }

  end(): void {
    this.#bars?.stop();
    this.#bars = null;
  }

  #bar(name: string, bytes: number): SingleBar | null {
    return this.#bars?.create(bytes, 0, texts(name, 0, bytes)) ?? null;
  }

  #showTotal(): void {
    const all = [...this.#files.values()].reduce((sum, file) => sum + file.bytes, 0);
    const have = [...this.#have.values()].reduce((sum, bytes) => sum + bytes, 0);
    this.#total?.update(have, { have: sizeText(have), all: sizeText(all) });
  }
}

function texts(name: string, have: number, all: number): Record<string, string> {
  const short = name.length <= 32 ? name : `…${name.slice(-31)}`;
  return { name: short.padEnd(32), have: sizeText(have), all: sizeText(all) };
}
