// A chat request's JSON → what we were asked, as values; or a refusal that names the field. Nothing
// behind this line looks at the body again.

import * as v from 'valibot';
import { Fault } from '../std/fault.ts';
import type { Chance } from '../std/prng.ts';
import type { Log } from '../telemetry/log.ts';
import type { TemplateMessage } from '../text/template.ts';
import type { Ask } from './ask.ts';
import { type ChatFields, chatSchema } from './chat-schema.ts';
import { clip } from './fault.ts';
import { checkOtherFields } from './neutral-field.ts';
import { isGreedy, readSampling } from './sampling-fields.ts';

export type ChatRequest = Ask & {
  readonly messages: readonly TemplateMessage[];
  /** As the client wrote them, for the template; null where there are none to see. */
  readonly tools: readonly unknown[] | null;
};

export function readChatRequest(
  body: Readonly<Record<string, unknown>>,
  ports: { readonly chance: Chance; readonly log: Log },
): ChatRequest {
  const unknown = checkOtherFields(body, chatSchema.entries);
  const parsed = v.safeParse(chatSchema, body, { abortEarly: true });
  if (!parsed.success) throw issueFault(parsed.issues[0]);
  if (unknown.length > 0) {
    ports.log.debug('request fields ignored', { fields: clip(unknown.join(','), 200) });
  }
  const fields = parsed.output;
  checkTogether(fields);
  const stop = fields.stop ?? [];
  return {
    model: fields.model === '' ? null : (fields.model ?? null),
    messages: fields.messages,
    tools: Array.isArray(body['tools']) && fields.tool_choice !== 'none' ? body['tools'] : null,
    stream: fields.stream ?? false,
    includeUsage: fields.stream_options?.include_usage ?? false,
    continuousUsage: fields.stream_options?.continuous_usage_stats ?? false,
    choiceCount: fields.n ?? 1,
    drawCount: fields.n ?? 1,
    stops: typeof stop === 'string' ? [stop] : stop,
    includeStop: fields.include_stop_str_in_output ?? false,
    skipSpecial: fields.skip_special_tokens ?? true,
    maxTokens: maxTokensOf(fields),
    sampling: readSampling(fields, ports.chance),
    priority: fields.priority ?? 0,
  };
}

function checkTogether(fields: ChatFields): void {
  const refuse = (param: string, message: string): never => {
    throw new Fault('invalid_request', message, { param });
  };
  const options = fields.stream_options ?? null;
  if (options !== null && fields.stream !== true) {
    refuse('stream_options', 'stream_options is only allowed with "stream": true.');
  }
  if (options?.continuous_usage_stats === true && options.include_usage !== true) {
    refuse('stream_options', 'continuous_usage_stats needs "include_usage": true beside it.');
  }
  if (fields.tool_choice === 'auto' && (fields.tools ?? null) === null) {
    refuse('tool_choice', 'tool_choice "auto" needs tools to choose from.');
  }
  if ((fields.n ?? 1) > 1 && isGreedy(fields)) {
    refuse('n', `n is ${fields.n}; it must be 1 at temperature 0, where all choices are the same.`);
  }
  const maxTokens = maxTokensOf(fields);
  const minTokens = fields.min_tokens ?? 0;
  if (maxTokens !== null && minTokens > maxTokens) {
    refuse('min_tokens', `min_tokens is ${minTokens}, more than the ${maxTokens} of max_tokens.`);
  }
}

/** `max_completion_tokens` is the newer name and wins. */
function maxTokensOf(fields: ChatFields): number | null {
  return fields.max_completion_tokens ?? fields.max_tokens ?? null;
}

function issueFault(issue: v.BaseIssue<unknown>): Fault {
  const path = v.getDotPath(issue);
  const message = clip(issue.message, 300);
  return path === null
    ? new Fault('invalid_request', message)
    : new Fault('invalid_request', `${clip(path, 100)}: ${message}`, { param: clip(path, 100) });
}
