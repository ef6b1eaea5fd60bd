// POST /v1/completions: text that goes on from each of one or several prompts. With echo and logprobs
// the prompt's own tokens are judged too; such a request is never disaggregated, since what is
// computed on the way is wanted and not only the KV.

import type { TextModel } from '../text/text-model.ts';
import { answerOrder, type OrderReader } from './answer.ts';
import { type CompletionRequest, type Prompt, readCompletionRequest } from './completion-intake.ts';
import { completionShape } from './completion-shape.ts';
import { type Echo, echoStage } from './echo.ts';
import type { Gateway } from './gateway.ts';
import type { Call } from './route.ts';
import type { Started } from './start.ts';
import { promptTokens } from './token-trail.ts';

export function answerCompletion(gateway: Gateway, call: Call): Promise<Response> {
  return answerOrder(gateway, call, readOrder);
}

const readOrder: OrderReader = (body, ports) => {
  const request = readCompletionRequest(body, ports);
  const { prompts, addSpecialTokens, echoes, namesById, returnTokenIds } = request;
  return {
    ask: request,
    promptsOf: async (text, tokensMax) => {
      const texts = prompts.flatMap((prompt) => ('text' in prompt ? [prompt.text] : []));
      const made = (await text.textIdsAside(texts, tokensMax, { addSpecialTokens })).values();
      return prompts.map((prompt) => ('ids' in prompt ? prompt.ids : (made.next().value ?? [])));
    },
    shapeOf: (started) => {
      const promptIdsOf = (index: number): readonly number[] =>
        started.prompts[Math.floor(index / request.choiceCount)] ?? [];
      return completionShape({ namesById, promptIdsOf: returnTokenIds ? promptIdsOf : null });
    },
    stagesOf: (started, promptIndex) =>
      echoes ? [echoStage(() => echoOf(request, started, promptIndex))] : [],
  };
};

function echoOf(request: CompletionRequest, started: Started, promptIndex: number): Echo {
  const ids = started.prompts[promptIndex] ?? [];
  const text = textOf(request.prompts[promptIndex], ids, request, started.text);
  if (request.sampling.promptLogprobs === null) return { text, tokens: null };
  const lead = started.choices.find((choice) => choice.promptIndex === promptIndex);
  const { tokenizer } = started.text;
  const detokenizer = started.text.detokenizer(request);
  const tokens = promptTokens(ids, lead?.flow.scores() ?? [], { tokenizer, detokenizer });
  return { text, tokens };
}

/** As it was written, unless it was cut. */
function textOf(
  prompt: Prompt | undefined,
  ids: readonly number[],
  request: CompletionRequest,
  text: TextModel,
): string {
  const isWhole = request.keepTokens === null;
  if (isWhole && prompt !== undefined && 'text' in prompt) return prompt.text;
  return text.tokenizer.decode(ids, request);
}
