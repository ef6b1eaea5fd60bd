// GET /workers, POST /workers/{id}/drain and /resume: who serves here, and taking one out of service
// without cutting an answer. A drained worker says when it is safe to stop.

import { isSafeToStop, type Member } from '../protocol/member.ts';
import { type ControlAction, controlActions } from '../protocol/message.ts';
import { Fault } from '../std/fault.ts';
import { clip } from './fault.ts';
import type { Gateway } from './gateway.ts';
import type { Call } from './route.ts';

export function listWorkers(gateway: Gateway): Response {
  const nowMs = gateway.clock.nowMs();
  const data = gateway.cluster.members().map((member) => workerObject(member, nowMs));
  return Response.json({ object: 'list', data });
}

/** Doing it twice is the same as once. Answers with what the worker then is. */
export async function controlWorker(gateway: Gateway, call: Call): Promise<Response> {
  const [id = '', action, ...rest] = call.tail.split('/');
  if (!isAction(action) || rest.length > 0) {
    const path = clip(`/workers/${call.tail}`, 200);
    throw new Fault('not_found', `There is no route POST ${path}; there are drain and resume.`);
  }
  const member = await gateway.cluster.control(id, action);
  gateway.log.info('worker controlled', { worker: member.heartbeat.worker, action });
  return Response.json(workerObject(member, gateway.clock.nowMs()));
}

function isAction(word: string | undefined): word is ControlAction {
  return controlActions.some((action) => action === word);
}

function workerObject({ heartbeat, sinceMs, heardMs }: Member, nowMs: number) {
  const { worker, role, state, host, pid, build, card, load, jobs, upMs } = heartbeat;
  const { counters } = load;
  return {
    id: worker,
    object: 'worker',
    role,
    model: card.model,
    state,
    safe_to_stop: isSafeToStop(heartbeat),
    host,
    pid,
    build,
    load: {
      jobs: jobs ?? null,
      running: load.running,
      waiting: load.waiting,
      paused: load.paused ?? 0,
      slots: load.slots,
    },
    kv: { free_tokens: load.freeTokens, blocks: counters?.kvBlocks ?? null },
    counters:
      counters === undefined
        ? null
        : { slot_moves: counters.moves, preemptions: counters.preemptions },
    up_ms: upMs === undefined ? null : Math.round(upMs + nowMs - heardMs),
    since_ms: Math.round(nowMs - sinceMs),
    last_heard_ms: Math.round(nowMs - heardMs),
  };
}
