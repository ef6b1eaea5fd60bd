// GET /v1/responses/{id}/input_items: what a kept response was made of, a page at a time. The items of
// what it went on from are among them, its instructions and its answer are not.

import { digest } from '../std/hash.ts';
import { clip } from './fault.ts';
import type { Gateway } from './gateway.ts';
import { refuse } from './generation-fields.ts';
import { keptResponse } from './response.ts';
import type { ResponseItem } from './response-items.ts';
import type { Call } from './route.ts';

type InputItem = Readonly<Record<string, unknown>> & { readonly id: string };

/** As in OpenAI's API. */
const pageMax = 100;
const pageDefault = 20;

export function listInputItems(gateway: Gateway, call: Call): Response {
  const { items, inputCount } = keptResponse(gateway, call);
  const query = new URL(call.request.url).searchParams;
  const order = query.get('order') ?? 'desc';
  if (order !== 'asc' && order !== 'desc') {
    refuse('order', `order is '${clip(order, 50)}'; wanted asc or desc.`);
  }
  const count = countOf(query.get('limit'));
  const input = items.slice(0, inputCount).map((item, index) => shown(item, call.tail, index));
  const all = order === 'asc' ? input : input.toReversed();
  const after = query.get('after');
  const from = after === null ? 0 : all.findIndex(({ id }) => id === after) + 1;
  if (after !== null && from === 0) {
    refuse('after', `after is '${clip(after, 100)}', and none of the input items has this id.`);
  }
  const data = all.slice(from, from + count);
  return Response.json({
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: from + count < all.length,
  });
}

function countOf(text: string | null): number {
  if (text === null) return pageDefault;
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= pageMax) return count;
  return refuse(
    'limit',
    `limit is '${clip(text, 50)}'; wanted a whole number from 1 to ${pageMax}.`,
  );
}

/** Clients send most items without an id: each is made of the response's, the same at every look. */
function shown(item: ResponseItem, responseId: string, index: number): InputItem {
  const own = digest(responseId, '\0', String(index)).slice(0, 32);
  const status = 'completed';
  switch (item.type) {
    case 'function_call':
      return { id: `fc_${own}`, ...item, status };
    case 'function_call_output':
      return { id: `fco_${own}`, ...item, status };
    case 'reasoning':
      return { id: `rs_${own}`, ...item, summary: item.summary ?? [], status };
    default: {
      const { role, content } = item;
      return { id: `msg_${own}`, type: 'message', role, status, content: partsOf(role, content) };
    }
  }
}

type Message = Extract<ResponseItem, { readonly role: string }>;

/** A text alone is a list of one part. */
function partsOf(role: Message['role'], content: Message['content']): object[] {
  const type = role === 'assistant' ? 'output_text' : 'input_text';
  const parts = typeof content === 'string' ? [{ type, text: content } as const] : content;
  return parts.map((part) => {
    if (part.type === 'refusal') return part;
    return {
      type,
      text: part.text,
      ...(role === 'assistant' ? { annotations: [], logprobs: [] } : {}),
    };
  });
}
