// The questions of the load: greedy and drawn, short and long, held to a grammar, with several choices.
// Each has one right answer, since all that is drawn has a seed.

export type ChatBody = Readonly<Record<string, unknown>>;

type Ask = { readonly text: string; readonly more: ChatBody };

const long = { ignore_eos: true, max_tokens: 220 };
const noun = { type: 'string', enum: ['river', 'village', 'harbour', 'meadow'] };
const nouns = {
  type: 'array',
  items: {
    type: 'object',
    properties: { noun, count: { type: 'integer' } },
    required: ['noun', 'count'],
    additionalProperties: false,
  },
  minItems: 8,
  maxItems: 12,
};
const asJson = { type: 'json_schema', json_schema: { name: 'nouns', schema: nouns } };

/** `count` sentences, none of which is a question. */
function filler(count: number, salt: number): string {
  const subjects = ['The river', 'A small farmer', 'The old bridge', 'Every sailor', 'The lantern'];
  const verbs = ['crossed', 'painted', 'repaired', 'followed', 'described', 'sold'];
  const objects = ['the quiet village', 'a rusty wagon', 'the wooden tower', 'an empty harbour'];
  const of = (list: readonly string[], i: number): string => list[i % list.length] ?? '';
  return Array.from(
    { length: count },
    (_, i) => `${of(subjects, i + salt)} ${of(verbs, i * 5 + salt)} ${of(objects, i * 7)}.`,
  ).join(' ');
}

const needle = (count: number, salt: number, code: string): Ask => ({
  text: `${filler(count, salt)} The code word is ${code}. ${filler(20, salt + 1)}\n\nWhat is the code word?`,
  more: { max_tokens: 40 },
});

const asks: readonly Ask[] = [
  ...['Peru', 'France', 'Japan', 'Kenya'].map((country) => ({
    text: `What is the capital of ${country}?`,
    more: { max_tokens: 40 },
  })),
  { text: 'Count from 1 to 60.', more: { max_tokens: 260 } },
  { text: 'Tell me a story.', more: long },
  { text: 'Tell me a story about the sea.', more: long },
  { text: 'Tell me of a river.', more: { ...long, temperature: 1, seed: 5 } },
  {
    text: 'Tell me of a village.',
    more: { ...long, temperature: 0.8, top_p: 0.9, top_k: 40, seed: 6 },
  },
  {
    text: 'Tell me of the sea.',
    more: {
      ...long,
      temperature: 0.7,
      seed: 7,
      presence_penalty: 0.8,
      frequency_penalty: 0.5,
      repetition_penalty: 1.1,
    },
  },
  needle(30, 0, 'harbour'),
  needle(60, 0, 'quinzel'), // begins as the one before
  needle(90, 3, 'blue-17'),
  {
    text: `${filler(60, 2)} Tell me a story.`,
    more: { ...long, temperature: 0.9, seed: 11 },
  },
  { text: 'List nouns.', more: { max_tokens: 400, response_format: asJson } },
  {
    text: 'List nouns.',
    more: { max_tokens: 400, temperature: 1, seed: 8, response_format: asJson },
  },
  {
    text: 'Which letters?',
    more: {
      max_tokens: 200,
      seed: 9,
      temperature: 1,
      structured_outputs: { regex: '[a-f]{100,150}' },
    },
  },
  { text: 'Tell me a story about a fox.', more: { ...long, n: 3, temperature: 0.9, seed: 21 } },
  { text: `${filler(40, 1)} Who was it?`, more: { ...long, n: 2, temperature: 1, seed: 22 } },
];

/** Without `stream`: who asks decides. */
export const bodies: readonly ChatBody[] = asks.map(({ text, more }) => ({
  model: 'llama',
  messages: [{ role: 'user', content: text }],
  temperature: 0,
  ...more,
}));
