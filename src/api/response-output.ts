// An answer's pieces as the items of a response, and the events that tell of them as they grow: thoughts,
// text and calls are an item each, in the order in which the model writes them.

import { type Logprobs, logprobsOf } from './chunk.ts';
import type { Piece } from './reply.ts';

type Logprob = Logprobs['content'][number];
type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

/** Its number in the stream is added when it is sent. */
export type ResponseEvent = { readonly type: string } & Readonly<Record<string, unknown>>;

type ReasoningPart = { readonly type: 'reasoning_text'; readonly text: string };
type TextPart = {
  readonly type: 'output_text';
  readonly text: string;
  readonly annotations: readonly never[];
  readonly logprobs: readonly Logprob[];
};

export type OutputItem = { readonly id: string; readonly status: ItemStatus } & (
  | {
      readonly type: 'reasoning';
      readonly summary: readonly never[];
      readonly content: readonly ReasoningPart[];
    }
  | {
      readonly type: 'message';
      readonly role: 'assistant';
      readonly content: readonly TextPart[];
    }
  | {
      readonly type: 'function_call';
      readonly call_id: string;
      readonly name: string;
      readonly arguments: string;
    }
);

type Draft = {
  readonly id: string;
  /** Null: thoughts or text. */
  readonly call: { readonly id: string; readonly name: string } | null;
  readonly type: OutputItem['type'];
  text: string;
  readonly logprobs: Logprob[];
  status: ItemStatus;
};

const idPrefixes = { reasoning: 'rs', message: 'msg', function_call: 'fc' } as const;

export class ResponseOutput {
  readonly #newId: () => string;
  readonly #drafts: Draft[] = [];
  #open: Draft | null = null;

  constructor(newId: () => string) {
    this.#newId = newId;
  }

  items(): OutputItem[] {
    return this.#drafts.map(itemOf);
  }

  push(piece: Piece): ResponseEvent[] {
    const events: ResponseEvent[] = [];
    const { reasoning = '', text, call, finish } = piece;
    if (reasoning !== '') events.push(...this.#say('reasoning', reasoning, []));
    if (text !== '') {
      events.push(...this.#say('message', text, logprobsIn(piece)));
    }
    if (call !== undefined && call.begin !== null) {
      events.push(...this.#begin('function_call', call.begin));
    }
    if (call !== undefined && call.arguments !== '') {
      events.push(...this.#say('function_call', call.arguments, []));
    }
    if (finish === null) return events;
    // An answer without a word still is an answer.
    if (this.#drafts.length === 0) events.push(...this.#begin('message'));
    return [...events, ...this.#end(finish === 'length' ? 'incomplete' : 'completed')];
  }

  /** Nothing more comes: what is open stays as it is. */
  breakOff(): void {
    if (this.#open !== null) this.#open.status = 'incomplete';
    this.#open = null;
  }

  #say(type: Draft['type'], delta: string, logprobs: readonly Logprob[]): ResponseEvent[] {
    const begun = this.#open?.type === type ? [] : this.#begin(type);
    const draft = this.#open;
    if (draft === null) return begun;
    draft.text += delta;
    draft.logprobs.push(...logprobs);
    const more = type === 'message' ? { delta, logprobs } : { delta };
    return [...begun, { type: `${eventNames[type]}.delta`, ...this.#place(draft), ...more }];
  }

  #begin(type: Draft['type'], call: Draft['call'] = null): ResponseEvent[] {
    const ended = this.#end('completed');
    const id = `${idPrefixes[type]}_${this.#newId()}`;
    const draft: Draft = { id, type, call, text: '', logprobs: [], status: 'in_progress' };
    this.#drafts.push(draft);
    this.#open = draft;
    // The part is told of by itself: the item is still without.
    const item = { ...itemOf(draft), ...(type === 'function_call' ? {} : { content: [] }) };
    const output_index = this.#drafts.length - 1;
    const added = { type: 'response.output_item.added', output_index, item };
    return [...ended, added, ...this.#part(draft, 'added')];
  }

  #end(status: ItemStatus): ResponseEvent[] {
    const draft = this.#open;
    if (draft === null) return [];
    this.#open = null;
    draft.status = status;
    const { type, text, logprobs } = draft;
    const whole =
      type === 'function_call'
        ? { name: draft.call?.name, arguments: text }
        : { text, ...(type === 'message' ? { logprobs } : {}) };
    const output_index = this.#drafts.length - 1;
    return [
      { type: `${eventNames[type]}.done`, ...this.#place(draft), ...whole },
      ...this.#part(draft, 'done'),
      { type: 'response.output_item.done', output_index, item: itemOf(draft) },
    ];
  }

  #part(draft: Draft, what: 'added' | 'done'): ResponseEvent[] {
    const part = draft.type === 'function_call' ? null : partOf(draft);
    if (part === null) return [];
    return [{ type: `response.content_part.${what}`, ...this.#place(draft), part }];
  }

  #place({ id, type }: Draft): object {
    const place = { item_id: id, output_index: this.#drafts.length - 1 };
    return type === 'function_call' ? place : { ...place, content_index: 0 };
  }
}

/** Special tokens have no bytes, which here are an empty list. */
function logprobsIn({ tokens }: Piece): Logprob[] {
  if (tokens === null) return [];
  return logprobsOf(tokens, false).content.map(({ top_logprobs: top, ...token }) => ({
    ...withBytes(token),
    top_logprobs: top.map(withBytes),
  }));
}

function withBytes<T extends Pick<Logprob, 'bytes'>>(token: T): T & { bytes: readonly number[] } {
  return { ...token, bytes: token.bytes ?? [] };
}

const eventNames = {
  reasoning: 'response.reasoning_text',
  message: 'response.output_text',
  function_call: 'response.function_call_arguments',
} as const;

function partOf({ type, text, logprobs }: Draft): ReasoningPart | TextPart {
  return type === 'reasoning'
    ? { type: 'reasoning_text', text }
    : { type: 'output_text', text, annotations: [], logprobs: [...logprobs] };
}

function itemOf(draft: Draft): OutputItem {
  const { id, type, call, text, logprobs, status } = draft;
  switch (type) {
    case 'reasoning':
      return { id, type, summary: [], content: [{ type: 'reasoning_text', text }], status };
    case 'message': {
      const part = { type: 'output_text', text, annotations: [], logprobs: [...logprobs] } as const;
      return { id, type, status, role: 'assistant', content: [part] };
    }
    case 'function_call': {
      const { id: call_id = '', name = '' } = call ?? {};
      return { id, type, status, call_id, name, arguments: text };
    }
  }
}
