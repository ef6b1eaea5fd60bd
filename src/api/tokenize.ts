// POST /tokenize and /detokenize: a model's own text ⇄ token ids. A chat is tokenised as its request
// would be, template and all.

import * as v from 'valibot';
import type { ServedModel } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import type { TextModel } from '../text/text-model.ts';
import { type JsonObject, readJsonObject } from './body.ts';
import { modelFault, servedModel, servedModels, unreadyReason } from './catalog.ts';
import type { Gateway } from './gateway.ts';
import { flag, integer, refuse } from './generation-fields.ts';
import { readFields } from './intake.ts';
import type { Call } from './route.ts';
import { readTemplateInput, templateEntries } from './template-fields.ts';

const common = { model: v.nullish(v.string()) };
const options = { ...common, add_special_tokens: flag, return_token_strs: flag };
const textSchema = v.object({
  ...options,
  prompt: v.pipe(
    v.string(),
    v.check((text) => text.isWellFormed(), 'Invalid Unicode: half of a surrogate pair'),
  ),
});
const chatSchema = v.object({ ...options, ...templateEntries });
/** Which of the two, `messages` tells. */
export const tokenizeSchema = v.union([textSchema, chatSchema]);
export const detokenizeSchema = v.object({
  ...common,
  tokens: v.pipe(v.array(v.pipe(integer, v.minValue(0))), v.maxLength(1_000_000)),
});

export async function tokenize(gateway: Gateway, call: Call): Promise<Response> {
  const body = await readJsonObject(call.request, gateway);
  const wish = readWish(body, gateway.log);
  const { model, text } = await textOf(gateway, wish.model);
  const tokens = await wish.idsOf(text);
  const strings = wish.wantsStrings ? { token_strs: tokens.map((id) => stringOf(text, id)) } : {};
  return Response.json({
    count: tokens.length,
    max_model_len: model.maxModelLen,
    tokens,
    ...strings,
  });
}

export async function detokenize(gateway: Gateway, call: Call): Promise<Response> {
  const body = await readJsonObject(call.request, gateway);
  const fields = readFields(detokenizeSchema, body, gateway.log);
  const { model, text } = await textOf(gateway, fields.model);
  const wrong = fields.tokens.find((id) => id >= model.vocabSize);
  if (wrong !== undefined) {
    throw new Fault(
      'invalid_request',
      `tokens: ${wrong} is no token id of this model; they are 0 to ${model.vocabSize - 1}.`,
      { param: 'tokens' },
    );
  }
  return Response.json({ prompt: text.tokenizer.decode(fields.tokens, { skipSpecial: false }) });
}

type Wish = {
  readonly model: string | null | undefined;
  readonly wantsStrings: boolean;
  readonly idsOf: (text: TextModel) => Promise<readonly number[]>;
};

function readWish(body: JsonObject, log: Log): Wish {
  if (body['messages'] === undefined || body['messages'] === null) {
    if (!Object.hasOwn(body, 'prompt')) refuse('prompt', 'prompt or messages is required.');
    const fields = readFields(textSchema, body, log);
    const addSpecialTokens = fields.add_special_tokens ?? true;
    return {
      model: fields.model,
      wantsStrings: fields.return_token_strs ?? false,
      idsOf: async (text) => {
        const prompts = [fields.prompt];
        const ids = await text.textIdsAside(prompts, Number.POSITIVE_INFINITY, {
          addSpecialTokens,
        });
        return ids.flat();
      },
    };
  }
  const fields = readFields(chatSchema, body, log);
  const input = readTemplateInput(fields, body);
  const addSpecialTokens = fields.add_special_tokens ?? false;
  return {
    model: fields.model,
    wantsStrings: fields.return_token_strs ?? false,
    idsOf: (text) => text.promptIdsAside(input, Number.POSITIVE_INFINITY, { addSpecialTokens }),
  };
}

/** Nobody waits here for a model that may come: a probe asks again. */
async function textOf(
  gateway: Gateway,
  name: string | null | undefined,
): Promise<{ readonly model: ServedModel; readonly text: TextModel }> {
  const wanted = name === undefined || name === '' ? null : name;
  const model = servedModel(gateway, wanted);
  if (model !== undefined) return { model, text: await gateway.texts.get(model) };
  const reason = unreadyReason(gateway);
  if (reason !== null) throw new Fault('no_worker', reason);
  throw modelFault(wanted ?? '', servedModels(gateway));
}

function stringOf(text: TextModel, id: number): string {
  return text.tokenizer.describe(id).text;
}
