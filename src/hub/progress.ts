// How far a download is, told to whoever shows it, and one body that says it in lines now and then.

import { limit } from '../protocol/limit.ts';
import type { Clock, Timer } from '../std/clock.ts';

export type FileStart = {
  readonly name: string;
  readonly bytes: number;
  /** Here already. */
  readonly haveBytes: number;
};

export type Progress = {
  begin(title: string, files: readonly FileStart[]): void;
  /** So many bytes of that file are here now; fewer than before when it begins anew. */
  at(name: string, bytes: number): void;
  /** Something that a person wonders about otherwise. */
  note(line: string): void;
  end(): void;
};

export const noProgress: Progress = {
  begin: () => undefined,
  at: () => undefined,
  note: () => undefined,
  end: () => undefined,
};

/** A line at the beginning, every few seconds, and at the end. */
export class ProgressLines implements Progress {
  readonly #clock: Clock;
  readonly #say: (line: string) => void;
  #title = '';
  #files: readonly FileStart[] = [];
  readonly #have = new Map<string, number>();
  #beginMs = 0;
  #timer: Timer | null = null;

  constructor(options: { readonly clock: Clock; readonly say: (line: string) => void }) {
    this.#clock = options.clock;
    this.#say = options.say;
  }

  begin(title: string, files: readonly FileStart[]): void {
    this.#title = title;
    this.#files = files;
    for (const { name, haveBytes } of files) this.#have.set(name, haveBytes);
    this.#beginMs = this.#clock.nowMs();
    const { all, have } = this.#sums();
    if (have === all) return;
    const here = have === 0 ? '' : `, ${sizeText(have)} of it here already`;
    this.#say(`Downloading ${title}: ${files.length} files, ${sizeText(all)}${here}`);
    this.#tellLater();
  }

  at(name: string, bytes: number): void {
    this.#have.set(name, bytes);
  }

  note(line: string): void {
    this.#say(line);
  }

  end(): void {
    if (this.#timer === null) return;
    this.#timer.cancel();
    this.#timer = null;
    const { all, have } = this.#sums();
    if (have === all) this.#say(`Downloaded ${this.#title}: ${sizeText(all)}${this.#rate()}`);
  }

  #tellLater(): void {
    this.#timer = this.#clock.after(limit.hubTellMs, () => {
      const { all, have, done } = this.#sums();
      const percent = Math.floor((100 * have) / all);
      const files = `${done} of ${this.#files.length} files done`;
      this.#say(
        `Downloading ${this.#title}: ${sizeText(have)} of ${sizeText(all)} (${percent} %)${this.#rate()}, ${files}`,
      );
      this.#tellLater();
    });
  }

  #rate(): string {
    const seconds = (this.#clock.nowMs() - this.#beginMs) / 1000;
    const begun = this.#files.reduce((sum, { haveBytes }) => sum + haveBytes, 0);
    const came = this.#sums().have - begun;
    return seconds <= 0 || came <= 0 ? '' : `, ${sizeText(came / seconds)}/s`;
  }

  #sums(): { readonly all: number; readonly have: number; readonly done: number } {
    const haveOf = ({ name }: FileStart): number => this.#have.get(name) ?? 0;
    return {
      all: this.#files.reduce((sum, file) => sum + file.bytes, 0),
      have: this.#files.reduce((sum, file) => sum + haveOf(file), 0),
      done: this.#files.filter((file) => haveOf(file) === file.bytes).length,
    };
  }
}

/** `12.3 MiB`. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = Math.min(Math.floor(Math.log2(Math.max(1, bytes)) / 10), units.length - 1);
  const value = bytes / 1024 ** step;
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[step]}`;
}
