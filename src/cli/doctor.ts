// `tdist doctor`: the words of its command line, which are a role's, and how its findings are shown.

import { examine } from '../doctor/doctor.ts';
import { findingsJson, findingsTable, hasFailed } from '../doctor/finding.ts';
import { printedHelp } from './asked-help.ts';
import { configure, roleOf } from './configure.ts';
import { hubOf } from './hub-env.ts';
import type { Output } from './output.ts';
import { type Env, parseFlags } from './parse.ts';

const help = `Usage: tdist doctor [flags of a role] [--json]

Checks what a deployment with these flags needs, before it starts or while it runs: NATS, its rights,
JetStream, max_payload and clock; ports; files and folders that flags name; processor; /dev/shm; the
device and its memory; ONNX Runtime; the model's files; whether the workers that are alive fit together. Without --role: everything on one host. A
--request-plane-uri that is given must answer, unless --initialize-request-plane or --role all starts it.
Changes nothing; takes up to three seconds where workers may be alive.

  --json    findings as JSON: {"ok", "checks": [{"name", "status", "finding", "mend"}]}
  --help    print this text; the other flags: tdist --help

Each line: ok | warn | fail, what was found, and the mend.
Exit codes: 0 nothing would fail, 1 something would, 2 wrong command line.`;

export async function runDoctor(
  argv: readonly string[],
  output: Output,
  env: Env,
): Promise<number> {
  if (printedHelp(argv, help, output)) return 0;
  const parsed = parseFlags(
    argv.filter((word) => word !== '--json'),
    env,
  );
  const { values, given } = parsed;
  const asked = roleOf(values);
  const { config } = configure(parsed, asked ?? 'all', env);
  const starts = config.role !== 'api' && config.initializePlane;
  const named = given.has('request-plane-uri') || given.has('nats-url');
  const findings = await examine({
    config,
    ownPlane: starts && (asked !== null || !named || given.has('initialize-request-plane')),
    needsObjects: values['kv-path'] === 'object',
    firstMetricsPort: values['starting-metrics-port'],
    hub: () => hubOf(env),
  });
  output.out(argv.includes('--json') ? findingsJson(findings) : findingsTable(findings));
  return hasFailed(findings) ? 1 : 0;
}
