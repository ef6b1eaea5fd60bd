// Where the thread of grammars leaves the masks of one guide for the engine, in memory that both see: an
// engine in the middle of a step gets no messages. Asks are numbered from 1 on: first the grammar itself,
// then one mask after the other.
//
//   Int32  0   the last ask that is answered; 0: none
//   Int32  1   of the answer: isEmpty, mayEnd, isFault (what is wrong comes as a message)
//   Int32  2   the engine looked and found nothing: it wants to be told
//   from byte 12 on: the mask

import type { TokenMask } from './guide.ts';

const headWords = 3;
const flag = { isEmpty: 1, mayEnd: 2, isFault: 4 } as const;

export class Lane {
  readonly buffer: SharedArrayBuffer;
  readonly #head: Int32Array;
  readonly #words: Uint32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#head = new Int32Array(buffer, 0, headWords);
    this.#words = new Uint32Array(buffer, headWords * 4);
  }

  static forTokens(count: number): Lane {
    return new Lane(new SharedArrayBuffer((headWords + Math.ceil(count / 32)) * 4));
  }

  isAnswered(ask: number): boolean {
    return Atomics.load(this.#head, 0) >= ask;
  }

  /** Null until it is there; also where the answer is a fault. Good until the next ask. */
  read(ask: number): TokenMask | null {
    if (!this.isAnswered(ask)) return null;
    const flags = this.#head[1] ?? 0;
    if ((flags & flag.isFault) !== 0) return null;
    const isEmpty = (flags & flag.isEmpty) !== 0;
    return { words: this.#words, isEmpty, mayEnd: (flags & flag.mayEnd) !== 0 };
  }

  /** The engine wants to be told; look again afterwards, it may just have come. */
  want(): void {
    Atomics.store(this.#head, 2, 1);
  }

  /** The grammar is compiled, or not; whoever wants to be told still waits for a mask. */
  opened(ask: number): void {
    Atomics.store(this.#head, 0, ask);
  }

  /** @param mask null: a fault. Returns whether somebody wants to be told. */
  answer(ask: number, mask: TokenMask | null): boolean {
    if (mask === null) this.#head[1] = flag.isFault;
    else {
      this.#words.set(mask.words);
      this.#head[1] = (mask.isEmpty ? flag.isEmpty : 0) | (mask.mayEnd ? flag.mayEnd : 0);
    }
    Atomics.store(this.#head, 0, ask);
    return Atomics.exchange(this.#head, 2, 0) === 1;
  }
}
