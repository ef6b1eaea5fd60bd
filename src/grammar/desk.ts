// The thread of grammars without its thread: opens, follows and closes what one engine asks for, in the
// order in which it asks, and leaves masks in lanes. What goes wrong is told for that guide alone.

import type { GrammarSpec } from '../protocol/grammar.ts';
import { Fault, toFault } from '../std/fault.ts';
import { Lane } from './lane.ts';
import type { Matcher } from './matcher.ts';
import type { GrammarStore } from './store.ts';

/** `ask` counts a guide's asks, from 1 on. */
export type GrammarAsk =
  | {
      readonly type: 'open';
      readonly guide: number;
      readonly ask: number;
      readonly spec: GrammarSpec;
      readonly lane: SharedArrayBuffer;
    }
  /** `ids`: generated since the guide's last ask. */
  | {
      readonly type: 'mask';
      readonly guide: number;
      readonly ask: number;
      readonly ids: readonly number[];
    }
  | { readonly type: 'close'; readonly guide: number };

export type GrammarAnswer =
  /** Lies in its lane. */
  | { readonly type: 'answered' }
  | {
      readonly type: 'failed';
      readonly guide: number;
      readonly code: string;
      readonly message: string;
    };

type Place = { readonly lane: Lane; readonly matcher: Matcher | null; readonly ids: number[] };

export class GrammarDesk {
  readonly #store: GrammarStore;
  readonly #tell: (answer: GrammarAnswer) => void;
  readonly #places = new Map<number, Place>();

  constructor(store: GrammarStore, tell: (answer: GrammarAnswer) => void) {
    this.#store = store;
    this.#tell = tell;
  }

  get placeCount(): number {
    return this.#places.size;
  }

  take(ask: GrammarAsk): void {
    switch (ask.type) {
      case 'open': {
        const matcher = this.#try(ask.guide, () => this.#store.open(ask.spec));
        const lane = new Lane(ask.lane);
        this.#places.set(ask.guide, { lane, matcher, ids: [] });
        lane.opened(ask.ask);
        return;
      }
      case 'mask': {
        const place = this.#places.get(ask.guide);
        if (place === undefined) return;
        const { lane, matcher, ids } = place;
        for (const id of ask.ids) ids.push(id);
        const mask = matcher === null ? null : this.#try(ask.guide, () => matcher.mask(ids, 0));
        if (lane.answer(ask.ask, mask)) this.#tell({ type: 'answered' });
        return;
      }
      case 'close':
        this.#places.delete(ask.guide);
    }
  }

  /** Null where it throws a Fault, which is told; anything else is a bug, and ends the thread. */
  #try<T>(guide: number, act: () => T): T | null {
    try {
      return act();
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      const { code, message } = toFault(thrown);
      this.#tell({ type: 'failed', guide, code, message });
      return null;
    }
  }
}
