// A steady load: so many clients, each with one streamed request after another to a gateway that runs,
// every answer held against the undisturbed one.

import { Fault } from '../../std/fault.ts';
import type { Chance } from '../../std/prng.ts';
import { bodies } from './bodies.ts';
import { askStream, hangMs, type Route, type Said } from './client.ts';
import type { GatewayPlace, Stage } from './stage.ts';
import { gapsAcross, judge, type Verdict } from './verdict.ts';

const askEveryMs = 10;
const streamsMs = 30_000;

export type Answered = {
  readonly verdict: Verdict;
  readonly choices: readonly Said[];
  readonly route: Route | null;
};

/** The right answers: each body alone, before anything is disturbed. Throws where one cannot be had. */
export async function recordAnswers(url: string): Promise<readonly (readonly Said[])[]> {
  const all: (readonly Said[])[] = [];
  for (const body of bodies) {
    const { end, choices } = await askStream({ url, body });
    if (end.kind !== 'whole') {
      const text = `an undisturbed request failed: ${JSON.stringify(end)}`;
      throw new Fault('internal', text);
    }
    all.push(choices);
  }
  return all;
}

export class Load {
  readonly records: Answered[] = [];
  readonly #stage: Stage;
  readonly #chance: Chance;
  readonly #answers: readonly (readonly Said[])[];
  readonly #clients: readonly Promise<void>[];
  /** Requests that have said something and are not over, with when they last did. */
  readonly #streaming = new Set<{ saidMs: number }>();
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

  /** Until so many requests are in the middle of their answers. */
  async untilStreaming(count: number): Promise<void> {
    const endMs = performance.now() + streamsMs;
    while (this.#streaming.size < count) {
      if (performance.now() > endMs) {
        throw new Fault('internal', `no ${count} streams at once within ${streamsMs} ms`);
      }
      await Bun.sleep(askEveryMs);
    }
  }

  /** Until every stream of now has said something more, or is over: none waits for a fault's mend. */
  async untilMoving(): Promise<void> {
    const fromMs = performance.now();
    const still = [...this.#streaming];
    while (still.some((one) => this.#streaming.has(one) && one.saidMs <= fromMs)) {
      if (performance.now() > fromMs + hangMs) {
        throw new Fault('internal', `streams stood still for ${hangMs} ms`);
      }
      await Bun.sleep(askEveryMs);
    }
  }

  /** Lets what runs come to its end. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients);
  }

  gapsMs(faultsMs: readonly number[]): readonly number[] {
    const whole = this.records.filter(({ verdict }) => verdict.kind === 'identical');
    return faultsMs.flatMap((ms) => whole.flatMap(({ choices }) => gapsAcross(choices, ms)));
  }

  async #client(): Promise<void> {
    while (!this.#isOver) {
      const gateway = this.#pickGateway();
      if (gateway === null) await Bun.sleep(askEveryMs);
      else await this.#ask(gateway);
    }
  }

  /** As a load balancer does: none that is down. */
  #pickGateway(): GatewayPlace | null {
    const up = this.#stage.gateways.filter(({ member, isUp }) => isUp && !member.wasKilled);
    return up[this.#chance.u32() % Math.max(1, up.length)] ?? null;
  }

  async #ask({ url, member }: GatewayPlace): Promise<void> {
    const bodyIndex = this.#chance.u32() % bodies.length;
    const [body, wanted] = [bodies[bodyIndex] ?? {}, this.#answers[bodyIndex] ?? []];
    const stream = { saidMs: 0 };
    const onPiece = (): void => {
      stream.saidMs = performance.now();
      this.#streaming.add(stream);
    };
    const reply = await askStream({ url, body, onPiece });
    this.#streaming.delete(stream);
    const verdict = judge(reply, wanted, { gatewayDied: member.wasKilled });
    this.records.push({ verdict, choices: reply.choices, route: reply.route });
  }
}
