// POST /v1/chat/completions.

import { answerOrder, type OrderReader } from './answer.ts';
import { chatShape } from './chunk.ts';
import type { Gateway } from './gateway.ts';
import { readChatRequest } from './intake.ts';
import type { Call } from './route.ts';

export function answerChat(gateway: Gateway, call: Call): Promise<Response> {
  return answerOrder(gateway, call, readOrder);
}

const readOrder: OrderReader = (body, ports) => {
  const chat = readChatRequest(body, ports);
  const input = { messages: chat.messages, tools: chat.tools, addGenerationPrompt: true };
  return {
    ask: chat,
    promptsOf: (text, contextTokens) => [text.promptIds(input, contextTokens)],
    shapeOf: () => chatShape,
    stagesOf: () => [],
  };
};
