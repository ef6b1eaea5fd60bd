// The soak's load: besides questions whose answers are known, ones that were never asked before, bodies
// that are refused, and clients that leave. So whatever is kept by request, prompt or error would add up.
// Grammars come round again: workers keep compiled ones up to a limit in bytes that new ones alone would
// take an hour to reach.

import type { Chance } from '../../std/prng.ts';
import { bodies, type ChatBody } from '../faults/bodies.ts';
import { askStream, type Said } from '../faults/client.ts';
import type { Stage } from '../faults/stage.ts';
import { judge } from '../faults/verdict.ts';

const leaveMsMax = 300;
const grammarCount = 24;

export class SoakLoad {
  readonly lost: string[] = [];
  /** Requests by kind. */
  readonly counts = { known: 0, new: 0, left: 0, refused: 0 };
  readonly #stage: Stage;
  readonly #chance: Chance;
  readonly #answers: readonly (readonly Said[])[];
  readonly #clients: readonly Promise<void>[];
  #nextNew = 0;
  #isOver = false;

  constructor(options: {
    readonly stage: Stage;
    readonly chance: Chance;
    readonly answers: readonly (readonly Said[])[];
    readonly clientCount: number;
  }) {
    this.#stage = options.stage;
    this.#chance = options.chance;
    this.#answers = options.answers;
    this.#clients = Array.from({ length: options.clientCount }, () => this.#client());
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients);
  }

  async #client(): Promise<void> {
    while (!this.#isOver) {
      const url = this.#stage.gateways[this.#draw(this.#stage.gateways.length)]?.url ?? '';
      const kind = this.#draw(10);
      if (kind < 5) await this.#known(url);
      else if (kind < 8) await this.#new(url);
      else if (kind < 9) await this.#leave(url);
      else await this.#refused(url);
    }
  }

  async #known(url: string): Promise<void> {
    const index = this.#draw(bodies.length);
    const reply = await askStream({ url, body: bodies[index] ?? {} });
    const verdict = judge(reply, this.#answers[index] ?? [], { gatewayDied: false });
    this.counts.known++;
    // Nothing is disturbed, so an error is no better than a wrong answer.
    if (verdict.kind !== 'identical') this.lost.push(JSON.stringify(verdict));
  }

  async #new(url: string): Promise<void> {
    const { end } = await askStream({ url, body: this.#newBody() });
    this.counts.new++;
    if (end.kind !== 'whole') this.lost.push(`a new question: ${JSON.stringify(end)}`);
  }

  async #leave(url: string): Promise<void> {
    const signal = AbortSignal.timeout(1 + this.#draw(leaveMsMax));
    await askStream({ url, body: this.#newBody(), signal });
    this.counts.left++;
  }

  async #refused(url: string): Promise<void> {
    const body = { ...this.#newBody(), structured_outputs: { regex: `(${this.#nextNew}` } };
    const { end } = await askStream({ url, body });
    this.counts.refused++;
    if (end.kind === 'whole') this.lost.push('a broken regular expression was taken');
  }

  /** Another text each time, from its first word on, and now and then a grammar. */
  #newBody(): ChatBody {
    const number = this.#nextNew++;
    const seed = this.#chance.u32();
    const sentence = `House ${number} of ${seed} stands near the river. `;
    const content = `${seed}: ${sentence.repeat(1 + this.#draw(40))}Tell me a story.`;
    const regex = `${number % grammarCount}: [a-z ]{20,60}`;
    const grammar = { structured_outputs: { regex } };
    return {
      model: 'llama',
      messages: [{ role: 'user', content }],
      temperature: 1,
      seed,
      max_tokens: 1 + this.#draw(150),
      ...(this.#draw(4) === 0 ? grammar : {}),
    };
  }

  #draw(count: number): number {
    return this.#chance.u32() % count;
  }
}
