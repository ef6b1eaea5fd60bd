// `tdist verify`: the same requests through the aggregated and the disaggregated route of one
// deployment, and the proof that the tokens are the same, one by one.

import { Fault } from '../../std/fault.ts';
import { startDeployment } from '../deployment.ts';
import { table } from '../statistics.ts';
import { type Difference, firstDifference, shortfall } from './compare.ts';
import { fillTo } from './filler.ts';
import { type Shape, shapes } from './shape.ts';
import { type Body, Refusal, transcribe } from './transcript.ts';

export const verifyHelp = `Usage: tdist verify [--api-url URL] [--model NAME] [flags of --role all]
       tdist verify --against float32 [--model-name MODEL] [--quantization KIND] [--threads N]

Sends ${shapes.length} built-in prompts through the aggregated and through the disaggregated route and
compares the answers token by token. Exits 1 on any difference; the last line is one JSON object.

  --api-url URL   a running deployment with context, generate and baseline workers;
                  without it one of each is started on free ports, with the other flags
  --model NAME    the served model to ask [the only one]

With --against float32 nothing is served: the model's quantized weights are held against float32 over
the built-in prompts: how many greedy tokens agree, and the mean divergence (KL) of what comes next.

Example: tdist verify --model-name ./my-model --quantization int4`;

export type Row = {
  readonly name: string;
  readonly promptTokens: number;
  readonly tokens: number;
  /** Null: compared and identical. */
  readonly difference: Difference | null;
  /** Why nothing was compared: both routes refused it alike. Null: it was. */
  readonly skipped: string | null;
};

type Print = (line: string) => void;

export async function runVerify(argv: readonly string[], print: Print): Promise<number> {
  if (argv.includes('--help')) {
    print(verifyHelp);
    return 0;
  }
  const { apiUrl, model, flags } = readWords(argv);
  if (apiUrl !== null) {
    if (flags.length > 0) {
      throw new Fault('usage', `verify: ${flags[0]} starts nothing with --api-url; leave it away`);
    }
    return await verify(apiUrl, model, print);
  }
  const counts = ['context', 'generate', 'baseline'].map((kind) => `--${kind}-worker-count=1`);
  const deployment = await startDeployment({
    flags: [...counts, '--local-prefill-tokens=0', ...flags],
  });
  try {
    return await verify(deployment.url, model, print);
  } finally {
    await deployment.stop();
  }
}

/** The exit code. @param url of a gateway. */
export async function verify(url: string, model: string | null, print: Print): Promise<number> {
  const rows: Row[] = [];
  const ofModel = model === null ? {} : { model };
  for (const [index, shape] of shapes.entries()) {
    rows.push(await compareRoutes(url, await bodyOf(url, shape, index, ofModel), shape.name));
  }
  print(report(rows));
  const skipped = rows.filter((row) => row.skipped !== null).map((row) => row.name);
  const differences = rows.flatMap(({ name, difference }) =>
    difference === null ? [] : [{ name, ...difference }],
  );
  const tokens = rows.reduce((sum, row) => sum + row.tokens, 0);
  const compared = rows.length - skipped.length;
  const ok = differences.length === 0 && compared > 0;
  const identical = compared - differences.length;
  print(`\n${identical} of ${compared} prompts identical, ${tokens} tokens compared`);
  print(
    JSON.stringify({ ok, prompts: rows.length, compared, identical, tokens, skipped, differences }),
  );
  return ok ? 0 : 1;
}

async function bodyOf(url: string, shape: Shape, salt: number, ofModel: Body): Promise<Body> {
  if (shape.size === null) return { ...shape.body(''), ...ofModel };
  const count = async (filler: string): Promise<number> => {
    const body = { ...shape.body(filler), ...ofModel, max_tokens: 1 };
    try {
      return (await transcribe(url, body, 'aggregated')).promptTokens;
    } catch (thrown) {
      // Longer than the model's context: the longest that fits will have to do.
      if (isTooLong(thrown)) return Number.POSITIVE_INFINITY;
      throw wayMissing(thrown);
    }
  };
  const filler = await fillTo(shape.size, salt, count);
  return { ...shape.body(filler), ...ofModel };
}

async function compareRoutes(url: string, body: Body, name: string): Promise<Row> {
  const whole = await tried(() => transcribe(url, body, 'aggregated'));
  const split = await tried(() => transcribe(url, body, 'disaggregated'));
  if (whole instanceof Refusal || split instanceof Refusal) {
    const [a, b] = [whole, split].map((one) =>
      one instanceof Refusal ? one.message : 'an answer',
    );
    if (whole instanceof Refusal && split instanceof Refusal && whole.code === split.code) {
      return { name, promptTokens: 0, tokens: 0, difference: null, skipped: whole.code ?? a ?? '' };
    }
    const difference = { token: 0, what: `${a} | ${b}` };
    return { name, promptTokens: 0, tokens: 0, difference, skipped: null };
  }
  const why = shortfall(split, whole);
  const difference = firstDifference(whole, split);
  return {
    name,
    promptTokens: whole.promptTokens,
    tokens: whole.tokens,
    difference: difference ?? (why === null ? null : { token: 0, what: why }),
    skipped: null,
  };
}

async function tried<T>(run: () => Promise<T>): Promise<T | Refusal> {
  try {
    return await run();
  } catch (thrown) {
    if (thrown instanceof Refusal && thrown.status < 500) return thrown;
    throw wayMissing(thrown);
  }
}

/** What makes comparing impossible, as opposed to what makes answers differ. */
function wayMissing(thrown: unknown): unknown {
  if (!(thrown instanceof Refusal)) return thrown;
  return new Fault('no_worker', `verify: the gateway answers ${thrown.status}: ${thrown.message}`);
}

function isTooLong(thrown: unknown): boolean {
  return thrown instanceof Refusal && thrown.code === 'context_length_exceeded';
}

function report(rows: readonly Row[]): string {
  return table([
    ['prompt', 'prompt tokens', 'tokens', 'identical', 'first difference'],
    ...rows.map(({ name, promptTokens, tokens, difference, skipped }) =>
      skipped === null
        ? [
            name,
            String(promptTokens),
            String(tokens),
            difference === null ? 'yes' : 'NO',
            difference === null ? '' : `token ${difference.token}: ${difference.what}`,
          ]
        : [name, '', '', 'skipped', skipped],
    ),
  ]);
}

function readWords(argv: readonly string[]) {
  let apiUrl: string | null = null;
  let model: string | null = null;
  const flags: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const [name = '', inline] = (argv[i] ?? '').split(/=(.*)/s);
    if (name !== '--api-url' && name !== '--model') {
      flags.push(argv[i] ?? '');
      continue;
    }
    const value = inline ?? argv[++i];
    if (value === undefined || value === '')
      throw new Fault('usage', `${name}: a value is missing`);
    if (name === '--model') model = value;
    else apiUrl = value.replace(/\/+$/, '');
  }
  return { apiUrl, model, flags };
}
