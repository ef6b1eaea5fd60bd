// A load on a running deployment, seen by its clients: some streams that decode all the time, and long
// prompts that arrive on the clock, whether those before them are answered or not.

import { chatEvents, saidIn } from '../chat-events.ts';
import { keyHeaders } from '../key-headers.ts';
import { fillerText } from '../verify/filler.ts';

export type LoadOptions = {
  readonly streams: number;
  readonly durationMs: number;
  /** A long prompt arrives so often. */
  readonly everyMs: number;
  /** Characters of a long prompt; its first word on differs from every other's. */
  readonly promptChars: number;
  /** Tokens that a stream generates before it begins anew. */
  readonly streamTokens: number;
};

export type LoadFigures = {
  /** Between two tokens of a decoding stream. */
  readonly gapsMs: readonly number[];
  /** Of the long prompts whose first token came within the time. */
  readonly ttftsMs: readonly number[];
  readonly arrived: number;
  /** Tokens that the streams and the long prompts' answers brought, a second. */
  readonly tokensPerS: number;
};

const answerTokens = 8;

/** @param salt makes the long prompts of each call different from all others'. */
export async function runLoad(
  url: string,
  options: LoadOptions,
  salt: number,
): Promise<LoadFigures> {
  const { streams, durationMs, everyMs, promptChars, streamTokens } = options;
  const end = AbortSignal.timeout(durationMs);
  const gapsMs: number[] = [];
  const ttftsMs: number[] = [];
  let tokens = 0;
  let arrived = 0;

  const decode = async (stream: number): Promise<void> => {
    for (let turn = 0; !end.aborted; turn++) {
      let lastMs: number | null = null;
      await tokensOf(url, `Tell me story ${stream} ${turn}.`, streamTokens, end, () => {
        const nowMs = performance.now();
        if (lastMs !== null) gapsMs.push(nowMs - lastMs);
        lastMs = nowMs;
        tokens++;
      });
    }
  };
  const prompt = async (index: number): Promise<void> => {
    const beganMs = performance.now();
    let first = true;
    const text = `${salt + index} ${fillerText(promptChars, salt + index)}`;
    await tokensOf(url, text, answerTokens, end, () => {
      if (first) ttftsMs.push(performance.now() - beganMs);
      first = false;
      tokens++;
    });
  };
  const arrive = async (): Promise<void> => {
    const running: Promise<void>[] = [];
    const beganMs = performance.now();
    while (!end.aborted) {
      running.push(prompt(arrived++));
      await sleep(beganMs + arrived * everyMs - performance.now(), end);
    }
    await Promise.all(running);
  };
  await Promise.all([...Array.from({ length: streams }, (_, i) => decode(i)), arrive()]);
  return { gapsMs, ttftsMs, arrived, tokensPerS: (tokens * 1000) / durationMs };
}

/** Streams `count` tokens, every one of them with text; ends early, and in silence, by the signal. */
export async function tokensOf(
  url: string,
  content: string,
  count: number,
  signal: AbortSignal,
  onToken: () => void,
): Promise<void> {
  const body = {
    messages: [{ role: 'user', content }],
    temperature: 0,
    max_tokens: count,
    // No end-of-sequence token at all, not only no end by it: that one would have no text.
    min_tokens: count,
    ignore_eos: true,
    stream: true,
  };
  try {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...keyHeaders(process.env) },
      body: JSON.stringify(body),
      signal,
    });
    if (!response.ok || response.body === null) {
      throw new Error(`the request failed: ${response.status} ${await response.text()}`);
    }
    for await (const event of chatEvents(response.body)) {
      if (event.error !== undefined) throw new Error(event.error.message);
      if (saidIn(event.choices?.[0]?.delta) !== '') onToken();
    }
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.max(0, ms));
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
