// `tdist bench kv`: how fast KV travels, each figure beside what it is measured against and the claim it
// is held to. The last line is one JSON object.

import type { Effort } from '../engine/section.ts';
import { runParts } from '../part.ts';
import { measureKvAccuracy } from './accuracy.ts';
import { measureCopy } from './copy.ts';
import { withNatsServer } from './nats.ts';
import { measureObject } from './object.ts';
import { measureOverlap } from './overlap.ts';

const bench = {
  name: 'bench kv',
  parts: {
    accuracy: measureKvAccuracy,
    copy: measureCopy,
    object: (effort: Effort) => withNatsServer((uri) => measureObject(uri, effort)),
    overlap: (effort: Effort) => withNatsServer((uri) => measureOverlap(uri, effort)),
  },
  note: 'Starts a nats-server of its own on a free port.',
};

export function runKvBench(
  argv: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  return runParts(bench, argv, print);
}
