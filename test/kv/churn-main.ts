// A worker that leaves one prompt after another in an arena far too small for them, as fast as it can,
// until its stdin closes: {kind, prompts} on one line, each prompt's rows filled by its index.

import * as v from 'valibot';
import { CacheWorld } from './cache-world.ts';

const requestSchema = v.object({ kind: v.string(), prompts: v.array(v.array(v.number())) });

const lines = (async function* () {
  const decoder = new TextDecoder();
  for await (const bytes of Bun.stdin.stream()) yield decoder.decode(bytes);
})();
const { value } = await lines.next();
const { kind, prompts } = v.parse(requestSchema, JSON.parse(String(value)));
const world = new CacheWorld({ kind, blocks: 2 });
let isOver = false;
void lines.next().then(() => {
  isOver = true;
});
console.log('churning');
const turn = (): void => {
  for (const [salt, ids] of prompts.entries()) world.keep(ids, { salt: 1000 * salt });
  if (isOver) world.close();
  else setImmediate(turn);
};
turn();
