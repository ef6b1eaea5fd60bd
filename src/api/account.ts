// What one completion request leaves in the metrics: counted when its first tokens are here, at each
// later arrival, and once at its end, however it ends.

import { httpFace } from '../protocol/code.ts';
import type { Fault } from '../std/fault.ts';
import { servedModel } from './catalog.ts';
import type { Gateway } from './gateway.ts';
import type { Call } from './route.ts';
import type { Flow } from './running.ts';
import type { Started } from './start.ts';
import type { Lease } from './tenant.ts';

export class Account {
  readonly #gateway: Gateway;
  readonly #arrivedMs: number;
  readonly #lease: Lease;
  #model: string | null = null;
  #started: Started | null = null;
  #ended = false;

  constructor(gateway: Gateway, call: Pick<Call, 'arrivedMs' | 'lease'>) {
    this.#gateway = gateway;
    this.#lease = call.lease;
    this.#arrivedMs = call.arrivedMs;
  }

  /** The request could be read; null: it names no model. */
  read(model: string | null): void {
    // A name that nobody serves is the client's own text, and no label.
    this.#model = servedModel(this.#gateway, model)?.name ?? null;
  }

  /** The same generation, counted as it is read. */
  begin(started: Started): Started {
    this.#started = started;
    const { meter } = this.#gateway;
    const { queueMs } = started.timing();
    meter.observe('tdist_queue_seconds', {}, queueMs / 1000);
    const firstS = (started.firstMs - this.#arrivedMs) / 1000;
    meter.observe('tdist_time_to_first_token_seconds', {}, firstS);
    const promptTokens = started.prompts.reduce((sum, { length }) => sum + length, 0);
    meter.count('tdist_prompt_tokens_total', {}, promptTokens);
    this.#lease.tokens('prompt', promptTokens);
    const choices = started.choices.map((choice) => ({
      ...choice,
      flow: this.#counted(choice.flow),
    }));
    return { ...started, choices };
  }

  /** Any number of times; only the first counts. Null: all went well. */
  end(fault: Fault | null): void {
    if (this.#ended) return;
    this.#ended = true;
    const { meter, clock } = this.#gateway;
    const started = this.#started;
    const status = fault === null ? 200 : httpFace(fault.code).status;
    meter.count('tdist_requests_total', {
      model: started?.model ?? this.#model ?? '',
      route: started?.timing().route ?? 'none',
      code: String(status),
    });
    this.#lease.end(status);
    // Of several prompts only now: each is told of with its own first token.
    meter.count('tdist_cached_tokens_total', {}, started?.cachedTokens() ?? 0);
    if (fault === null) {
      const tookS = (clock.nowMs() - this.#arrivedMs) / 1000;
      meter.observe('tdist_e2e_request_latency_seconds', {}, tookS);
    } else if (fault.code === 'cancelled') {
      const phase = started === null ? 'queue' : 'stream';
      meter.count('tdist_cancellations_total', { phase });
    } else if (started === null) {
      meter.count('tdist_rejections_total', { reason: fault.code });
    }
  }

  #counted(flow: Flow): Flow {
    const { meter, clock } = this.#gateway;
    let lastMs: number | null = null;
    return {
      next: async () => {
        const next = await flow.next();
        const count = next.done === true ? 0 : next.value.ids.length;
        if (count === 0) return next;
        const nowMs = clock.nowMs();
        meter.count('tdist_generation_tokens_total', {}, count);
        this.#lease.tokens('completion', count);
        // Tokens that came together share the time since those before them.
        const eachS = lastMs === null ? 0 : (nowMs - lastMs) / 1000 / count;
        for (let i = 0; lastMs !== null && i < count; i++) {
          meter.observe('tdist_inter_token_latency_seconds', {}, eachS);
        }
        lastMs = nowMs;
        return next;
      },
      return: async () => (await flow.return?.()) ?? { done: true, value: undefined },
      timing: () => flow.timing(),
      scores: () => flow.scores(),
    };
  }
}
