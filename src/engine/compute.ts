// A plan's rows and chunks through the model, and a token out of each row of logits. What the model
// refuses becomes a Fault for exactly the sequences of that call.

import type { TokenLogprobs } from '../protocol/request.ts';
import { type Fault, toFault } from '../std/fault.ts';
import { allowedNext } from './constraint.ts';
import type { ChunkGroup } from './group.ts';
import { keepRaw, tokenLogprobs } from './logprob.ts';
import type { BatchRow, Chunk } from './plan.ts';
import { createScratch, type Scratch } from './row.ts';
import type { Runner } from './runner.ts';
import { sampleToken } from './sampler.ts';
import { bannedIds, type Chosen, type Sequence, scores } from './sequence.ts';

export type ChunkResult = {
  /** That the chunk's last logits choose; null where the prompt goes on after it, or a mask is late. */
  readonly token: Chosen | null;
  /** Of the prompt tokens from the sequence's `scoredCount` + 1 on, where they were asked for. */
  readonly scores: readonly TokenLogprobs[];
};

export class Compute {
  readonly #runner: Runner;
  readonly #eosIds: readonly number[];
  readonly #onFault: (sequence: Sequence, fault: Fault) => void;
  readonly #ids: Int32Array;
  readonly #pasts: Int32Array;
  readonly #scratch: Scratch;
  #late: Sequence[] = [];

  constructor(options: {
    runner: Runner;
    slots: number;
    eosIds: readonly number[];
    onFault: (sequence: Sequence, fault: Fault) => void;
  }) {
    this.#runner = options.runner;
    this.#eosIds = options.eosIds;
    this.#onFault = options.onFault;
    this.#ids = new Int32Array(options.slots);
    this.#pasts = new Int32Array(options.slots);
    this.#scratch = createScratch(options.runner.vocabSize);
  }

  /** The next token of each sequence in the decode batch. */
  decode(batch: readonly BatchRow[]): [Sequence, Chosen][] {
    const runner = this.#runner;
    if (batch.length === 0) return [];
    batch.forEach((row, slot) => {
      this.#ids[slot] = row.id;
      this.#pasts[slot] = row.past;
    });
    try {
      const logits = runner.decode({ count: batch.length, ids: this.#ids, pasts: this.#pasts });
      const tokens: [Sequence, Chosen][] = [];
      batch.forEach(({ sequence }, slot) => {
        if (sequence === null) return;
        const begin = slot * runner.vocabSize;
        const token = this.#trySample(sequence, logits, begin);
        if (token !== null) tokens.push([sequence, token]);
      });
      return tokens;
    } catch (thrown) {
      const fault = toFault(thrown, 'engine');
      for (const { sequence } of batch) if (sequence !== null) this.#onFault(sequence, fault);
      return [];
    }
  }

  prefill(groups: readonly ChunkGroup[]): [Sequence, ChunkResult][] {
    const results: [Sequence, ChunkResult][] = [];
    for (const group of groups) {
      try {
        if (scores(group[0].sequence)) {
          results.push([group[0].sequence, this.#score(group[0])]);
          continue;
        }
        const logits = this.#run(group);
        for (const [i, { sequence, isLast }] of group.entries()) {
          const begin = i * this.#runner.vocabSize;
          const token = isLast ? this.#trySample(sequence, logits, begin) : null;
          if (token !== null || !isLast) results.push([sequence, { token, scores: [] }]);
        }
      } catch (thrown) {
        const fault = toFault(thrown, 'engine');
        for (const { sequence } of group) this.#onFault(sequence, fault);
      }
    }
    return results;
  }

  /** Sequences whose masks were not there, since the last call: their last rows have to run again. */
  takeLate(): readonly Sequence[] {
    const late = this.#late;
    if (late.length > 0) this.#late = [];
    return late;
  }

  /** A chunk with the logits after each of its tokens: they judge the tokens that follow in the prompt. */
  #score({ sequence, slot, past, count, isLast }: Chunk): ChunkResult {
    const { vocabSize } = this.#runner;
    const ids = sequence.ids.slice(past, past + count);
    const logits = this.#runner.prefill({ slot, past, ids, everyRow: true });
    const found: TokenLogprobs[] = [];
    const { promptLength, scoredCount, sampling } = sequence;
    for (let position = scoredCount + 1; position <= past + count; position++) {
      const id = sequence.ids[position];
      if (position >= promptLength || id === undefined) break;
      const begin = (position - 1 - past) * vocabSize;
      keepRaw({ logits, begin, end: begin + vocabSize }, this.#scratch);
      found.push(tokenLogprobs(id, sampling.promptLogprobs ?? 0, this.#scratch));
    }
    const last = (count - 1) * vocabSize;
    return { token: isLast ? this.#sample(sequence, logits, last) : null, scores: found };
  }

  #run(group: ChunkGroup): Float32Array {
    const idsOf = ({ sequence, past, count }: Chunk): number[] =>
      sequence.ids.slice(past, past + count);
    const [first, ...others] = group;
    if (others.length > 0) {
      return this.#runner.prefillTogether({ slot: first.slot, prompts: group.map(idsOf) });
    }
    return this.#runner.prefill({ slot: first.slot, past: first.past, ids: idsOf(first) });
  }

  /** Null where this one sequence fails, or is late: nobody else of its batch is to blame. */
  #trySample(sequence: Sequence, logits: Float32Array, begin: number): Chosen | null {
    try {
      return this.#sample(sequence, logits, begin);
    } catch (thrown) {
      this.#onFault(sequence, toFault(thrown, 'engine'));
      return null;
    }
  }

  #sample(sequence: Sequence, logits: Float32Array, begin: number): Chosen | null {
    const row = { logits, begin, end: begin + this.#runner.vocabSize };
    const banned = bannedIds(sequence, this.#eosIds);
    const allowed = allowedNext(sequence, this.#eosIds);
    if (allowed === 'late') {
      this.#late.push(sequence);
      return null;
    }
    if (typeof allowed === 'string') return allowed;
    const { sampling } = sequence;
    const scratch = this.#scratch;
    if (sampling.logprobs !== null) keepRaw(row, scratch);
    const token = sampleToken(row, { sampling, history: sequence, banned, allowed }, scratch);
    if (sampling.logprobs !== null) {
      sequence.logprobs = tokenLogprobs(token, sampling.logprobs, scratch);
    }
    return token;
  }
}
