// From a read request to its first token: find the model, make the prompts' ids, ask the cluster.
// All of it happens as one of the queue's waiting ones, so one deadline covers the whole way and
// every failure on it is still a plain HTTP status.
//
//   prompt 0   choice 0 ──prefill──▶ token 0 ──────────────▶ …
//              choice 1              └ its KV is cached now ▶ token 0 ▶ …
//
// Choices of one prompt share its prefill: the first one goes ahead, the others follow when its first
// token is here, to where the prompt's full blocks are known. Choice k draws with seed + k, so each is
// what a request of its own with that seed would have got.

import { limit } from '../protocol/limit.ts';
import type { GenerateRequest, Route, ServedModel, Timing } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import type { TextModel } from '../text/text-model.ts';
import type { Order } from './answer.ts';
import type { Ask } from './ask.ts';
import { findModel, findText, unreadyReason } from './catalog.ts';
import { checkForm } from './form.ts';
import type { Exchange } from './gate.ts';
import type { Gateway } from './gateway.ts';
import { badWordIds, promptIdsOf, samplingFor } from './prompt.ts';
import type { ClientLimit } from './queue.ts';
import { type Flow, flowOf, type Running, run } from './running.ts';
import { checkTokenIds } from './sampling-fields.ts';

/** One answer in the making. */
export type Choice = {
  readonly promptIndex: number;
  readonly request: GenerateRequest;
  readonly flow: Flow;
};

/** A request whose first tokens are here. */
export type Started = {
  readonly text: TextModel;
  readonly model: string;
  readonly served: ServedModel;
  readonly prompts: readonly (readonly number[])[];
  /** Those of the first prompt first; as many for each as are to be drawn. */
  readonly choices: readonly Choice[];
  /** Of the choice that began first. */
  readonly timing: () => Timing;
  /** Prompt tokens that did not have to be computed, each prompt counted once. */
  readonly cachedTokens: () => number;
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
  readonly clientLimit: ClientLimit | null;
};

export function startGeneration(
  gateway: Gateway,
  exchange: Exchange,
  order: Pick<Order, 'ask' | 'promptsOf' | 'grammarOf'>,
  wishes: Wishes,
): Promise<Started> {
  const { ask, grammarOf } = order;
  const missing = (): string | null => unreadyReason(gateway);
  const { signal } = exchange;
  /** The request has been let in: what belongs to it is not turned away, but waits no longer either. */
  const follow = (request: GenerateRequest): Promise<Running> =>
    gateway.queue.follow(exchange, missing, (_, onPlaced) =>
      run(gateway, request, { signal, onPlaced }),
    );
  const lead = async (onPlaced: (isPlaced: boolean) => void): Promise<Started> => {
    const model = await findModel(gateway, ask.model, signal, wishes.route);
    checkTokenIds(ask.sampling, model.vocabSize);
    const text = await findText(gateway, model, signal);
    const { maxModelLen: contextTokens, vocabSize } = model;
    const prompts = await promptIdsOf(order, text, contextTokens);
    checkPrompts(ask, prompts, vocabSize);
    const grammar = grammarOf?.(model) ?? ask.sampling.grammar;
    const asked = { ...ask, sampling: { ...ask.sampling, grammar } };
    // Its form may depend on the model: of these grammars most are known by now.
    if (grammarOf !== undefined) await checkForm(gateway.grammars, asked);
    const badWords = badWordIds(ask.badWords, text);
    const requests = prompts.map((promptIds): GenerateRequest[] =>
      Array.from({ length: ask.drawCount }, (_, k) => ({
        requestId: gateway.chance.id(),
        model: model.name,
        promptIds,
        sampling: samplingFor(asked, {
          choice: k,
          promptTokens: promptIds.length,
          contextTokens,
          badWords,
        }),
        priority: ask.priority,
        ...(wishes.route === null ? {} : { route: wishes.route }),
        ...(ask.drawCount === 1 ? {} : { shared: true }),
        ...(ask.cacheSalt === null ? {} : { cacheSalt: ask.cacheSalt }),
      })),
    );
    const leads = requests.map(([first], promptIndex): Promise<Running> => {
      if (first === undefined) throw new Fault('internal', 'a prompt without a choice');
      return promptIndex === 0 ? run(gateway, first, { signal, onPlaced }) : follow(first);
    });
    const choices = requests.flatMap((ofPrompt, promptIndex) =>
      ofPrompt.map((request, k): Choice => {
        const leader = leads[promptIndex];
        if (leader === undefined) throw new Fault('internal', 'a prompt without a lead');
        const running =
          k === 0 ? leader : leader.then(({ timing }) => follow(following(request, timing())));
        return { promptIndex, request, flow: flowOf(running) };
      }),
    );
    const running = await leads[0];
    if (running === undefined) throw new Fault('internal', 'a request without prompts');
    const firstMs = gateway.clock.nowMs();
    const { timing } = running;
    const cachedTokens = cachedCounter(choices);
    return {
      text,
      model: model.name,
      served: model,
      prompts,
      choices,
      timing,
      cachedTokens,
      firstMs,
      signal,
    };
  };
  return gateway.queue.admit(
    exchange,
    missing,
    (_, onPlaced) => lead(onPlaced),
    wishes.clientLimit,
  );
}

function checkPrompts(ask: Ask, prompts: readonly (readonly number[])[], vocabSize: number): void {
  const refuse = (message: string): never => {
    throw new Fault('invalid_request', message, { param: ask.promptField });
  };
  for (const ids of prompts) {
    if (ids.length === 0) refuse('A prompt has no tokens; it must have at least one.');
    const wrong = ids.find((id) => id >= vocabSize);
    if (wrong === undefined) continue;
    refuse(`prompt: ${wrong} is no token id of this model; they are 0 to ${vocabSize - 1}.`);
  }
  if (ask.sampling.promptLogprobs === null) return;
  const scored = prompts.reduce((sum, { length }) => sum + length, 0);
  if (scored <= limit.scoredTokensMax) return;
  refuse(
    `The prompts have ${scored} tokens; logprobs are given for at most ${limit.scoredTokensMax} of one request. Send fewer prompts at a time.`,
  );
}

/** It begins where the prompt's KV is. */
function following(request: GenerateRequest, timing: Timing): GenerateRequest {
  const warm = [timing.contextWorker, timing.generateWorker].filter((worker) => worker !== null);
  return { ...request, warm };
}

function cachedCounter(choices: readonly Choice[]): () => number {
  const leads = choices.filter(
    ({ promptIndex }, index) => choices[index - 1]?.promptIndex !== promptIndex,
  );
  return () => leads.reduce((sum, { flow }) => sum + (flow.timing()?.cachedTokens ?? 0), 0);
}
