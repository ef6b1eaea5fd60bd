// The built-in prompts of `tdist verify`: every border that a prompt's way has (block, chunk, page of
// a conversation), and every field that ends an answer. Those with a size are filled up to it.

import type { Body } from './transcript.ts';

export type Shape = {
  readonly name: string;
  /** Tokens that the whole prompt shall have; null: as many as it happens to have. */
  readonly size: number | null;
  /** @param filler text that makes it so long. */
  readonly body: (filler: string) => Body;
};

const greedy = { temperature: 0, max_tokens: 48 };
const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });
const system = (content: string) => ({ role: 'system', content });

function plain(name: string, content: string, more: Body = {}): Shape {
  return talk(name, [user(content)], more);
}

function talk(name: string, messages: readonly unknown[], more: Body = {}): Shape {
  return { name, size: null, body: () => ({ messages, ...greedy, ...more }) };
}

/** Goes on past the end-of-sequence token: what a filler's answer is does not matter, its length does. */
function sized(size: number, name: string): Shape {
  return {
    name: `${size} tokens: ${name}`,
    size,
    body: (filler) => ({
      messages: [user(filler)],
      temperature: 0,
      max_tokens: 24,
      ignore_eos: true,
    }),
  };
}

const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather of a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
const clock = {
  type: 'function',
  function: { name: 'get_time', parameters: { type: 'object', properties: {} } },
};

const question = 'What is the capital of France?';
const capital = [user(question), assistant('The capital of France is Paris.')];
const turns = (count: number): unknown[] =>
  Array.from({ length: count }, (_, i) => [
    user(`What is ${i + 2} plus ${i + 3}?`),
    assistant(`${i + 2} plus ${i + 3} is ${2 * i + 5}.`),
  ]).flat();

const short: readonly Shape[] = [
  plain('a question', question),
  plain('one word', 'Hello'),
  plain('one letter', 'a'),
  plain('one space', ' '),
  plain('no text at all', ''),
  plain('only a line end', '\n'),
  plain('counting', 'Count from 1 to 30.', { max_tokens: 200 }),
  plain('copying', 'Repeat after me: red, green, blue, seven, nine.'),
  plain('no max_tokens', 'What is 12 plus 7?', { max_tokens: null }),
];

const borders: readonly Shape[] = [
  sized(48, 'less than a block'),
  sized(63, 'one less than a block'),
  sized(64, 'one block'),
  sized(65, 'one more than a block'),
  sized(127, 'one less than two blocks'),
  sized(128, 'two blocks'),
  sized(129, 'one more than two blocks'),
  sized(200, 'shorter than a chunk'),
  sized(255, 'one less than a chunk'),
  sized(256, 'one chunk'),
  sized(257, 'one more than a chunk'),
  sized(320, 'a chunk and a block'),
  sized(511, 'one less than two chunks'),
  sized(512, 'two chunks'),
  sized(513, 'one more than two chunks'),
  sized(768, 'three chunks'),
  sized(1000, 'a thousand'),
  sized(1025, 'one more than four chunks'),
  sized(2000, 'two thousand'),
];

const conversations: readonly Shape[] = [
  talk('system message', [system('You are brief.'), user(question)]),
  talk('second turn', [...capital, user('And of Italy?')]),
  talk('recall', [user('My name is Ada.'), assistant('Hello Ada!'), user('What is my name?')]),
  talk('six turns', [...turns(5), user('What is 40 plus 2?')]),
  talk('sixteen turns', [...turns(15), user('What is 40 plus 2?')]),
  talk('forty turns', [...turns(39), user('What is 40 plus 2?')]),
];

const unicode: readonly Shape[] = [
  plain('emoji', 'Repeat after me: 🙂🚀👨‍👩‍👧‍👦🇫🇷'),
  plain('Chinese', '请重复：你好，世界。'),
  plain('Arabic', 'كرر: مرحبا بالعالم'),
  plain('combining marks', 'Repeat after me: Z̧͖̦aͩl̂g̃o e\u0301 e\u0300'),
  plain('bytes of no word', 'Repeat after me: \u0000\u0001\ufffd\u200b\u2028', {
    ignore_eos: true,
    max_tokens: 20,
  }),
  plain('mixed scripts', 'Naïve Ελληνικά русский ไทย 日本語 कखग ascii'),
];

const tools: readonly Shape[] = [
  plain('a tool', 'What is the weather in Paris?', { tools: [weather] }),
  plain('two tools', 'What time is it?', { tools: [weather, clock] }),
  talk(
    'a tool has answered',
    [
      user('What is the weather in Paris?'),
      {
        role: 'assistant',
        content: null,
        tool_calls: [
          {
            id: 'call_1',
            type: 'function',
            function: { name: 'get_weather', arguments: '{"city":"Paris"}' },
          },
        ],
      },
      { role: 'tool', tool_call_id: 'call_1', content: 'sunny, 21 degrees' },
    ],
    { tools: [weather] },
  ),
];

const ends: readonly Shape[] = [
  talk('nothing left to say', [...capital, user('')]),
  plain('max_tokens 1', question, { max_tokens: 1 }),
  plain('max_tokens 2', question, { max_tokens: 2 }),
  {
    ...sized(300, 'max_tokens 1'),
    body: (text) => ({ messages: [user(text)], temperature: 0, max_tokens: 1 }),
  },
  plain('min_tokens beyond the answer', question, { min_tokens: 30, max_tokens: 40 }),
  plain('min_tokens = max_tokens', 'Hello', { min_tokens: 16, max_tokens: 16 }),
  plain('a stop string', 'Count from 1 to 30.', { stop: '7', max_tokens: 100 }),
  plain('stop strings', 'Count from 1 to 30.', { stop: ['12, 13', ' 9'], max_tokens: 100 }),
  plain('a stop string at once', question, { stop: ['The', 'the', 'a', 'e'] }),
  plain('a stop string within min_tokens', question, { stop: 'e', min_tokens: 8 }),
  plain('past the end', question, { ignore_eos: true, max_tokens: 256 }),
  plain('seeded sampling', 'Tell me something.', { temperature: 0.9, seed: 7, ignore_eos: true }),
  plain('seeded nucleus', 'Tell me something.', { temperature: 1, top_p: 0.8, seed: 11 }),
];

export const shapes: readonly Shape[] = [
  ...short,
  ...borders,
  ...conversations,
  ...unicode,
  ...tools,
  ...ends,
];
