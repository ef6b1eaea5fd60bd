// `tdist demo`: everything on free ports, the seed's question, the answer as it streams, who served it
// and where the time went. Succeeds only if the answer is right and the route was disaggregated.

import { ask, seedRequest, type Timing } from './ask.ts';
import { startDeployment } from './deployment.ts';
import { figure, table } from './statistics.ts';

const help = `Usage: tdist demo [flags of --role all]

Starts everything on free ports, asks one question, shows who answered it and where the time went.
Exit code 0 only if the answer is right and came through a context worker.
`;

export async function runDemo(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help')) {
    process.stdout.write(help);
    return 0;
  }
  const print = (text: string): void => {
    process.stdout.write(text);
  };
  // 0: every prompt goes through a context worker, however short.
  const deployment = await startDeployment({ flags: ['--local-prefill-tokens=0', ...argv] });
  try {
    print(`Ready after ${figure(deployment.readyMs)} ms at ${deployment.url}\n\n`);
    print(`> ${seedRequest.messages[0]?.content}\n`);
    const { text, timing, ttftMs } = await ask(deployment.url, seedRequest, print);
    const apiMiB = deployment.residentBytes('api') / 2 ** 20;
    print(`\n\n${report(timing)}\n`);
    print(`\nGateway's resident memory: ${figure(apiMiB)} MiB\n`);
    const ok = text.includes('Paris') && timing.route === 'disaggregated';
    print(ok ? '\nOK\n' : `\nFAILED: wanted "Paris" by route disaggregated\n`);
    const { readyMs } = deployment;
    print(`${JSON.stringify({ ok, text, readyMs, clientTtftMs: ttftMs, apiMiB, ...timing })}\n`);
    return ok ? 0 : 1;
  } finally {
    await deployment.stop();
  }
}

function report(timing: Timing): string {
  const transfer = `transfer (${timing.kv_path}, ${timing.kv_bytes} bytes of KV)`;
  return table([
    ['phase', 'ms', 'served by'],
    ['queue', figure(timing.queue_ms), 'gateway'],
    ['prefill', figure(timing.prefill_ms), timing.context_worker ?? '-'],
    ['time to first token', figure(timing.ttft_ms), ''],
    [transfer, figure(timing.transfer_ms), timing.generate_worker ?? '-'],
    ['total', figure(timing.total_ms), `route ${timing.route} (${timing.route_reason})`],
  ]);
}
