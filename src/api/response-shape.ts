// The shapes of /v1/responses: one `response`, or numbered events of which the first and the last carry
// it. Made anew for each answer: it counts its events, and remembers what it has said.

import type { Clock } from '../std/clock.ts';
import { errorEnvelope } from './fault.ts';
import type { Piece } from './reply.ts';
import { type OutputItem, type ResponseEvent, ResponseOutput } from './response-output.ts';
import type { ResponseFields } from './response-schema.ts';
import type { AnswerHead, Shape } from './shape.ts';
import { dataText } from './sse.ts';
import type { Usage } from './usage.ts';

export type ResponseBody = Readonly<Record<string, unknown>> & {
  readonly id: string;
  readonly output: readonly OutputItem[];
};

type Status = 'in_progress' | 'completed' | 'incomplete' | 'failed';

export type ResponseOptions = {
  readonly fields: ResponseFields;
  readonly clock: Clock;
  readonly newId: () => string;
  /** Called with each complete answer before it leaves. */
  readonly onDone: (body: ResponseBody) => void;
};

export function responseShape({ fields, clock, newId, onDone }: ResponseOptions): Shape {
  const output = new ResponseOutput(newId);
  const repeated = repeatedFields(fields);
  let count = 0;
  let status: Status = 'in_progress';
  /** Once something of it has left: what fails then fails as a response. */
  let begunHead: AnswerHead | null = null;
  /** Of one that has failed. */
  let error: { readonly code: string; readonly message: string } | null = null;
  const numbered = ({ type, ...rest }: ResponseEvent): ResponseEvent => {
    return { type, sequence_number: count++, ...rest };
  };
  const take = (piece: Piece): ResponseEvent[] => {
    if (piece.finish !== null) status = piece.finish === 'length' ? 'incomplete' : 'completed';
    return output.push(piece);
  };
  const body = (head: AnswerHead, usage: Usage | null): ResponseBody => ({
    id: head.id,
    object: 'response',
    created_at: head.created,
    status,
    background: false,
    completed_at: status === 'completed' ? clock.epochS() : null,
    error,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    model: head.model,
    output: output.items(),
    ...repeated,
    usage: usage === null ? null : usageOf(usage),
  });
  const done = (head: AnswerHead, usage: Usage): ResponseBody => {
    const answer = body(head, usage);
    onDone(answer);
    return answer;
  };
  return {
    name: 'response',
    idPrefix: 'resp_',
    opening: () => null,
    chunk: (head, piece, { first }) => {
      begunHead = head;
      const types = first ? ['response.created', 'response.in_progress'] : [];
      const begun = types.map((type) => ({ type, response: body(head, null) }));
      return [...begun, ...take(piece)].map(numbered);
    },
    usageChunk: (head, usage) => {
      return numbered({ type: `response.${status}`, response: done(head, usage) });
    },
    whole: (head, [pieces = []], usage) => {
      for (const piece of pieces) take(piece);
      return done(head, usage);
    },
    framing: {
      text: (event) => `event: ${'type' in event ? event.type : 'message'}\n${dataText(event)}`,
      failure: (fault, requestId) => {
        const { code, message, param } = errorEnvelope(fault, requestId).error;
        if (begunHead === null) return numbered({ type: 'error', code, message, param });
        // Their list of codes has two for what is nobody's prompt's fault.
        error = { code: code === 'rate_limit_exceeded' ? code : 'server_error', message };
        status = 'failed';
        output.breakOff();
        return numbered({ type: 'response.failed', response: body(begunHead, null) });
      },
      done: '',
    },
  };
}

/** What an answer says of its request. */
function repeatedFields(fields: ResponseFields): Readonly<Record<string, unknown>> {
  const { reasoning, text } = fields;
  return {
    instructions: fields.instructions ?? null,
    max_output_tokens: fields.max_output_tokens ?? null,
    max_tool_calls: null,
    metadata: fields.metadata ?? {},
    parallel_tool_calls: fields.parallel_tool_calls ?? true,
    previous_response_id: fields.previous_response_id ?? null,
    reasoning: { effort: reasoning?.effort ?? null, summary: reasoning?.summary ?? null },
    store: fields.store ?? true,
    temperature: fields.temperature ?? 1,
    text: { format: formatOf(text?.format ?? { type: 'text' }) },
    tool_choice: fields.tool_choice ?? 'auto',
    tools: (fields.tools ?? []).map(({ type, name, description, parameters, strict }) => ({
      type,
      name,
      description: description ?? null,
      parameters: parameters ?? null,
      strict: strict ?? null,
    })),
    top_logprobs: fields.top_logprobs ?? 0,
    top_p: fields.top_p ?? 1,
    truncation: fields.truncation ?? 'disabled',
    ...(fields.user == null ? {} : { user: fields.user }),
  };
}

type Format = NonNullable<NonNullable<ResponseFields['text']>['format']>;

function formatOf(format: Format): object {
  if (format.type !== 'json_schema') return format;
  const { type, name, description, schema, strict } = format;
  return { type, name, description: description ?? null, schema, strict: strict ?? null };
}

function usageOf(usage: Usage): object {
  const { tdist } = usage;
  return {
    input_tokens: usage.prompt_tokens,
    input_tokens_details: usage.prompt_tokens_details,
    output_tokens: usage.completion_tokens,
    output_tokens_details: usage.completion_tokens_details,
    total_tokens: usage.total_tokens,
    ...(tdist === undefined ? {} : { tdist }),
  };
}
