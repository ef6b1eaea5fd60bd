// The grammars of one worker, compiled and kept by their text, the least recently used forgotten first.
// The vocabulary comes when the first request needs it: until then there are none. Works where it is
// called: a worker has it in the thread of grammars (role/grammar-thread.ts), simulation and tests in place.

import type { GrammarSpec } from '../protocol/grammar.ts';
import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import { compileGrammar } from './compile.ts';
import type { Grammars } from './guide.ts';
import { Grammar, Matcher } from './matcher.ts';
import type { Vocabulary } from './vocabulary.ts';

export class GrammarStore implements Grammars {
  readonly #bytesMax: number;
  /** By text, oldest use first. */
  readonly #grammars = new Map<string, Grammar>();
  #vocabulary: Vocabulary | null = null;

  constructor(bytesMax: number = limit.grammarCacheBytesMax) {
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#grammars.size;
  }

  learn(vocabulary: Vocabulary): void {
    this.#vocabulary = vocabulary;
    this.#grammars.clear();
  }

  open(spec: GrammarSpec): Matcher {
    if (this.#vocabulary === null) {
      throw new Fault('engine', 'this worker has no vocabulary to match grammars with');
    }
    const key = JSON.stringify(spec);
    const grammar = this.#grammars.get(key) ?? new Grammar(compileGrammar(spec), this.#vocabulary);
    this.#grammars.delete(key);
    this.#grammars.set(key, grammar);
    this.#shrink();
    return new Matcher(grammar);
  }

  /** Sequences keep what they use; it only is not found again. */
  #shrink(): void {
    let bytes = 0;
    for (const grammar of this.#grammars.values()) bytes += grammar.sizeBytes;
    for (const [key, grammar] of this.#grammars) {
      if (bytes <= this.#bytesMax || this.#grammars.size === 1) return;
      bytes -= grammar.sizeBytes;
      this.#grammars.delete(key);
    }
  }
}
