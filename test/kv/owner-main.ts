// A process that owns an arena until it is killed. Prints the arena's name and the pid of a child of
// its own, which outlives it: a lock that the child had inherited would make the arena look alive.

import { Arena } from '../../src/kv/arena.ts';
import { geometry, identity } from './pool-rows.ts';

const arena = new Arena({
  id: process.argv[2] ?? '',
  geometry,
  dtype: 'float32',
  sizeBytes: 1024 * 1024,
  identity,
});
const child = Bun.spawn(['sleep', '60'], { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' });
console.log(JSON.stringify({ name: arena.name, childPid: child.pid }));
await Bun.stdin.text(); // until the test closes it or kills us
arena.close();
child.kill();
