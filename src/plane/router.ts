// Which workers serve a request. Pure: a snapshot goes in, a choice comes out; counting, measuring and
// retrying are the client's. Every usable worker and every pair between which KV can travel gets a cost
// (plane/cost.ts), the cheapest wins, and plane/placement.ts says which kind of route it is.

import { limit } from '../protocol/limit.ts';
import type { Heartbeat, WorkerRole } from '../protocol/message.ts';
import type { Route, RouteReason } from '../protocol/request.ts';
import { aloneMs, type Candidate, computeMs, kvBytesOf, pairMs, uncached } from './cost.ts';
import type { Own } from './in-flight.ts';
import { cachedOf, islandsOf, type KeysOf } from './island.ts';
import { type PairPath, pairPath } from './kv-path.ts';
import { type Estimate, placePrompt } from './placement.ts';
import type { PromptKeys } from './prompt-keys.ts';
import type { RateView } from './rates.ts';

type Chosen = {
  readonly reason: RouteReason;
  /** Prompt tokens that have to be computed, as far as one knows. */
  readonly prefillTokens: number;
  /** Estimates that were compared, for the debug log. */
  readonly localMs?: number;
  readonly disaggregatedMs?: number;
};

export type Choice =
  | (Chosen & {
      readonly route: 'disaggregated';
      readonly context: Heartbeat;
      readonly generate: Heartbeat;
      readonly kvPath: PairPath;
    })
  | (Chosen & { readonly route: 'local'; readonly generate: Heartbeat })
  | (Chosen & { readonly route: 'aggregated'; readonly baseline: Heartbeat })
  | { readonly route: 'none'; readonly reason: string };

export type RouteQuestion = {
  readonly model: string;
  /** The model's group, whatever its members' states. */
  readonly workers: readonly Heartbeat[];
  readonly promptTokens: number;
  /** Tokens of the answer at most: how far its KV may grow. */
  readonly growthTokens: number;
  readonly keys: PromptKeys;
  /** Cached blocks that a worker has told of. */
  readonly keysOf: KeysOf;
  /** Workers that were just given all of its KV. */
  readonly warm?: ReadonlySet<string>;
  /** False: what is computed on the way (the prompt's logprobs) is not handed over. */
  readonly isHandedOver?: boolean;
  /** Null: as measured. 0: never local while there is a context worker. */
  readonly localPrefillTokens: number | null;
  /** The only way the request may take, if it says so. */
  readonly forced?: Route | undefined;
  /** Workers that have already failed or refused this request. */
  readonly excluded: ReadonlySet<string>;
  /** What this gateway has on a worker that its heartbeat cannot know of. */
  readonly inFlight: (worker: string) => Own;
  /** Age of its last heartbeat. */
  readonly ageMs: (worker: string) => number;
  readonly rates: RateView;
  /** Counts up with every request: ties go round. */
  readonly turn: number;
};

type Priced<T> = { readonly value: T; readonly ms: number };
type Pair = {
  readonly context: Candidate;
  readonly generate: Candidate;
  readonly kvPath: PairPath;
};

const rolesOf: Readonly<Record<Route, readonly WorkerRole[]>> = {
  disaggregated: ['context', 'generate'],
  local: ['generate'],
  aggregated: ['baseline'],
};

export function chooseRoute(question: RouteQuestion): Choice {
  const { excluded, rates, turn, promptTokens, growthTokens, forced } = question;
  const kvTokens = promptTokens + growthTokens;
  const ready = question.workers.filter(
    ({ state, role }) =>
      state === 'ready' && (forced === undefined || rolesOf[forced].includes(role)),
  );
  const islands = islandsOf(ready).map((island) =>
    candidatesOf(island, question).filter(({ heartbeat }) => !excluded.has(heartbeat.worker)),
  );
  const alone = (role: Heartbeat['role']) => {
    const all = islands.flat().filter(({ heartbeat }) => heartbeat.role === role);
    return cheapest(
      all.map((value) => ({ value, ms: aloneMs(value, kvTokens) })),
      turn,
    );
  };
  const pairs = question.isHandedOver === false ? [] : pairsOf(islands.flat(), question, kvTokens);
  const pair = cheapest(pairs, turn);
  const local = alone('generate');
  if (pair === null || local === null) {
    const baseline = alone('baseline');
    if (forced === 'disaggregated') return { route: 'none', reason: whyNone(question) };
    const isForced = forced !== undefined || question.isHandedOver === false;
    const why = isForced ? 'forced' : whyAlone(ready, local, excluded);
    if (baseline !== null) return { ...chosen(baseline.value, why), ...aggregated(baseline.value) };
    if (local !== null) return { ...chosen(local.value, why), ...locally(local.value) };
    return { route: 'none', reason: whyNone(question) };
  }
  const disaggregatedMs = pair.ms + rates.hopMs('disaggregated');
  const localMs = local.ms + rates.hopMs('local');
  const estimate = (): Estimate => ({
    disaggregatedMs,
    localMs,
    uncachedDisaggregatedMs:
      disaggregatedMs + computeMs(uncached(pair.value.context)) - computeMs(pair.value.context),
    uncachedLocalMs:
      localMs + aloneMs(uncached(local.value), kvTokens) - aloneMs(local.value, kvTokens),
  });
  const { cachedTokens } = local.value;
  const prompt = { tokens: promptTokens, cachedTokens };
  const threshold = forced === undefined ? question.localPrefillTokens : 0;
  const { route, reason } = placePrompt(threshold, prompt, estimate);
  const numbers = { localMs, disaggregatedMs };
  if (route === 'local') {
    return { ...chosen(local.value, reason), ...numbers, ...locally(local.value) };
  }
  const { context, generate, kvPath } = pair.value;
  return {
    ...chosen(context, reason),
    ...numbers,
    route,
    context: context.heartbeat,
    generate: generate.heartbeat,
    kvPath,
  };
}

/** Why a forced route cannot be taken however long one waits; null: it can, now or soon. */
export function missingFor(route: Route, workers: readonly Heartbeat[]): string | null {
  const missing = rolesOf[route].filter((role) => !workers.some((one) => one.role === role));
  if (missing.length > 0) {
    const list = missing.map((role) => `${role} worker`).join(' and no ');
    return `the route ${route} was asked for and no ${list} is alive; start one, or leave the header away`;
  }
  // A drained worker takes nothing until somebody resumes it; one that starts is worth waiting for.
  const takers = workers.filter(({ state }) => state !== 'draining');
  if (isServedBy(route, takers)) return null;
  if (isServedBy(route, workers)) return drainedFor(route, workers);
  return 'the route disaggregated was asked for and no context worker can give its KV to a generate worker: model and KV layout must be equal, and they must share a host or a request plane with JetStream';
}

function isServedBy(route: Route, workers: readonly Heartbeat[]): boolean {
  const of = (wanted: WorkerRole): Heartbeat[] => workers.filter(({ role }) => role === wanted);
  if (route !== 'disaggregated') return rolesOf[route].some((role) => of(role).length > 0);
  return of('context').some((one) => of('generate').some((two) => understand(one, two)));
}

function drainedFor(route: Route, workers: readonly Heartbeat[]): string {
  const drained = workers.filter(
    ({ role, state }) => state === 'draining' && rolesOf[route].includes(role),
  );
  const shown = drained.slice(0, 4).map(({ role, worker }) => `${role} worker ${worker}`);
  const more = drained.length > shown.length ? ` and ${drained.length - shown.length} more` : '';
  return `the route ${route} was asked for and cannot be taken while draining: ${shown.join(', ')}${more}; resume it (tdist workers resume), start another, or leave the header away`;
}

/** Can `generate` copy what `context` exports? */
export function understand(context: Heartbeat, generate: Heartbeat): boolean {
  return pairPath(context, generate) !== null;
}

function candidatesOf(island: readonly Heartbeat[], question: RouteQuestion): Candidate[] {
  const { promptTokens, inFlight, ageMs, rates } = question;
  const cached = cachedOf(island, question);
  return island.map((heartbeat) => ({
    heartbeat,
    own: inFlight(heartbeat.worker),
    ageMs: ageMs(heartbeat.worker),
    speed: rates.prefill(heartbeat),
    promptTokens,
    cachedTokens: cached.tokens,
    ownCachedTokens: cached.own(heartbeat.worker),
  }));
}

function pairsOf(
  all: readonly Candidate[],
  { rates, promptTokens }: RouteQuestion,
  kvTokens: number,
): Priced<Pair>[] {
  const generates = all.filter(({ heartbeat }) => heartbeat.role === 'generate');
  return all
    .filter(({ heartbeat }) => heartbeat.role === 'context')
    .flatMap((context) =>
      generates.flatMap((generate) => {
        const kvPath = pairPath(context.heartbeat, generate.heartbeat);
        if (kvPath === null) return [];
        // What the reader's host has cached need not travel.
        const bytes = kvBytesOf(context.heartbeat, promptTokens - generate.cachedTokens);
        const pair = [context.heartbeat, generate.heartbeat] as const;
        const transferMs = rates.transferMs(...pair, kvPath.path, bytes);
        const value = { context, generate, kvPath };
        return [{ value, ms: pairMs(value, { transferMs, kvTokens }) }];
      }),
    );
}

/** Those that cost no more than the cheapest, give or take `limit.tieMs`, take turns. */
function cheapest<T>(all: readonly Priced<T>[], turn: number): Priced<T> | null {
  let leastMs = Number.POSITIVE_INFINITY;
  for (const { ms } of all) leastMs = Math.min(leastMs, ms);
  const best = all.filter(({ ms }) => ms <= leastMs + limit.tieMs);
  return best[turn % best.length] ?? null;
}

function chosen({ promptTokens, cachedTokens }: Candidate, reason: RouteReason): Chosen {
  return { reason, prefillTokens: promptTokens - cachedTokens };
}

function locally({ heartbeat }: Candidate) {
  return { route: 'local', generate: heartbeat } as const;
}

function aggregated({ heartbeat }: Candidate) {
  return { route: 'aggregated', baseline: heartbeat } as const;
}

/** Why no pair could be made, or that there is nobody to make one of. */
function whyAlone(
  ready: readonly Heartbeat[],
  local: Priced<Candidate> | null,
  excluded: ReadonlySet<string>,
): RouteReason {
  if (local === null) return 'aggregated_only';
  const generates = ready.filter(
    ({ role, worker }) => role === 'generate' && !excluded.has(worker),
  );
  const contexts = ready.filter(({ role }) => role === 'context');
  const couldPair = contexts.some((context) => generates.some((one) => understand(context, one)));
  return couldPair ? 'context_refused' : 'no_context_worker';
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
