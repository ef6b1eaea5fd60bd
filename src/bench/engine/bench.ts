// `tdist bench engine`: the engine's own speed and the load that disaggregation is for, each figure
// beside what it is measured against and the claim it is held to. The last line is one JSON object.

import { runParts } from '../part.ts';
import { measureDecode } from './decode.ts';
import { measureEncode } from './encode.ts';
import { measureGrammar } from './grammar.ts';
import { measureInterference } from './interference.ts';
import { measureKvCopy } from './kv-copy.ts';
import { measurePrefixHit } from './prefix-hit.ts';
import { measureSampling } from './sampling.ts';

const bench = {
  name: 'bench engine',
  parts: {
    decode: measureDecode,
    encode: measureEncode,
    sampling: measureSampling,
    grammar: measureGrammar,
    'kv-copy': measureKvCopy,
    'prefix-hit': measurePrefixHit,
    interference: measureInterference,
  },
  note: 'Writes a model folder of 270 MB with random weights into the cache folder at the first run.',
};

export function runEngineBench(
  argv: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  return runParts(bench, argv, print);
}
