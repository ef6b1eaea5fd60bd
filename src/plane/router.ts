// Which workers serve a request. Pure: a snapshot goes in, a choice comes out; counting and retrying
// are the client's. A pair must agree on model, KV layout and dtype and share a host's memory.

import type { Heartbeat, WorkerRole } from '../protocol/message.ts';
import type { Route } from '../protocol/request.ts';

export type Choice =
  | { readonly route: 'disaggregated'; readonly context: Heartbeat; readonly generate: Heartbeat }
  | { readonly route: 'local'; readonly generate: Heartbeat }
  | { readonly route: 'aggregated'; readonly baseline: Heartbeat }
  | { readonly route: 'none'; readonly reason: string };

export type RouteQuestion = {
  readonly model: string;
  /** The model's group, whatever its members' states. */
  readonly workers: readonly Heartbeat[];
  readonly promptTokens: number;
  /** Shorter prompts than this are prefilled by the generate worker itself. */
  readonly localPrefillTokens: number;
  /** The only way the request may take, if it says so. */
  readonly route?: Route | undefined;
  /** Workers that have already failed or refused this request. */
  readonly excluded: ReadonlySet<string>;
  /** Requests that this gateway has on a worker now, on top of what its heartbeat says. */
  readonly inFlight: (worker: string) => number;
  /** Counts up with every request: ties go round. */
  readonly turn: number;
};

const rolesOf: Readonly<Record<Route, readonly WorkerRole[]>> = {
  disaggregated: ['context', 'generate'],
  local: ['generate'],
  aggregated: ['baseline'],
};

export function chooseRoute(question: RouteQuestion): Choice {
  const { workers, excluded, promptTokens, localPrefillTokens, route: forced } = question;
  const usable = workers.filter(
    ({ worker, state, role }) =>
      state === 'ready' &&
      !excluded.has(worker) &&
      (forced === undefined || rolesOf[forced].includes(role)),
  );
  const contexts = usable.filter(({ role }) => role === 'context');
  const generates = usable.filter(({ role }) => role === 'generate');
  const baseline = leastLoaded(
    usable.filter(({ role }) => role === 'baseline'),
    question,
  );
  if (forced === 'disaggregated' || promptTokens >= localPrefillTokens) {
    const able = generates.filter((one) => contexts.some((other) => understand(other, one)));
    const generate = leastLoaded(able, question);
    if (generate !== null) {
      const partners = contexts.filter((other) => understand(other, generate));
      const context = leastLoaded(partners, question);
      if (context !== null) return { route: 'disaggregated', context, generate };
    }
    if (baseline !== null) return { route: 'aggregated', baseline };
  }
  const generate = forced === 'disaggregated' ? null : leastLoaded(generates, question);
  if (generate !== null) return { route: 'local', generate };
  if (baseline !== null) return { route: 'aggregated', baseline };
  return { route: 'none', reason: whyNone(question) };
}

/** Why a forced route cannot be taken however long one waits; null: it can, now or soon. */
export function missingFor(route: Route, workers: readonly Heartbeat[]): string | null {
  const missing = rolesOf[route].filter((role) => !workers.some((one) => one.role === role));
  if (missing.length > 0) {
    const list = missing.map((role) => `${role} worker`).join(' and no ');
    return `the route ${route} was asked for and no ${list} is alive; start one, or leave the header away`;
  }
  const of = (wanted: WorkerRole): Heartbeat[] => workers.filter(({ role }) => role === wanted);
  const pairs = of('context').some((one) => of('generate').some((two) => understand(one, two)));
  if (route !== 'disaggregated' || pairs) return null;
  return 'the route disaggregated was asked for and no context worker shares model, KV layout and host with a generate worker';
}

/** Can `generate` copy what `context` exports? */
export function understand(context: Heartbeat, generate: Heartbeat): boolean {
  const a = context.card;
  const b = generate.card;
  return (
    context.host === generate.host &&
    a.modelDigest === b.modelDigest &&
    a.kvDtype === b.kvDtype &&
    a.geometry.layers === b.geometry.layers &&
    a.geometry.kvHeads === b.geometry.kvHeads &&
    a.geometry.headDim === b.geometry.headDim &&
    a.geometry.blockTokens === b.geometry.blockTokens
  );
}

function leastLoaded(workers: readonly Heartbeat[], question: RouteQuestion): Heartbeat | null {
  let best: Heartbeat[] = [];
  let bestLoad = Number.POSITIVE_INFINITY;
  for (const worker of workers) {
    const { running, waiting } = worker.load;
    const load = running + waiting + question.inFlight(worker.worker);
    if (load > bestLoad) continue;
    if (load < bestLoad) best = [];
    bestLoad = load;
    best.push(worker);
  }
  return best[question.turn % best.length] ?? null;
}

function whyNone({ model, workers, excluded }: RouteQuestion): string {
  if (workers.length === 0) return `no worker that serves ${model} is alive`;
  const counts = new Map<string, number>();
  for (const { role, state, worker } of workers) {
    const condition = excluded.has(worker) ? 'tried in vain' : state;
    const text = `${role} ${condition}`;
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  const list = [...counts].map(([text, count]) => `${count} ${text}`).join(', ');
  return `no generate or baseline worker of ${model} can take it (${list})`;
}
