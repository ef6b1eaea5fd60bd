// One request's token chunks in their right order. Two workers publish one stream (context: token 0,
// generate: the rest), so a chunk may be early; it is held until the missing piece is there. What was
// already seen is dropped if equal; a contradiction is a Fault, never silent. Pure.

import type { TokensMessage } from '../protocol/message.ts';
import type { Scores, TokenDelta } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';

type Piece = TokenDelta & { readonly first: number };

const heldCountMax = 1024;

export class Reassembly {
  readonly #ids: number[];
  readonly #held: Piece[] = [];
  #scoreCount = 0;
  #finished = false;

  /** @param emittedIds tokens that other workers sent and that have been passed on. */
  constructor(emittedIds: readonly number[] = []) {
    this.#ids = [...emittedIds];
  }

  /** Tokens put in order so far. */
  get ids(): readonly number[] {
    return this.#ids;
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** Index of the first missing token while later ones are waiting for it, else null. */
  get gapAt(): number | null {
    return this.#held.length === 0 ? null : this.#ids.length;
  }

  /** Takes one chunk; returns what can be passed on now. Throws a Fault `plane`. */
  accept(chunk: TokensMessage): readonly TokenDelta[] {
    const { worker, scores } = chunk;
    if (scores !== undefined) return this.#scores(scores);
    let piece: Piece | undefined = pieceOf(chunk);
    if (piece.first > this.#ids.length) {
      if (this.#held.length >= heldCountMax) throw this.gapFault();
      this.#held.push(piece);
      return [];
    }
    const ready: TokenDelta[] = [];
    while (piece !== undefined) {
      const delta = this.#take(piece, worker);
      if (delta !== null) ready.push(delta);
      piece = this.#nextHeld();
    }
    return ready;
  }

  /** One worker sends them, one after another: none is early, none comes twice. */
  #scores({ from, list }: Scores): readonly TokenDelta[] {
    if (from !== this.#scoreCount + 1) {
      const wanted = this.#scoreCount + 1;
      throw new Fault('plane', `logprobs of prompt token ${from} came instead of ${wanted}'s`);
    }
    this.#scoreCount += list.length;
    return [{ ids: [], scores: list, finish: null }];
  }

  gapFault(): Fault {
    return new Fault('plane', `gap in the token stream: token ${this.#ids.length} is missing`);
  }

  #nextHeld(): Piece | undefined {
    const index = this.#held.findIndex(({ first }) => first <= this.#ids.length);
    return index < 0 ? undefined : this.#held.splice(index, 1)[0];
  }

  /** Appends what is new in `piece`, which begins at or before the end. */
  #take({ first, ...delta }: Piece, worker: string): TokenDelta | null {
    const { ids, logprobs, finish } = delta;
    const known = this.#ids.slice(first, first + ids.length);
    for (const [index, id] of known.entries()) {
      if (id === ids[index]) continue;
      throw new Fault(
        'plane',
        `token ${first + index} came twice and differs: ${id}, then ${String(ids[index])} (worker ${worker})`,
      );
    }
    const fresh = ids.slice(known.length);
    if (this.#finished) {
      if (fresh.length === 0) return null;
      throw new Fault('plane', `tokens after the end of the stream (worker ${worker})`);
    }
    if (fresh.length === 0 && finish === null) return null;
    // A repeated last chunk cannot be here (finished); an end before what is known would cut it off.
    if (finish !== null && first + ids.length < this.#ids.length) {
      throw new Fault('plane', `the stream's end came at ${first}, behind its tokens (${worker})`);
    }
    this.#ids.push(...fresh);
    this.#finished = finish !== null;
    const rest = logprobs?.slice(known.length);
    return { ...delta, ids: fresh, ...(rest === undefined ? {} : { logprobs: rest }) };
  }
}

function pieceOf(chunk: TokensMessage): Piece {
  const { first, ids, logprobs, finish, stopToken, worker } = chunk;
  if (logprobs !== undefined && logprobs.length !== ids.length) {
    throw new Fault(
      'plane',
      `${ids.length} tokens came with ${logprobs.length} logprobs (worker ${worker})`,
    );
  }
  return {
    first,
    ids,
    finish,
    ...(logprobs === undefined ? {} : { logprobs }),
    ...(stopToken === undefined ? {} : { stopToken }),
  };
}
