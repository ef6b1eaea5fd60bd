// Logprobs and stop reasons as a client sees them. The scripted worker gives each token the logprob
// −id/1000 and as many alternatives as were asked for, the first of which is the token itself.

import { describe, expect, test } from 'bun:test';
import type { TokenDelta, TokenLogprobs } from '../../src/protocol/request.ts';
import { seededChance } from '../../src/std/prng.ts';
import { bytesOf, endOfTextId, imEndId, tinyVocabSize } from '../text/tiny-tokenizer.ts';
import { deltas, type Script, says } from './fake-cluster.ts';
import { eventsOf, jsonOf, openWorld } from './world.ts';

const asked = { logprobs: true, top_logprobs: 2 };

function logprobsOf(id: number, count: number): TokenLogprobs {
  const top = Array.from({ length: count }, (_, i): [number, number] => [
    (id + i) % tinyVocabSize,
    -id / 1000 - i,
  ]);
  return { logprob: -id / 1000, top };
}

/** One token a delta. */
function thinks(ids: readonly number[], last: Partial<TokenDelta> = {}): Script {
  return async function* (request) {
    const count = request.sampling.logprobs;
    for (const id of ids) {
      const logprobs = count === null ? {} : { logprobs: [logprobsOf(id, count)] };
      yield { ids: [id], finish: null, ...logprobs };
    }
    yield { ids: [], finish: 'stop', ...last };
  };
}

type Entry = { token: string; logprob: number; bytes: number[] | null; top_logprobs: Entry[] };
type Choice = {
  text: string;
  content: readonly Entry[];
  finish: string;
  stopReason: unknown;
  chunks: readonly (readonly [string, readonly string[]])[];
};

/** The answer, streamed and whole, which must agree. */
async function ask(script: Script, fields: Readonly<Record<string, unknown>>): Promise<Choice> {
  await using world = openWorld(script);
  const whole = (await jsonOf(await world.chat(fields))).choices[0];
  const events = await eventsOf(await world.chat({ ...fields, stream: true }));
  const choices = events.map((event) => Object(event).choices[0]);
  const content: Entry[] = choices.flatMap((choice) => choice.logprobs?.content ?? []);
  const last = choices.at(-1);
  expect(choices.map((choice) => choice.delta.content ?? '').join('')).toBe(whole.message.content);
  expect(content).toEqual(whole.logprobs?.content ?? []);
  expect([last.finish_reason, last.stop_reason]).toEqual([whole.finish_reason, whole.stop_reason]);
  return {
    text: whole.message.content,
    content,
    finish: whole.finish_reason,
    stopReason: whole.stop_reason,
    chunks: choices.map((choice) => [
      choice.delta.content ?? '',
      (choice.logprobs?.content ?? []).map(({ token }: Entry) => token),
    ]),
  };
}

/** How many U+FFFD stand for what is no character is a decoder's taste. */
const plain = (text: string): string => text.replace(/\ufffd+/g, '\ufffd');

const joined = (content: readonly Entry[]): string => content.map(({ token }) => token).join('');

describe('logprobs', () => {
  test('the exact shape; as many alternatives as asked for', async () => {
    const { content } = await ask(thinks(bytesOf('hi')), asked);
    expect(content[0]).toEqual({
      token: 'h',
      logprob: -0.104,
      bytes: [104],
      top_logprobs: [
        { token: 'h', logprob: -0.104, bytes: [104] },
        { token: 'i', logprob: -1.104, bytes: [105] },
      ] as unknown as Entry[], // alternatives have no alternatives
    });
    expect(content[1]?.token).toBe('i');
    const none = await ask(thinks(bytesOf('hi')), { logprobs: true });
    expect(none.content.map((entry) => entry.top_logprobs)).toEqual([[], []]);
  });

  test('nobody asked: null; an answer without tokens: an empty list', async () => {
    await using world = openWorld(says('hi'));
    expect((await jsonOf(await world.chat())).choices[0].logprobs).toBeNull();
    world.cluster.script = thinks([]);
    const [choice] = (await jsonOf(await world.chat(asked))).choices;
    expect(choice.logprobs).toEqual({ content: [], refusal: null });
  });

  test('each chunk has the tokens that its text completes', async () => {
    const { text, chunks, content } = await ask(thinks(bytesOf('aé€.')), asked);
    expect(text).toBe('aé€.');
    expect(chunks).toEqual([
      ['a', ['a']],
      ['é', ['\ufffd', '\ufffd']],
      ['€', ['\ufffd', '\ufffd', '\ufffd']],
      ['.', ['.']],
      ['', []],
    ]);
    expect(content.flatMap(({ bytes }) => bytes)).toEqual(bytesOf('aé€.'));
    // By itself, half a character is what a decoder prints for it, here as among its alternatives.
    for (const entry of [content[1], content[1]?.top_logprobs[0]]) {
      expect(entry).toMatchObject({ token: '\ufffd', bytes: [0xc3] });
    }
  });

  test('an answer that ends inside a character', async () => {
    const ids = [...bytesOf('a'), 0xf0, 0x9f];
    const { text, content } = await ask(thinks(ids, { finish: 'length' }), asked);
    expect(text).toBe('a\ufffd');
    expect(content.map(({ token }) => token)).toEqual(['a', '\ufffd', '\ufffd']);
    expect(content.map(({ bytes }) => bytes)).toEqual([[97], [0xf0], [0x9f]]);
  });

  test('a character that never ends: its token has the blame, not the next one', async () => {
    const { text, content } = await ask(thinks([0xe2, 97]), asked);
    expect(text).toBe('\ufffda');
    expect(content).toMatchObject([
      { token: '\ufffd', bytes: [0xe2] },
      { token: 'a', bytes: [97] },
    ]);
  });

  test('special tokens: no text and no bytes, or both', async () => {
    const script = thinks([97, imEndId, 98]);
    const skipped = await ask(script, asked);
    expect([skipped.text, joined(skipped.content)]).toEqual(['ab', 'ab']);
    expect(skipped.content.map(({ bytes }) => bytes)).toEqual([[97], null, [98]]);
    const shown = await ask(script, { ...asked, skip_special_tokens: false });
    expect([shown.text, joined(shown.content)]).toEqual(['a<|im_end|>b', 'a<|im_end|>b']);
    expect(shown.content[1]?.bytes).toEqual(bytesOf('<|im_end|>'));
  });

  test('what a stop string may begin waits with its tokens; what it cuts has none', async () => {
    const waits = await ask(thinks(bytesOf('aENd')), { ...asked, stop: 'END' });
    expect(waits.chunks).toEqual([
      ['a', ['a']],
      ['ENd', ['E', 'N', 'd']],
      ['', []],
    ]);
    const cut = await ask(thinks(bytesOf('aENDx')), { ...asked, stop: 'END' });
    expect([cut.text, joined(cut.content)]).toEqual(['a', 'a']);
    expect([cut.finish, cut.stopReason]).toEqual(['stop', 'END']);
    const kept = await ask(thinks(bytesOf('aENDx')), {
      ...asked,
      stop: 'END',
      include_stop_str_in_output: true,
    });
    expect([kept.text, joined(kept.content)]).toEqual(['aEND', 'aEND']);
  });

  test('a stop string that begins inside a token leaves the rest of it', async () => {
    const hell = 256 + 2; // 'hell'
    const { text, content } = await ask(thinks([97, hell, 111]), { ...asked, stop: 'llo' });
    expect([text, joined(content)]).toEqual(['ahe', 'ahe']);
    expect(content[1]).toMatchObject({ token: 'he', bytes: bytesOf('he'), logprob: -0.258 });
  });

  test('ids above the tokenizer’s words are entries without text', async () => {
    const { content } = await ask(thinks([97, endOfTextId, 98]), { logprobs: true });
    expect(joined(content)).toBe('ab');
  });

  test('random tokens, broken characters and stop strings: their bytes, joined, are the answer', async () => {
    const chance = seededChance(11);
    const below = (count: number): number => chance.u32() % count;
    await using world = openWorld();
    for (let round = 0; round < 150; round++) {
      const alphabet = [...bytesOf('aébE€😀'), 256 + 3, imEndId, tinyVocabSize, 0xff];
      const ids = Array.from({ length: below(25) }, () => alphabet[below(alphabet.length)] ?? 97);
      world.cluster.script = thinks(ids, { finish: below(2) === 0 ? 'stop' : 'length' });
      const fields = {
        stop: ['ab', 'Eé', 'llob', '\ufffda'],
        include_stop_str_in_output: below(2) === 0,
        skip_special_tokens: below(2) === 0,
        min_tokens: below(4),
      };
      const [choice] = (await jsonOf(await world.chat({ ...asked, ...fields }))).choices;
      const bytes = choice.logprobs.content.flatMap((entry: Entry) => entry.bytes ?? []);
      const text = new TextDecoder().decode(Uint8Array.from(bytes));
      expect([ids, plain(text)]).toEqual([ids, plain(choice.message.content)]);
      // What is no part of a divided character is there as text as well.
      const ascii = (of: string): string => of.replace(/[^ -~]/g, '');
      expect(ascii(joined(choice.logprobs.content))).toBe(ascii(choice.message.content));
    }
  });

  test('usage is as without', async () => {
    await using world = openWorld(thinks(bytesOf('héy')));
    const plain = await jsonOf(await world.chat());
    expect((await jsonOf(await world.chat(asked))).usage).toEqual(plain.usage);
  });

  test('tokens that come without what was asked for are a failure', async () => {
    await using world = openWorld(says('a'));
    expect((await world.chat(asked)).status).toBe(503);
  });

  test('several tokens of a delta', async () => {
    const ids = bytesOf('a€b');
    const script = deltas({ ids, logprobs: ids.map((id) => logprobsOf(id, 2)), finish: 'length' });
    const { chunks } = await ask(script, asked);
    expect(chunks).toEqual([
      ['a', ['a']],
      ['€', ['\ufffd', '\ufffd', '\ufffd']],
      ['b', ['b']],
    ]);
  });
});

describe('stop_reason', () => {
  test('the stop token’s id; null for end-of-sequence and length', async () => {
    expect(await ask(thinks([97], { stopToken: 42 }), {})).toMatchObject({
      finish: 'stop',
      stopReason: 42,
    });
    expect((await ask(thinks([97]), {})).stopReason).toBeNull();
    expect((await ask(thinks([97], { finish: 'length' }), {})).stopReason).toBeNull();
  });
});

describe('token ids are checked against the model', () => {
  test.each([
    [{ stop_token_ids: [tinyVocabSize] }, 'stop_token_ids'],
    [{ stop_token_ids: [-1] }, 'stop_token_ids'],
    [{ logit_bias: { [tinyVocabSize]: 1 } }, 'logit_bias'],
    [{ logit_bias: { '-1': 1 } }, 'logit_bias'],
  ])('%j', async (fields, param) => {
    await using world = openWorld();
    const response = await world.chat(fields);
    expect(response.status).toBe(400);
    const { error } = await jsonOf(response);
    expect(error).toMatchObject({ param, type: 'invalid_request_error' });
    expect(error.message).toContain(`0 to ${tinyVocabSize - 1}`);
    expect(world.cluster.requests).toEqual([]);
    const inside = { stop_token_ids: [tinyVocabSize - 1], logit_bias: { 0: 5 } };
    expect((await world.chat(inside)).status).toBe(200);
  });
});
