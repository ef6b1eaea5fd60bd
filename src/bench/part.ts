// Runs a benchmark that consists of parts: those named on the command line or all, a table and the claims
// of each, and one JSON object as the last line.

import { availableParallelism, cpus, loadavg } from 'node:os';
import { Fault } from '../std/fault.ts';
import { claimLine, type Effort, isMet, type Section, tableHead } from './engine/section.ts';
import { table } from './statistics.ts';

export type Part = (effort: Effort) => Section | Promise<Section>;

export type PartBench = {
  /** As on the command line: `bench engine`. */
  readonly name: string;
  readonly parts: Readonly<Record<string, Part>>;
  /** What else the help says. */
  readonly note: string;
};

export async function runParts(
  { name, parts, note }: PartBench,
  argv: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  if (argv.includes('--help')) {
    print(`tdist ${name} [--quick] [${Object.keys(parts).join('|')} …]

Measures all parts, or those named. --quick: fewer rounds, wider spread.
${note}`);
    return 0;
  }
  const unknown = argv.find((word) => word !== '--quick' && !Object.hasOwn(parts, word));
  if (unknown !== undefined) {
    throw new Fault(
      'usage',
      `${name}: ${unknown}: wanted --quick or one of ${Object.keys(parts).join(', ')}`,
    );
  }
  const effort = { quick: argv.includes('--quick') };
  const named = argv.filter((word) => word !== '--quick');
  const machine = `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown CPU'}`;
  const busy = (loadavg()[0] ?? 0).toFixed(1);
  print(`${machine}, Bun ${Bun.version}, load average before the start: ${busy}\n`);
  const sections: Section[] = [];
  for (const [part, measure] of Object.entries(parts)) {
    if (named.length > 0 && !named.includes(part)) continue;
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
