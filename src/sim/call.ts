// One request as its client lived it: what was asked, what came, how it ended.

import type { GenerateRequest, TokenDelta } from '../protocol/request.ts';
import type { Expected } from './oracle.ts';

export type Ask = {
  readonly request: GenerateRequest;
  /** Which gateway, by place. */
  readonly gateway: string;
  readonly atMs: number;
  /** The client goes away so long after it asked; null: never. */
  readonly leavesMs: number | null;
  /** Pause after each delta that it reads. */
  readonly readMs: number;
  /** Once it reads nothing for a while; null: never. */
  readonly stop: { readonly afterTokens: number; readonly forMs: number } | null;
  /** Null: it can never be served, and the error has this name. */
  readonly expected: Expected | null;
  readonly refusal: string | null;
};

export class Call {
  readonly ask: Ask;
  readonly ids: number[] = [];
  finish: TokenDelta['finish'] = null;
  /** `finished`, the code of the error, or `gateway_died`; null: still under way. */
  #how: string | null = null;
  endMs = 0;
  endCount = 0;
  hasLeft = false;
  onLeave: () => void = () => undefined;
  readonly #onDelta: (call: Call, wasOver: boolean) => void;
  readonly #onEnd: (call: Call) => void;

  constructor(
    ask: Ask,
    hooks: {
      readonly onDelta: (call: Call, wasOver: boolean) => void;
      readonly onEnd: (call: Call) => void;
    },
  ) {
    this.ask = ask;
    this.#onDelta = hooks.onDelta;
    this.#onEnd = hooks.onEnd;
  }

  get id(): string {
    return this.ask.request.requestId;
  }

  get how(): string | null {
    return this.#how;
  }

  take(delta: TokenDelta): void {
    const wasOver = this.finish !== null || this.#how !== null;
    this.ids.push(...delta.ids);
    this.finish = delta.finish ?? this.finish;
    this.#onDelta(this, wasOver);
  }

  leave(): void {
    if (this.#how !== null) return;
    this.hasLeft = true;
    this.onLeave();
  }

  end(how: string): void {
    this.endCount++;
    if (this.#how !== null) return;
    this.#how = how;
    this.#onEnd(this);
  }
}
