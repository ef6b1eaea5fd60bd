// `tdist bench engine`: the engine's own speed and the load that disaggregation is for, each figure
// beside what it is measured against and the claim it is held to. The last line is one JSON object.

import { availableParallelism, cpus, loadavg } from 'node:os';
import { Fault } from '../../std/fault.ts';
import { table } from '../statistics.ts';
import { measureDecode } from './decode.ts';
import { measureGrammar } from './grammar.ts';
import { measureInterference } from './interference.ts';
import { measureKvCopy } from './kv-copy.ts';
import { measurePrefixHit } from './prefix-hit.ts';
import { measureSampling } from './sampling.ts';
import { claimLine, type Effort, isMet, type Section, tableHead } from './section.ts';

const parts: Readonly<Record<string, (effort: Effort) => Section | Promise<Section>>> = {
  decode: measureDecode,
  sampling: measureSampling,
  grammar: measureGrammar,
  'kv-copy': measureKvCopy,
  'prefix-hit': measurePrefixHit,
  interference: measureInterference,
};

export const engineBenchHelp = `tdist bench engine [--quick] [${Object.keys(parts).join('|')} …]

Measures all parts, or those named. --quick: fewer rounds, wider spread.
Writes a model folder of 270 MB with random weights into the cache folder at the first run.`;

export async function runEngineBench(
  argv: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  if (argv.includes('--help')) {
    print(engineBenchHelp);
    return 0;
  }
  const unknown = argv.find((word) => word !== '--quick' && !Object.hasOwn(parts, word));
  if (unknown !== undefined) {
    throw new Fault(
      'usage',
      `bench engine: ${unknown}: wanted --quick or one of ${Object.keys(parts).join(', ')}`,
    );
  }
  const effort = { quick: argv.includes('--quick') };
  const named = argv.filter((word) => word !== '--quick');
  const machine = `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown CPU'}`;
  const busy = (loadavg()[0] ?? 0).toFixed(1);
  print(`${machine}, Bun ${Bun.version}, load average before the start: ${busy}\n`);
  const sections: Section[] = [];
  for (const [name, measure] of Object.entries(parts)) {
    if (named.length > 0 && !named.includes(name)) continue;
    const section = await measure(effort);
    print(`${table([tableHead, ...section.rows])}\n`);
    for (const claim of section.claims) print(claimLine(claim));
    print('');
    sections.push(section);
  }
  const claims = sections.flatMap((section) => section.claims);
  const figures = Object.assign({}, ...sections.map((section) => section.figures));
  print(`${claims.filter(isMet).length} of ${claims.length} claims met`);
  const met = claims.map((claim) => ({ ...claim, met: isMet(claim) }));
  print(JSON.stringify({ machine, ...effort, claims: met, figures }));
  return 0;
}
