// A janitor without rest: sweeps until its stdin closes.

import { sweepArenas } from '../../src/kv/janitor.ts';

let isOver = false;
void Bun.stdin.text().then(() => {
  isOver = true;
});
console.log('sweeping');
const turn = (): void => {
  for (let i = 0; i < 50; i++) sweepArenas();
  if (!isOver) setImmediate(turn);
};
turn();
