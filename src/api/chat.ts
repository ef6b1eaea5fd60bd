// POST /v1/chat/completions. Nothing is answered before the first text is there, so every failure up
// to then has its real HTTP status. An exchange is closed once, however it ends: after the answer,
// at the end of the stream, or when the client leaves.

import type { Clock } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import { Account } from './account.ts';
import { readJsonObject } from './body.ts';
import type { ChatChunk } from './chunk.ts';
import { clientTimeoutMs } from './deadline.ts';
import { forcedRoute } from './forced-route.ts';
import type { Exchange } from './gate.ts';
import type { Gateway } from './gateway.ts';
import { readChatRequest } from './intake.ts';
import type { Call } from './route.ts';
import { eventStream } from './sse.ts';
import { startGeneration } from './start.ts';
import { Turn } from './turn.ts';

export async function answerChat(gateway: Gateway, call: Call): Promise<Response> {
  const account = new Account(gateway, call);
  try {
    return await answer(gateway, call, account);
  } catch (thrown) {
    account.end(toFault(thrown));
    throw thrown;
  }
}

async function answer(gateway: Gateway, call: Call, account: Account): Promise<Response> {
  const exchange = gateway.gate.enter(call.request.signal);
  try {
    const route = forcedRoute(call.request.headers);
    const timeoutMs = clientTimeoutMs(call.request.headers);
    const chat = readChatRequest(await readJsonObject(call.request, gateway), gateway);
    account.read(chat.model);
    const spentMs = gateway.clock.nowMs() - call.arrivedMs;
    const clientLimitMs = timeoutMs === null ? null : Math.max(0, timeoutMs - spentMs);
    const wishes = { route, clientLimitMs };
    const started = account.begin(await startGeneration(gateway, exchange, chat, wishes));
    const turn = new Turn(gateway, call, chat, started);
    if (chat.stream) return await streamed(turn, call, exchange, { account, clock: gateway.clock });
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
  first: IteratorResult<ChatChunk, void>,
  rest: AsyncGenerator<ChatChunk, void>,
): AsyncGenerator<ChatChunk, void> {
  if (first.done === true) return;
  yield first.value;
  yield* rest;
}
