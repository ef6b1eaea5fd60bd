// A request on its way to workers, from its arrival until its answer has ended: what whoever places it,
// for the first time or again behind the tokens that are out, must know of it.

import type { GenerateRequest } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import type { Caller } from './doors.ts';
import type { Inbox } from './inbox.ts';
import { PromptKeys } from './prompt-keys.ts';

export type Call = Caller & {
  readonly request: GenerateRequest;
  /** Ends it at any time, its reason is a Fault. */
  readonly scope: AbortController;
  readonly onPlaced: (isPlaced: boolean) => void;
  /** Of the answer, from its first token on. */
  inbox: Inbox | null;
  /** Tokens of the answer that are out: whoever takes it goes on behind them. */
  emittedIds: readonly number[];
  /** Of the prompt and of what is out. */
  keys: PromptKeys;
  /** Workers of what group began it (plane/group.ts): others may have another model. */
  groupKey: string | null;
  /** Tries so far, each with a plane id of its own. */
  tryCount: number;
  /** Workers that have taken it on since its first token, or that had sent it, and were lost. */
  lossCount: number;
};

export function callOf(
  request: GenerateRequest,
  options: { readonly scope: AbortController; readonly onPlaced: (isPlaced: boolean) => void },
): Call {
  return {
    ...options,
    request,
    tried: new Map(),
    wake: null,
    inbox: null,
    emittedIds: [],
    keys: new PromptKeys(request.promptIds, request.cacheSalt),
    groupKey: null,
    tryCount: 0,
    lossCount: 0,
  };
}

/** From now on it is about what comes after these tokens. */
export function goOnBehind(
  call: Call,
  { ids: emittedIds, inbox }: { readonly ids: readonly number[]; readonly inbox: Inbox },
): void {
  const { promptIds, cacheSalt } = call.request;
  call.inbox = inbox;
  call.emittedIds = [...emittedIds];
  call.keys = new PromptKeys([...promptIds, ...emittedIds], cacheSalt);
}

/** It has begun: its first token has been seen. */
export function isBegun(call: Call): boolean {
  return call.emittedIds.length > 0;
}

export function cancelFault(signal: AbortSignal): Fault {
  if (signal.reason instanceof Fault) return signal.reason;
  return new Fault('cancelled', 'the request was cancelled');
}
