// What the log says of routing: each choice with its numbers at debug level, and one warning whenever
// "always disaggregate" begins not to be kept. Serving goes first: without a context worker the generate
// worker computes the prompt, whatever was asked for; but nobody should learn that from latencies.

import type { GenerateRequest } from '../protocol/request.ts';
import type { Log } from '../telemetry/log.ts';
import type { Choice } from './router.ts';

export class RouteReport {
  readonly #log: Log;
  readonly #localPrefillTokens: number | null;
  /** Models whose last request found no context worker. */
  readonly #without = new Set<string>();

  /** Pairs whose path has been told of, and the path. */
  readonly #pairs = new Map<string, string>();

  constructor(log: Log, localPrefillTokens: number | null) {
    this.#log = log;
    this.#localPrefillTokens = localPrefillTokens;
  }

  note({ requestId, model }: GenerateRequest, choice: Choice): void {
    if (choice.route === 'none') return;
    const { route, reason, prefillTokens, localMs, disaggregatedMs } = choice;
    const numbers = { localMs: rounded(localMs), disaggregatedMs: rounded(disaggregatedMs) };
    if (choice.route === 'disaggregated') this.#notePair(choice);
    this.#log.debug('route', { request: requestId, route, reason, prefillTokens, ...numbers });
    if (this.#localPrefillTokens !== 0) return;
    if (reason !== 'no_context_worker') {
      if (this.#without.delete(model)) this.#log.info('Context workers are back', { model });
    } else if (!this.#without.has(model)) {
      this.#without.add(model);
      this.#log.warn(
        `no context worker of ${model} can give its KV to a generate worker; prompts are computed where they are decoded, although --local-prefill-tokens 0 asks for context workers`,
      );
    }
  }

  /** Once for each pair, and again when its path changes. */
  #notePair({ context, generate, kvPath }: Extract<Choice, { route: 'disaggregated' }>): void {
    const pair = `${context.worker} ${generate.worker}`;
    const { path, reason } = kvPath;
    if (this.#pairs.get(pair) === path) return;
    if (this.#pairs.size >= pairCountMax) this.#pairs.clear();
    this.#pairs.set(pair, path);
    const [from, to] = [context.worker, generate.worker];
    this.#log.info('KV path', { context: from, generate: to, path, reason });
  }
}

const pairCountMax = 8192;

function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 10) / 10;
}
