// Another worker of the host, in a process of its own: reads {kind, ids} from stdin, looks for cached
// KV of `ids`, and prints how many tokens were known and a checksum over their rows. With `keep` it
// first leaves `ids` in an arena of its own, says so, and goes on living until stdin ends.

import * as v from 'valibot';
import { checksum } from '../../src/std/hash.ts';
import { CacheWorld } from './cache-world.ts';
import { readRows } from './pool-rows.ts';

const requestSchema = v.object({ kind: v.string(), ids: v.array(v.number()), salt: v.number() });
const wanted = process.argv[2];

const lines = (async function* () {
  const decoder = new TextDecoder();
  for await (const bytes of Bun.stdin.stream()) yield decoder.decode(bytes);
})();
const { value } = await lines.next();
const { kind, ids, salt } = v.parse(requestSchema, JSON.parse(String(value)));
const world = new CacheWorld({ kind });
if (wanted === 'keep') {
  world.keep(ids, { salt });
  console.log(JSON.stringify({ arena: world.own.arena.name }));
  await lines.next(); // until the test closes it or kills us
} else {
  world.peers.sweep();
  const known = world.restore(ids);
  const sum = checksum(new Uint8Array(readRows(world.pool, 1, known).buffer));
  console.log(JSON.stringify({ known, sum }));
}
world.close();
