// POST /v1/responses: the answer to a conversation of items; GET and DELETE of one that is kept. A chat
// in other words: read, prompted and generated as such.

import { Fault } from '../std/fault.ts';
import { answerOrder, type Order } from './answer.ts';
import type { JsonObject } from './body.ts';
import { clip } from './fault.ts';
import type { Gateway } from './gateway.ts';
import { markersOf, readingStages } from './reading.ts';
import { fittingIds } from './response-fit.ts';
import { readResponseRequest, renamingAside } from './response-intake.ts';
import { type ResponseBody, responseShape } from './response-shape.ts';
import { type KeptResponse, ownerOf } from './response-store.ts';
import type { Call } from './route.ts';
import { demandedGrammar } from './tool-grammar.ts';

export function answerResponse(gateway: Gateway, call: Call): Promise<Response> {
  const owner = ownerOf(call.request.headers);
  return answerOrder(gateway, call, (body) => readOrder(gateway, owner, body));
}

/** As it was answered. */
export function showResponse(gateway: Gateway, call: Call): Response {
  const query = new URL(call.request.url).searchParams;
  if (query.get('stream') === 'true') {
    const message = 'A kept response is not streamed; leave stream out.';
    throw new Fault('invalid_request', message, { param: 'stream' });
  }
  return Response.json(keptResponse(gateway, call).body);
}

/** The one whose id the path has. */
export function keptResponse(gateway: Gateway, call: Call): KeptResponse {
  return found(gateway, call.tail, ownerOf(call.request.headers), 'response_id');
}

export function deleteResponse(gateway: Gateway, call: Call): Response {
  const id = call.tail;
  const isGone = gateway.responses.delete(id, ownerOf(call.request.headers));
  if (!isGone) throw unknownFault(id, 'response_id');
  return Response.json({ id, object: 'response', deleted: true });
}

function readOrder(gateway: Gateway, owner: string, body: JsonObject): Order {
  const historyOf = (id: string) => found(gateway, id, owner, 'previous_response_id').items;
  const { chat, fields, items } = readResponseRequest(body, gateway, historyOf);
  const { chance, clock, responses } = gateway;
  const { input, addSpecialTokens, maxTokens } = chat;
  const onDone = (answer: ResponseBody): void => {
    if (fields.store === false) return;
    // As a client would send them.
    const said = answer.output.filter(
      (item) => item.status === 'completed' || item.type !== 'function_call',
    );
    const kept = { body: answer, items: [...items, ...said], inputCount: items.length };
    responses.put(answer.id, owner, kept);
  };
  return {
    ask: chat,
    promptsOf: (text, tokensMax) =>
      renamingAside(async () => {
        const options = { addSpecialTokens };
        if (fields.truncation !== 'auto') {
          return [await text.promptIdsAside(input, tokensMax, options)];
        }
        const idsOf = (shown: typeof input) => text.promptIds(shown, tokensMax, options);
        // Room for the answer asked for, but a large limit does not drive the conversation out.
        const room = tokensMax - Math.max(1, Math.min(maxTokens ?? 1, tokensMax >> 1));
        return [fittingIds(input, room, idsOf)];
      }),
    shapeOf: () => responseShape({ fields, clock, newId: () => chance.id(), onDone }),
    grammarOf: (served) => demandedGrammar(chat.toolUse, served.toolParser),
    markersOf: ({ served }) => markersOf(chat, served),
    stagesOf: (started, promptIndex) => readingStages(chat, started, promptIndex, chance),
  };
}

function found(gateway: Gateway, id: string, owner: string, param: string): KeptResponse {
  const kept = gateway.responses.get(id, owner);
  if (kept === null) throw unknownFault(id, param);
  return kept;
}

function unknownFault(id: string, param: string): Fault {
  return new Fault(
    'not_found',
    `There is no response '${clip(id, 100)}', or no longer: this gateway keeps those that it answered ` +
      'without "store": false for a while. Send the whole conversation as input.',
    { param },
  );
}
