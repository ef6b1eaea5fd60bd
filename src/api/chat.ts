// POST /v1/chat/completions: the answer to a chat, by the model's own chat template.

import { answerOrder, type OrderReader } from './answer.ts';
import { chatShape } from './chunk.ts';
import { echoStage } from './echo.ts';
import type { Gateway } from './gateway.ts';
import { readChatRequest } from './intake.ts';
import { markersOf, readingStages } from './reading.ts';
import type { Call } from './route.ts';
import { demandedGrammar } from './tool-grammar.ts';

export function answerChat(gateway: Gateway, call: Call): Promise<Response> {
  return answerOrder(gateway, call, readOrder);
}

const readOrder: OrderReader = (body, ports) => {
  const chat = readChatRequest(body, ports);
  const { input, addSpecialTokens, echoed, namesById, returnTokenIds } = chat;
  return {
    ask: chat,
    promptsOf: async (text, tokensMax) => [
      await text.promptIdsAside(input, tokensMax, { addSpecialTokens }),
    ],
    shapeOf: (started) => {
      const promptIds = returnTokenIds ? (started.prompts[0] ?? []) : null;
      return chatShape({ namesById, promptIds });
    },
    grammarOf: (served) => demandedGrammar(chat.toolUse, served.toolParser),
    markersOf: ({ served }) => markersOf(chat, served),
    stagesOf: (started, promptIndex) => [
      ...readingStages(chat, started, promptIndex, ports.chance),
      ...(echoed === '' ? [] : [echoStage(() => ({ text: echoed, tokens: null }))]),
    ],
  };
};
