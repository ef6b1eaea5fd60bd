import { describe, expect, test } from 'bun:test';
import { firstDifference, shortfall } from '../../src/bench/verify/compare.ts';
import { fillerText, fillTo } from '../../src/bench/verify/filler.ts';
import { shapes } from '../../src/bench/verify/shape.ts';
import type { Transcript } from '../../src/bench/verify/transcript.ts';
import { runVerify } from '../../src/bench/verify/verify.ts';

const timing = {
  route: 'disaggregated',
  context_worker: 'c',
  generate_worker: 'g',
  kv_path: 'shm',
  kv_bytes: 1,
  queue_ms: 0,
  route_reason: 'forced',
  prefill_ms: 0,
  transfer_ms: 0,
  ttft_ms: 0,
  total_ms: 0,
};

function transcript(words: string, change: Partial<Transcript> = {}): Transcript {
  const pieces = words.split(' ').map((text, i) => ({ text, tokens: i + 1 }));
  return { pieces, finish: 'stop', promptTokens: 5, tokens: pieces.length, timing, ...change };
}

describe('comparing', () => {
  test('the same is the same', () => {
    expect(firstDifference(transcript('a b c'), transcript('a b c'))).toBeNull();
  });

  test.each([
    ['another token', transcript('a x c'), { token: 1, what: '"b" | "x"' }],
    ['one more', transcript('a b c d'), { token: 3, what: 'end | "d"' }],
    ['one less', transcript('a b'), { token: 2, what: '"c" | end' }],
    [
      'another end',
      transcript('a b c', { finish: 'length' }),
      { token: 3, what: 'ends by stop | length' },
    ],
    [
      'a token without text',
      transcript('a b c', { tokens: 4 }),
      { token: 3, what: '3 tokens | 4' },
    ],
    [
      'another prompt',
      transcript('a b c', { promptTokens: 6 }),
      { token: 0, what: 'prompt of 5 tokens | 6' },
    ],
  ])('%s', (_name, other, wanted) => {
    const found = firstDifference(transcript('a b c'), other);
    expect(found).toEqual(wanted);
  });

  test('the same text in other tokens is a difference', () => {
    const other = transcript('a b c', {
      pieces: [
        { text: 'a', tokens: 2 },
        { text: 'b', tokens: 3 },
        { text: 'c', tokens: 4 },
      ],
    });
    expect(firstDifference(transcript('a b c'), other)?.token).toBe(0);
  });

  test('an answer that went another way proves nothing', () => {
    const whole = transcript('a b', {
      timing: { ...timing, route: 'aggregated', kv_path: 'none' },
    });
    const lost = transcript('a b', { timing: { ...timing, kv_path: 'none' } });
    expect(shortfall(transcript('a b'), whole)).toBeNull();
    expect(shortfall(lost, whole)).toContain('lost');
    expect(shortfall(whole, whole)).toContain('aggregated');
    // One token alone is never handed over.
    expect(shortfall({ ...lost, tokens: 1 }, whole)).toBeNull();
  });
});

describe('prompts', () => {
  test('at least 40, each with a name of its own', () => {
    expect(shapes.length).toBeGreaterThanOrEqual(40);
    expect(new Set(shapes.map((shape) => shape.name)).size).toBe(shapes.length);
  });

  test.each([64, 65, 257, 2000])('filled up to exactly %d tokens', async (size) => {
    // A tokenizer of words and half words, as uneven as real ones.
    const count = async (text: string): Promise<number> =>
      7 + (text.match(/[a-z]{1,4}|\d|\s/g) ?? []).length;
    const asked: number[] = [];
    const filler = await fillTo(size, 3, async (text) => {
      asked.push(text.length);
      return await count(text);
    });
    expect(await count(filler)).toBe(size);
    expect(asked.length).toBeLessThanOrEqual(15);
  });

  test('a size that does not fit the model becomes the longest that does', async () => {
    const count = async (text: string): Promise<number> =>
      text.length > 300 ? Number.POSITIVE_INFINITY : text.length;
    const filler = await fillTo(2000, 3, count);
    expect(filler.length).toBeGreaterThan(250);
    expect(filler.length).toBeLessThanOrEqual(300);
  });

  test('fillers differ from their first word on', () => {
    expect(new Set([1, 2, 3, 4].map((salt) => fillerText(40, salt).split(' ')[0])).size).toBe(4);
  });
});

/** A gateway that counts words and answers `words`; the disaggregated route from `planted` on. */
function fakeGateway(words: readonly string[], planted: readonly string[]) {
  return Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const route = request.headers.get('x-tdist-force-route') ?? '';
      const { messages, max_tokens } = JSON.parse(await request.text());
      const prompt: string = messages.map((one: { content: unknown }) => one.content).join(' ');
      const isLong = prompt.length > 5000;
      if (isLong) {
        const error = {
          message: 'too long',
          type: '',
          param: null,
          code: 'context_length_exceeded',
        };
        return Response.json({ error }, { status: 400 });
      }
      const answer = (route === 'disaggregated' ? planted : words).slice(0, max_tokens ?? 99);
      const usage = (tokens: number) => ({
        prompt_tokens: prompt.length,
        completion_tokens: tokens,
      });
      const kv_path = route === 'disaggregated' ? 'shm' : 'none';
      const events = [
        ...answer.map((content, i) => ({ choices: [{ delta: { content } }], usage: usage(i + 1) })),
        { choices: [{ delta: {}, finish_reason: 'stop' }], usage: usage(answer.length) },
        { choices: [], usage: { ...usage(answer.length), tdist: { ...timing, route, kv_path } } },
      ];
      const lines = [...events.map((event) => JSON.stringify(event)), '[DONE]'];
      return new Response(lines.map((line) => `data: ${line}\n\n`).join(''));
    },
  });
}

describe('tdist verify', () => {
  async function ran(words: readonly string[], planted: readonly string[]) {
    const lines: string[] = [];
    await using server = {
      at: fakeGateway(words, planted),
      [Symbol.asyncDispose]: () => server.at.stop(true),
    };
    const url = `http://127.0.0.1:${server.at.port}`;
    const code = await runVerify(['--api-url', url], (line) => lines.push(line));
    return { code, lines, sum: JSON.parse(lines.at(-1) ?? '') };
  }

  test('identical answers: 0', async () => {
    const { code, sum } = await ran(['a', 'b', 'c'], ['a', 'b', 'c']);
    expect(code).toBe(0);
    expect(sum).toMatchObject({ ok: true, prompts: shapes.length, differences: [] });
  });

  test('a planted difference is found, with its place', async () => {
    const { code, sum, lines } = await ran(['a', 'b', 'c'], ['a', 'b', 'X']);
    expect(code).toBe(1);
    expect(sum.ok).toBe(false);
    expect(sum.differences[0]).toEqual({ name: 'a question', token: 2, what: '"c" | "X"' });
    expect(lines.join('\n')).toContain('NO  token 2: "c" | "X"');
  });

  test('no workers for a route: a line that says which', async () => {
    const server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: () =>
        Response.json({ error: { message: 'no baseline', code: 'no_worker' } }, { status: 503 }),
    });
    try {
      const run = runVerify(['--api-url', `http://127.0.0.1:${server.port}/`], () => undefined);
      await expect(run).rejects.toThrow('answers 503: no baseline');
    } finally {
      await server.stop(true);
    }
  });

  test('wrong words are refused', async () => {
    const run = (words: string) => runVerify(words.split(' '), () => undefined);
    await expect(run('--api-url')).rejects.toThrow('a value is missing');
    await expect(run('--api-url http://x --threads 2')).rejects.toThrow('--threads starts nothing');
  });
});
