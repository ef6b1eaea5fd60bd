// From a read request to its first token: find the model, make the prompt's ids, ask the cluster.
// All of it happens as one of the queue's waiting ones, so one deadline covers the whole way and
// every failure on it is still a plain HTTP status.

import type { GenerateRequest, Route, Sampling, Timing, TokenDelta } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import { contextFault, type TextModel } from '../text/text-model.ts';
import { findModel, findText, unreadyReason } from './catalog.ts';
import type { Exchange } from './gate.ts';
import type { Gateway } from './gateway.ts';
import type { ChatRequest } from './intake.ts';
import { checkTokenIds } from './sampling-fields.ts';

/** A generation whose first tokens are here. */
export type Started = {
  readonly text: TextModel;
  readonly request: GenerateRequest;
  readonly first: TokenDelta;
  readonly rest: AsyncIterator<TokenDelta>;
  readonly timing: () => Timing;
  /** When the first tokens came, by the gateway's clock. */
  readonly firstMs: number;
  /** Fires when the work is given up; its reason is the Fault to report. */
  readonly signal: AbortSignal;
};

/** What the client's headers ask for. */
export type Wishes = {
  /** The only route it may take; null: the router decides. */
  readonly route: Route | null;
  /** How long the client waits for the first token, from now; null: it does not say. */
  readonly clientLimitMs: number | null;
};

export function startGeneration(
  gateway: Gateway,
  exchange: Exchange,
  chat: ChatRequest,
  wishes: Wishes,
): Promise<Started> {
  const missing = (): string | null => unreadyReason(gateway);
  const work = async (
    signal: AbortSignal,
    onPlaced: (isPlaced: boolean) => void,
  ): Promise<Started> => {
    const model = await findModel(gateway, chat.model, signal, wishes.route);
    checkTokenIds(chat.sampling, model.vocabSize);
    const text = await findText(gateway, model, signal);
    const promptIds = await text.promptIdsAside(
      { messages: chat.messages, tools: chat.tools, addGenerationPrompt: true },
      model.maxModelLen,
    );
    const request = {
      requestId: gateway.chance.id(),
      model: model.name,
      promptIds,
      sampling: samplingFor(chat, promptIds.length, model.maxModelLen),
      priority: chat.priority,
      ...(wishes.route === null ? {} : { route: wishes.route }),
    };
    const generation = await gateway.cluster.generate(request, { signal, onPlaced });
    const rest = generation.deltas[Symbol.asyncIterator]();
    const first = await rest.next();
    if (first.done === true) throw endlessFault();
    return {
      text,
      request,
      first: first.value,
      rest,
      timing: () => generation.timing(),
      firstMs: gateway.clock.nowMs(),
      signal,
    };
  };
  return gateway.queue.admit(exchange, missing, work, wishes.clientLimitMs);
}

/** A stream of tokens that ended without saying why: somebody broke the plane's promise. */
export function endlessFault(): Fault {
  return new Fault('plane', 'the token stream ended without a finish reason');
}

/** More tokens than the context has left cannot come: the limit is lowered, as vLLM does. */
function samplingFor(chat: ChatRequest, promptTokens: number, contextTokens: number): Sampling {
  const left = contextTokens - promptTokens;
  if (left < 1) throw contextFault(String(promptTokens), contextTokens);
  const maxTokens = Math.min(chat.maxTokens ?? left, left);
  const minTokens = Math.min(chat.sampling.minTokens, maxTokens);
  return { ...chat.sampling, maxTokens, minTokens };
}
