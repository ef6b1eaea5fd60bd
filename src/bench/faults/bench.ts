// `tdist bench faults`: a deployment under steady load to which one kind of fault after another is done.
// Every answer is held against the one recorded before; afterwards nothing may be left. Ends with 1 where
// an answer was lost or something leaked. The last line is one JSON object.

import { mkdirSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { Fault } from '../../std/fault.ts';
import { type Chance, seededChance } from '../../std/prng.ts';
import { table } from '../statistics.ts';
import type { Said } from './client.ts';
import { type FaultKind, faultKinds } from './faults.ts';
import { findLeaks, findObjects } from './leak.ts';
import { Load, recordAnswers } from './load.ts';
import { counted, emptyRow, type Row, rowCells, rowFigures, rowHead, total } from './row.ts';
import { Stage } from './stage.ts';
import { type FaultWords, faultsHelp, readFaultWords } from './words.ts';

const objectTtlS = 20;
/** Requests that are in the middle of their answers when a fault comes. */
const streamingMin = 3;

type Run = {
  readonly stage: Stage;
  readonly chance: Chance;
  readonly answers: readonly (readonly Said[])[];
  readonly words: FaultWords;
};

export async function runFaultBench(
  argv: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  if (argv.includes('--help')) {
    print(faultsHelp);
    return 0;
  }
  const words = readFaultWords(argv);
  if (words.logDir !== null) mkdirSync(words.logDir, { recursive: true });
  const machine = `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown CPU'}`;
  const busy = (loadavg()[0] ?? 0).toFixed(1);
  print(`${machine}, Bun ${Bun.version}, load average before the start: ${busy}`);
  print(`seed ${words.seed}, ${words.clientCount} clients, 2 gateways, 2 + 2 workers\n`);
  const rows: Row[] = [];
  {
    await using stage = await Stage.open({ logDir: words.logDir, objectTtlS });
    const [gateway] = stage.gateways;
    const answers = await recordAnswers(gateway?.url ?? '');
    const run: Run = { stage, chance: seededChance(words.seed), answers, words };
    rows.push(await measure(run, null));
    for (const kind of faultKinds) {
      rows.push(await measure(run, kind));
      print(`done: ${rows.at(-1)?.name}`);
    }
    const flaws = await stage.stopServing();
    const left = [
      ...flaws,
      ...(await findLeaks(stage)),
      ...(await findObjects(stage, objectTtlS * 1000)),
    ];
    rows.push({ ...emptyRow, name: 'after the end', leaked: left });
  }
  print(`\n${table([rowHead, ...rows.map(rowCells), rowCells(total(rows))])}\n`);
  for (const { name, namedWhy, lost, leaked } of rows) {
    for (const [why, count] of Object.entries(counted(namedWhy))) {
      print(`named   ${name}: ${count} × ${why}`);
    }
    for (const why of lost) print(`LOST    ${name}: ${why}`);
    for (const what of leaked) print(`LEAKED  ${name}: ${what}`);
  }
  const all = total(rows);
  const paths = Object.entries(all.paths).map(([path, count]) => `${path} ${count}`);
  print(
    `answers by the path of their KV: ${paths.join(', ')}; moved to other workers: ${all.migrations}`,
  );
  const isGood = all.lost.length + all.leaked.length === 0;
  print(isGood ? 'nothing lost, nothing leaked' : 'MISSED  nothing may be lost, nothing may leak');
  print(JSON.stringify({ machine, ...words, rows: [...rows, all].map(rowFigures) }));
  return isGood ? 0 : 1;
}

/** One row: its own load, which ends before it is looked for leaks. Null: nothing is done to it. */
async function measure(run: Run, kind: FaultKind | null): Promise<Row> {
  const { stage, chance, answers, words } = run;
  const load = new Load({ stage, chance, answers, clientCount: words.clientCount });
  const faultsMs: number[] = [];
  const flaws: string[] = [];
  for (let count = 0; count < words.faultCount; count++) {
    await load.untilStreaming(streamingMin);
    faultsMs.push(performance.now());
    try {
      await kind?.inject({ stage, chance });
      await stage.untilReady();
      await load.untilMoving();
    } catch (thrown) {
      flaws.push(thrown instanceof Fault ? thrown.message : String(thrown));
    }
    await Bun.sleep(words.pauseMs + (chance.u32() % words.pauseMs));
  }
  await load.stop();
  const verdicts = load.records.map(({ verdict }) => verdict);
  const routes = load.records.flatMap(({ route }) => route ?? []);
  return {
    name: kind?.name ?? 'nothing',
    injected: kind === null ? 0 : words.faultCount,
    requests: verdicts.length,
    identical: verdicts.filter((verdict) => verdict.kind === 'identical').length,
    named: counted(verdicts.flatMap((one) => (one.kind === 'named' ? one.code : []))),
    namedWhy: verdicts.flatMap((one) => (one.kind === 'named' ? `${one.code}: ${one.why}` : [])),
    lost: [
      ...flaws,
      ...verdicts.flatMap((verdict) => (verdict.kind === 'lost' ? verdict.why : [])),
    ],
    leaked: await findLeaks(stage),
    gapsMs: load.gapsMs(faultsMs),
    paths: counted(routes.map((route) => route.kv_path)),
    migrations: routes.reduce((sum, { migrations = 0 }) => sum + migrations, 0),
  };
}
