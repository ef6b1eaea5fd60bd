// The events of a streamed chat answer, as the gateway sends them. Only what tools read is typed.

import type { Timing } from './ask.ts';

export type ChatEvent = {
  readonly choices?: readonly {
    readonly delta: { readonly content?: string };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly tdist?: Timing;
  } | null;
  readonly error?: { readonly message: string };
};

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
