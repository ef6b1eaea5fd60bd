// A request for generated text from its body to its answer, the same for every route that generates.
// Nothing is answered before the first text is there, so every failure up to then has its real HTTP
// status. An exchange is closed once, however it ends: after the answer, at the end of the stream, or
// when the client leaves.

import type { GrammarSpec } from '../protocol/grammar.ts';
import type { Route, ServedModel } from '../protocol/request.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { Chance } from '../std/prng.ts';
import type { Log } from '../telemetry/log.ts';
import { Account } from './account.ts';
import type { Ask } from './ask.ts';
import { type JsonObject, readJsonObject } from './body.ts';
import { clientTimeoutMs } from './deadline.ts';
import { forcedRoute } from './forced-route.ts';
import { checkForm } from './form.ts';
import type { Exchange } from './gate.ts';
import type { Gateway } from './gateway.ts';
import type { Prompts } from './prompt.ts';
import type { Call } from './route.ts';
import type { Shape } from './shape.ts';
import { eventStream } from './sse.ts';
import type { Stage } from './stage.ts';
import { type Started, startGeneration } from './start.ts';
import { Turn } from './turn.ts';

/** What a route makes of a body: what to generate, and how the answer looks. */
export type Order = {
  readonly ask: Ask;
  readonly promptsOf: Prompts;
  /** What the answer must be, where that depends on the model; absent: as `ask` says. */
  readonly grammarOf?: (served: ServedModel) => GrammarSpec | null;
  /** Words that the stages look for; as special tokens they would be no text. */
  readonly markersOf?: (started: Started) => readonly string[];
  readonly shapeOf: (started: Started) => Shape;
  /** Between text and shape, made anew for each choice of the prompt. */
  readonly stagesOf: (started: Started, promptIndex: number) => readonly Stage[];
};

export type OrderReader = (
  body: JsonObject,
  ports: { readonly chance: Chance; readonly log: Log },
) => Order;

export async function answerOrder(
  gateway: Gateway,
  call: Call,
  read: OrderReader,
): Promise<Response> {
  const account = new Account(gateway, call);
  try {
    return await answer(gateway, call, { account, read });
  } catch (thrown) {
    account.end(toFault(thrown));
    throw thrown;
  }
}

async function answer(
  gateway: Gateway,
  call: Call,
  { account, read }: { readonly account: Account; readonly read: OrderReader },
): Promise<Response> {
  const exchange = gateway.gate.enter(call.request.signal);
  try {
    const route = forcedRoute(call.request.headers);
    const timeoutMs = clientTimeoutMs(call.request.headers);
    const order = read(await readJsonObject(call.request, gateway), gateway);
    const { ask } = order;
    refuseHandOver(ask, route);
    await checkForm(gateway.grammars, ask);
    account.read(ask.model);
    const spentMs = gateway.clock.nowMs() - call.arrivedMs;
    const clientLimit =
      timeoutMs === null ? null : { givenMs: timeoutMs, leftMs: Math.max(0, timeoutMs - spentMs) };
    const wishes = { route, clientLimit };
    const started = account.begin(await startGeneration(gateway, exchange, order, wishes));
    const shape = order.shapeOf(started);
    const stagesOf = (promptIndex: number) => order.stagesOf(started, promptIndex);
    const shownIds = started.text.idsOf(order.markersOf?.(started) ?? []);
    const options = { ask: { ...ask, shownIds }, shape, stagesOf };
    const turn = new Turn(gateway, call, started, options);
    if (ask.stream) return await streamed(turn, call, exchange, { account, clock: gateway.clock });
    const whole = await turn.whole();
    exchange.close();
    turn.log(null);
    account.end(null);
    return Response.json(whole, { headers: turn.headers() });
  } catch (thrown) {
    const fault = toFault(thrown);
    exchange.abort(fault);
    exchange.close();
    throw fault;
  }
}

function refuseHandOver({ sampling }: Ask, route: Route | null): void {
  if (sampling.promptLogprobs === null || route !== 'disaggregated') return;
  throw new Fault(
    'invalid_request',
    'Logprobs of a prompt are computed where the answer is: the route disaggregated cannot give them.',
    { param: 'logprobs' },
  );
}

async function streamed(
  turn: Turn,
  call: Call,
  exchange: Exchange,
  { account, clock }: { readonly account: Account; readonly clock: Clock },
): Promise<Response> {
  const chunks = turn.chunks();
  const first = await chunks.next();
  let open = true;
  const end = (fault: Fault | null): void => {
    if (!open) return;
    open = false;
    if (fault !== null) exchange.abort(fault);
    exchange.close();
    turn.log(fault);
    account.end(fault);
  };
  const onGone = (): void => end(new Fault('cancelled', 'The client closed the connection.'));
  // A stream that nobody has begun to read is not cancelled when its client leaves: listen ourselves.
  call.request.signal.addEventListener('abort', onGone, { once: true });
  const body = eventStream({
    events: resumed(first, chunks),
    requestId: call.requestId,
    clock,
    framing: turn.framing,
    onEnd: end,
    onCancel: onGone,
  });
  return new Response(body, {
    headers: {
      ...turn.headers(),
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    },
  });
}

async function* resumed(
  first: IteratorResult<object, void>,
  rest: AsyncGenerator<object, void>,
): AsyncGenerator<object, void> {
  if (first.done === true) return;
  yield first.value;
  yield* rest;
}
