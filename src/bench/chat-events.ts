// The events of a streamed chat answer, as the gateway sends them. Only what tools read is typed.

import type { Timing } from './ask.ts';

export type ChatDelta = {
  readonly content?: string | null;
  readonly reasoning?: string;
  readonly tool_calls?: readonly {
    readonly function: { readonly name?: string; readonly arguments: string };
  }[];
};

export type ChatEvent = {
  readonly choices?: readonly {
    readonly delta: ChatDelta;
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly tdist?: Timing;
  } | null;
  readonly error?: { readonly message: string };
};

/** All that a chunk says: thoughts, text, and calls as name and arguments. */
export function saidIn(delta: ChatDelta | undefined): string {
  const calls = (delta?.tool_calls ?? []).map(
    (call) => (call.function.name ?? '') + call.function.arguments,
  );
  return [delta?.reasoning ?? '', delta?.content ?? '', ...calls].join('');
}

export async function* chatEvents(body: ReadableStream<Uint8Array>): AsyncIterable<ChatEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const data = line.replace(/^data: /, '');
      // The gateway's own output, under test elsewhere for its shape.
      if (data !== '[DONE]') yield JSON.parse(data) as ChatEvent;
    }
  }
}
