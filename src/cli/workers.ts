// `tdist workers`: who serves, and taking a worker out of service or back, through a gateway's HTTP
// routes. What a gateway says is printed; the deciding is all there.

import { realClock } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import { printedHelp } from './asked-help.ts';
import type { Output } from './output.ts';
import type { Env } from './parse.ts';
import { redactUri } from './plane-uri.ts';
import { hintFor } from './suggest.ts';
import { fetchWorkers, findWorker, postControl, type WorkerEntry } from './workers-api.ts';

const help = `Usage: tdist workers [list] [flags]
       tdist workers drain ID [--wait] [flags]
       tdist workers resume ID [flags]

list      every worker that the gateway knows
drain     ID takes nothing new and finishes what it has; it stays until somebody stops it
resume    ID takes work again

ID may be shortened as long as it means one worker. PAUSED: requests (with a slot or waiting) that
rest until their clients have read on. MOVES: copies of a sequence to another slot so far.
UP: since the worker's start; of one of an older release, since the gateway first heard of it.

  --api-url URL   the gateway  (default http://127.0.0.1:8005) [TDIST_API_URL]; its key: [TDIST_API_KEY]
  --wait          after drain: until the worker may be stopped without losing anything
  --json          print what the gateway answers, as JSON
  --help          print this text

Exit codes: 0 done, 1 failed (no gateway, no such worker), 2 wrong command line.`;

const askAgainMs = 500;
const commands = ['list', 'drain', 'resume'] as const;
type Command = (typeof commands)[number];

type Words = {
  readonly command: Command;
  readonly id: string | null;
  readonly url: string;
  readonly wait: boolean;
  readonly json: boolean;
};

/** The exit code. Throws a Fault where it is not 0. */
export async function runWorkers(
  argv: readonly string[],
  output: Output,
  env: Env,
): Promise<number> {
  if (printedHelp(argv, help, output)) return 0;
  const { command, id, url, wait, json } = readWords(argv, env);
  const show = (workers: readonly WorkerEntry[]): void =>
    output.out(json ? JSON.stringify(workers, null, 2) : table(workers));
  if (id === null || command === 'list') {
    show(await fetchWorkers(url));
    return 0;
  }
  const worker = findWorker(await fetchWorkers(url), id);
  const answer = await postControl(url, worker.id, command);
  show([wait ? await untilSafe(url, answer) : answer]);
  return 0;
}

/** Asks until it is safe to stop. There is no time limit: what runs there may take its time. */
async function untilSafe(url: string, drained: WorkerEntry): Promise<WorkerEntry> {
  let entry = drained;
  while (!entry.safe_to_stop) {
    if (entry.state !== 'draining') {
      throw new Fault(
        'no_worker',
        `worker ${entry.id} is ${entry.state} again; somebody resumed it`,
      );
    }
    await new Promise<void>((resolve) => realClock.after(askAgainMs, resolve));
    const found = (await fetchWorkers(url)).find(({ id }) => id === entry.id);
    if (found === undefined) {
      throw new Fault('no_worker', `worker ${entry.id} left before it said that it was safe`);
    }
    entry = found;
  }
  return entry;
}

function readWords(argv: readonly string[], env: Env): Words {
  const positional: string[] = [];
  let url = env['TDIST_API_URL'] || 'http://127.0.0.1:8005';
  let wait = false;
  let json = false;
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? '';
    if (word === '--wait') wait = true;
    else if (word === '--json') json = true;
    else if (word.startsWith('--api-url=')) url = word.slice('--api-url='.length);
    else if (word === '--api-url') url = argv[++at] ?? '';
    else if (word.startsWith('-')) {
      const known = ['--api-url', '--wait', '--json', '--help'];
      const hint = hintFor(word, known, `it knows ${known.join(', ')}`);
      throw new Fault('usage', `workers: unknown flag ${word}; ${hint}`);
    } else positional.push(word);
  }
  const [command = 'list', id, ...more] = positional;
  if (!isCommand(command)) {
    const hint = hintFor(command, commands, `it knows ${commands.join(', ')}`);
    throw new Fault('usage', `workers: unknown command ${command}; ${hint}`);
  }
  const wanted = command === 'list' ? 0 : 1;
  if (more.length > 0 || (id === undefined ? 0 : 1) !== wanted) {
    const form = wanted === 0 ? 'takes no ID' : 'needs one ID; `tdist workers` lists them';
    throw new Fault('usage', `workers ${command} ${form}`);
  }
  if (wait && command !== 'drain') throw new Fault('usage', '--wait goes with workers drain');
  return { command, id: id ?? null, url: baseUrl(url), wait, json };
}

function isCommand(word: string): word is Command {
  return commands.some((command) => command === word);
}

function baseUrl(text: string): string {
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (url !== null && /^https?:$/.test(url.protocol)) return url.href.replace(/\/+$/, '');
  const shown = JSON.stringify(redactUri(text));
  throw new Fault('usage', `--api-url ${shown}: wanted a URL, for example http://127.0.0.1:8005`);
}

function table(workers: readonly WorkerEntry[]): string {
  if (workers.length === 0) return 'no worker is alive';
  const head = 'ID ROLE MODEL STATE RUNNING WAITING PAUSED SLOTS MOVES KV PID UP'.split(' ');
  const rows = workers.map((worker) => [
    worker.id,
    worker.role,
    worker.model,
    worker.safe_to_stop ? 'drained, safe to stop' : worker.state,
    String(worker.load.running),
    String(worker.load.waiting),
    String(worker.load.paused ?? '-'),
    String(worker.load.slots),
    String(worker.counters?.slot_moves ?? '-'),
    kvText(worker),
    String(worker.pid),
    `${Math.floor((worker.up_ms ?? worker.since_ms) / 1000)} s`,
  ]);
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return all.map(line).join('\n');
}

/** Taken and all blocks of an arena; without one, the tokens that still fit. */
function kvText({ kv }: WorkerEntry): string {
  if (kv.blocks === null) return `${kv.free_tokens} tokens free`;
  const { free, held, leased, cached } = kv.blocks;
  return `${held + leased + cached}/${free + held + leased + cached} blocks`;
}
