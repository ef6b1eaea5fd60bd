// A chat request's JSON → what we were asked, as values; or a refusal that names the field. Nothing
// behind this line looks at the body again.

import * as v from 'valibot';
import type { Chance } from '../std/prng.ts';
import type { Log } from '../telemetry/log.ts';
import type { TemplateInput } from '../text/template.ts';
import type { Ask } from './ask.ts';
import { type ChatFields, chatSchema } from './chat-schema.ts';
import { clip } from './fault.ts';
import { issueFault, readAsk, refuse } from './generation-fields.ts';
import { checkOtherFields } from './neutral-field.ts';
import type { ReadingWish } from './reading.ts';
import { readTemplateInput } from './template-fields.ts';
import { readToolUse } from './tool-fields.ts';
import { demandedGrammar } from './tool-grammar.ts';

export type ChatRequest = Ask &
  ReadingWish & {
    readonly input: TemplateInput;
    readonly addSpecialTokens: boolean;
    /** Stands before each answer: the last message that it goes on from; '' where nothing does. */
    readonly echoed: string;
  };

export type IntakePorts = { readonly chance: Chance; readonly log: Log };

export function readChatRequest(
  body: Readonly<Record<string, unknown>>,
  ports: IntakePorts,
): ChatRequest {
  const fields = readFields(chatSchema, body, ports.log);
  if ((fields.top_logprobs ?? 0) > 0 && fields.logprobs !== true) {
    refuse('top_logprobs', 'top_logprobs needs "logprobs": true beside it.');
  }
  const lengths = {
    promptField: 'messages',
    maxTokens: maxTokensOf(fields),
    drawCount: fields.n ?? 1,
    logprobs: fields.logprobs === true ? (fields.top_logprobs ?? 0) : null,
    promptLogprobs: null,
  } as const;
  const input = readTemplateInput(fields, body);
  const toolUse = readToolUse(fields);
  const demanded = demandedGrammar(toolUse);
  const ask = readAsk(fields, lengths, ports.chance);
  if (demanded !== null && ask.sampling.grammar !== null) {
    const why = 'both say what the answer must be';
    refuse('tool_choice', `tool_choice demands a call, the request a form: ${why}. Send one.`);
  }
  const last = input.messages.at(-1);
  return {
    ...ask,
    sampling: { ...ask.sampling, grammar: demanded ?? ask.sampling.grammar },
    formField: demanded === null ? ask.formField : 'tools',
    input,
    addSpecialTokens: fields.add_special_tokens ?? false,
    echoed: fields.echo === true && last?.role === 'assistant' ? (last.content ?? '') : '',
    toolUse,
    showsReasoning: fields.include_reasoning ?? true,
  };
}

/** The body by its schema; fields that nobody knows are named in the debug log and otherwise ignored. */
export function readFields<Schema extends v.ObjectSchema<v.ObjectEntries, undefined>>(
  schema: Schema,
  body: Readonly<Record<string, unknown>>,
  log: Log,
  check: typeof checkOtherFields = checkOtherFields,
): v.InferOutput<Schema> {
  const unknown = check(body, schema.entries);
  const parsed = v.safeParse(schema, body, { abortEarly: true });
  if (!parsed.success) throw issueFault(parsed.issues[0]);
  if (unknown.length > 0) {
    log.debug('request fields ignored', { fields: clip(unknown.join(','), 200) });
  }
  return parsed.output;
}

/** `max_completion_tokens` is the newer name and wins. */
function maxTokensOf(fields: ChatFields): number | null {
  return fields.max_completion_tokens ?? fields.max_tokens ?? null;
}
