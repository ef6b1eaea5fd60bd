// The twin test's questions: short and long prompts, short and long answers, everything that the
// built-in model was trained for and some things it was not. No chance: the same ones at every run.

import { type ChatBody, type Message, question, user } from './chat.ts';

export type Prompt = { readonly name: string; readonly body: ChatBody };

const talk = (...messages: readonly Message[]): ChatBody => ({ ...question(''), messages });
const assistant = (content: string): Message => ({ role: 'assistant', content });
const system = (content: string): Message => ({ role: 'system', content });

/** `words` words of made-up sentences, none of which is a question. */
function filler(words: number): string {
  const subjects = ['The river', 'A small farmer', 'The old bridge', 'Every sailor', 'The lantern'];
  const verbs = ['crossed', 'remembered', 'painted', 'repaired', 'followed', 'described', 'sold'];
  const objects = ['the quiet village', 'a rusty wagon', 'the wooden tower', 'an empty harbour'];
  const times = [
    'in the morning',
    'after the rain',
    'every summer',
    'at noon',
    'long ago',
    'today',
  ];
  const sentences: string[] = [];
  let count = 0;
  for (let i = 0; count < words; i++) {
    const of = (list: readonly string[], salt: number): string =>
      list[(i * salt + Math.floor(i / list.length)) % list.length] ?? '';
    const sentence = `${of(subjects, 3)} ${of(verbs, 5)} ${of(objects, 7)} ${of(times, 11)}.`;
    sentences.push(sentence);
    count += sentence.split(' ').length;
  }
  return sentences.join(' ');
}

/** A code word within a long text. */
function needle(words: number, code: string, share: number): ChatBody {
  const before = filler(Math.floor(words * share));
  const after = filler(Math.ceil(words * (1 - share)));
  return question(`${before} The code word is ${code}. ${after}\n\nWhat is the code word?`);
}

const tool = (name: string, description: string, properties: object): object => ({
  type: 'function',
  function: { name, description, parameters: { type: 'object', properties } },
});
const weather = tool('get_weather', 'Get the current weather of a city.', {
  city: { type: 'string' },
});
const add = tool('add', 'Add two numbers.', { a: { type: 'integer' }, b: { type: 'integer' } });

const countries = ['France', 'Japan', 'Peru', 'Kenya', 'Norway', 'Tuvalu', 'Chile', 'mexico'];
const sums = ['12 + 30', '7 + 8', '123 + 456', '999 + 1', '500 - 123', '87 - 9', '640 + 275'];
const copies = [
  'zorblax quint',
  'A1-B2-C3',
  'the cat sat',
  '{"key": [1, 2, 3]}',
  'xX_99_Xx',
  'ÄÖÜ ß',
];
const counts = ['1 to 60', '1 to 25', '10 to 40', '60 down to 30'];
const heroes = ['a fox', 'a lonely robot', 'a baker', 'an owl and a mouse', 'the sea'];
const words = ['Hello', 'Help', 'ping', 'x', 'Paris', '42', '?', '', ' ', '\n'];
const foreign = [
  '日本の首都はどこですか',
  '🦊🦉 story',
  'ça va?',
  'Привет',
  'naïve café',
  '\u0301\u200d',
];
const needles = [
  [400, 'blue-17', 0.5],
  [900, 'harbour', 0.1],
  [1500, 'quinzel', 0.9],
  [2000, '48213', 0.4],
] as const;

const conversations: readonly Prompt[] = [
  {
    name: 'recall a name',
    body: talk(user('My name is Vera.'), assistant('Got it.'), user('What is my name?')),
  },
  {
    name: 'recall over turns',
    body: talk(
      system('You are a helpful assistant.'),
      user('My locker number is 4711.'),
      assistant('Noted.'),
      user('What is the capital of Spain?'),
      assistant('The capital of Spain is Madrid.'),
      user('What is my locker number?'),
    ),
  },
  {
    name: 'a long conversation',
    body: talk(
      ...countries.flatMap((country) => [
        user(`What is the capital of ${country}?`),
        assistant('I do not know.'),
      ]),
      user('And of Italy?'),
    ),
  },
  { name: 'system prompt', body: talk(system('Answer briefly.'), user('Who are you?')) },
  {
    name: 'tool call',
    body: { ...question('What is the weather in Oslo?'), tools: [weather] },
  },
  { name: 'one of two tools', body: { ...question('Add 17 and 25.'), tools: [weather, add] } },
  {
    name: 'tool result',
    body: {
      ...talk(
        user('What is the weather in Oslo?'),
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            {
              id: 'call_1',
              type: 'function',
              function: { name: 'get_weather', arguments: '{"city": "Oslo"}' },
            },
          ],
        },
        { role: 'tool', tool_call_id: 'call_1', content: '{"weather": "rain"}' },
      ),
      tools: [weather],
    },
  },
  { name: 'out of scope', body: question('Write a haiku about the sea.') },
  { name: 'JSON', body: question('Give me a JSON object with a name and an age.') },
  { name: 'past the end', body: question('Hello', { ignore_eos: true, max_tokens: 120 }) },
  { name: 'one token', body: question('What is the capital of Cuba?', { max_tokens: 1 }) },
  { name: 'two tokens', body: question('What is the capital of Cuba?', { max_tokens: 2 }) },
  { name: 'stop string', body: question('Count from 1 to 30.', { stop: ['17'] }) },
  { name: 'at a block', body: question(filler(60)) },
  { name: 'noise', body: question('q9!x zz%% @@ 3f3f3f ~~ lorem ipsum }{][ \\n\\t') },
];

export const prompts: readonly Prompt[] = [
  ...countries.map((c) => ({ name: c, body: question(`What is the capital of ${c}?`) })),
  ...sums.map((sum) => ({ name: sum, body: question(`What is ${sum}?`) })),
  ...copies.map((text) => ({ name: `copy ${text}`, body: question(`Repeat after me: ${text}`) })),
  ...counts.map((range) => ({ name: `count ${range}`, body: question(`Count from ${range}.`) })),
  ...heroes.map((hero) => ({ name: hero, body: question(`Tell me a story about ${hero}.`) })),
  ...words.map((word) => ({ name: `word ${JSON.stringify(word)}`, body: question(word) })),
  ...foreign.map((text) => ({ name: text, body: question(text) })),
  ...needles.map(([size, code, at]) => ({
    name: `${code} in ${size} words`,
    body: needle(size, code, at),
  })),
  ...conversations,
];

/** Drawn, not greedy: other temperatures, shares and seeds. */
export const drawnPrompts: readonly Prompt[] = [
  ...heroes.flatMap((hero, i) =>
    [0.7, 1.2].map((temperature) => ({
      name: `${hero} at ${temperature}`,
      body: question(`Tell me a story about ${hero}.`, { temperature, seed: 100 + i }),
    })),
  ),
  ...sums.slice(0, 3).map((sum, i) => ({
    name: `${sum} drawn`,
    body: question(`What is ${sum}?`, { temperature: 1.5, top_p: 0.9, seed: i }),
  })),
  {
    name: 'the seed’s top_p',
    body: question('Hello', { temperature: 2, top_p: 0.95, seed: 2 ** 40, max_tokens: 80 }),
  },
];
