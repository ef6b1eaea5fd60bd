// The two-node deployment of deploy/ on two hosts (hosts.ts): the same greedy tokens as a baseline
// worker's, over a fast link, over 100 Mbit/s with 10 ms each way, and after a link that was cut in the
// middle of a request.

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { ask, type ChatBody, question, type Streamed, stream, type Timing } from './chat.ts';
import { startAll } from './deployment.ts';
import { type Host, Hosts, hostsRefusal, startRelay } from './hosts.ts';
import type { Program } from './program.ts';
import { prompts } from './prompts.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const refusal = hostsRefusal();

/** What a request across hosts looks like. */
const across = {
  routes: ['disaggregated'],
  kvPaths: ['object'],
  /** So much has come to the node when a request is in the middle of its transfer: 7 MB in all. */
  middleBytes: 2 ** 20,
} as const;

/** … while the link is being mended. */
const healing = { routes: ['disaggregated', 'local'], kvPaths: ['object', 'none'] } as const;
type Across = {
  readonly routes: readonly (typeof healing.routes)[number][];
  readonly kvPaths: readonly (typeof healing.kvPaths)[number][];
};

const multinode = resolve(
  import.meta.dir,
  '../../deploy/deploy_llama_8b_disaggregated_multinode.sh',
);
const teardown = resolve(import.meta.dir, '../../deploy/teardown.sh');
const planePort = 4223; // each host has all ports to itself
const relayPort = 4333;
const apiSocket = world.path('api.sock');
const url = 'http://localhost';
/** Beyond this a request is late, whatever happens: the gateway's queue and a silent worker's end. */
const requestMs = 60_000;

function named(name: RegExp): ChatBody {
  const found = prompts.find((prompt) => name.test(prompt.name));
  if (found === undefined) throw new Error(`no prompt ${name}`);
  return found.body;
}

const long = named(/1500/);
const bodies: readonly ChatBody[] = [
  question('What is the capital of France?', { max_tokens: 60 }),
  question('Count from 1 to 25.', { max_tokens: 60 }),
  { ...long, max_tokens: 60 },
];
const cutBody: ChatBody = { ...named(/2000/), max_tokens: 60 };

const timed = { headers: { 'x-tdist-timing': '1' } };
const asked = (body: ChatBody): ChatBody => ({ ...body, stream_options: { include_usage: true } });

function part(host: Host, role: 'context' | 'generate', headUrl: string): Program {
  const folder = world.path(`run-${host.address}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const env = { TDIST: world.executable, TDIST_RUN_DIR: folder, MODEL: 'tdist/demo' };
  return host.start([multinode, role, '--head-url', headUrl], env);
}

async function endPart(host: Host, program: Program): Promise<void> {
  const env = { TDIST_RUN_DIR: world.path(`run-${host.address}`) };
  const { code, stdout } = await host.start([teardown], env).exit();
  expect([code, stdout.join('\n')]).toEqual([0, expect.stringContaining('stopped: script')]);
  await program.exit();
}

describe.skipIf(refusal !== null)(`two hosts${refusal === null ? '' : ` (no: ${refusal})`}`, () => {
  const wanted: Streamed[] = [];
  let hosts: Hosts;
  let head: Program;
  let node: Program;

  const viaHead = { ...timed, unix: apiSocket };

  async function expectSameTokens(wanting: Across = across): Promise<void> {
    for (const [index, body] of bodies.entries()) {
      const found = await stream(url, asked(body), viaHead);
      expect(found.error).toBeNull();
      expect(found.pieces).toEqual([...(wanted[index]?.pieces ?? [])]);
      expect(found.finish).toBe(wanted[index]?.finish ?? 'none');
      expect(wanting.routes).toContain(routeOf(found.response));
      expect(wanting.kvPaths).toContain(kvPathOf(found.usage?.tdist));
    }
  }

  beforeAll(async () => {
    const baseline = await startAll(world, ['--baseline-worker-count=1']);
    for (const body of bodies) wanted.push(await stream(baseline.url, asked(body)));
    await baseline.program.stop();
    hosts = await Hosts.open(world);
    head = part(hosts.head, 'context', `nats://${hosts.head.address}:${planePort}`);
    await head.line('Now start the generate worker');
    await startRelay(hosts.head, {
      listen: { path: apiSocket },
      target: { host: '127.0.0.1', port: 8005 },
      delayMs: 0,
      tellBytes: Number.MAX_SAFE_INTEGER,
    });
  });

  afterAll(async () => {
    await world.stopAll();
  });

  test('answer with the tokens of a baseline worker', async () => {
    expect(wanted.map(({ usage }) => usage?.prompt_tokens ?? 0).at(-1)).toBeGreaterThan(1400);
    node = part(hosts.node, 'generate', `nats://${hosts.head.address}:${planePort}`);
    await head.line('Serving on http://');
    await expectSameTokens();
    await endPart(hosts.node, node);
  });

  test('and over 100 Mbit/s with 10 ms each way', async () => {
    await hosts.shape();
    relay = await startRelay(hosts.node, {
      listen: { host: hosts.node.address, port: relayPort },
      target: { host: hosts.head.address, port: planePort },
      delayMs: 10,
      tellBytes: across.middleBytes,
    });
    node = part(hosts.node, 'generate', `nats://${hosts.node.address}:${relayPort}`);
    await untilServed(viaHead, bodies[0]);
    await expectSameTokens();
    expect(await roundTripMs(hosts.node)).toBeGreaterThan(20);
  });

  let relay: Program;
  let asks = 0;

  test('a link cut in the middle ends the request in time, and later ones work again', async () => {
    relay.signal('SIGUSR1');
    await relay.line('armed');
    const linesBefore = head.lines().length;
    const outage = node.lines().length;
    const beganMs = performance.now();
    const cutShort = ask(url, cutBody, viaHead);
    await relay.line('passed');
    await hosts.cut();
    const { response, body } = await cutShort;
    expect(performance.now() - beganMs).toBeLessThan(requestMs);
    if (response.ok) {
      expect(healing.routes).toContain(routeOf(response));
    } else {
      expect(response.status).toBeGreaterThanOrEqual(500);
      expect(body.error?.code).toMatch(/^[a-z_]+$/);
      expect(body.error?.message).not.toBe('');
    }
    expect(await head.line('Worker left', linesBefore)).toContain('worker=generate-');
    await node.line('unreachable', outage); // its connection is given up, not merely late
    await hosts.restore();
    await node.line('Request plane connected', outage);
    await until('the gateway to know of it', async () => {
      const health = await fetch(`${url}/health`, { unix: apiSocket });
      return health.ok;
    });
    // At once: none is lost to the connection that was cut, though KV may take its time to cross again.
    await expectSameTokens(healing);
    await until('KV to cross again', async () => {
      const { usage } = await stream(url, asked(question(`Hello ${asks++}`)), viaHead);
      return kvPathOf(usage?.tdist) === 'object';
    });
    await expectSameTokens();
    await endPart(hosts.node, node);
    await endPart(hosts.head, head);
  });

  test('nothing of them was ever outside of them', async () => {
    await hosts[Symbol.asyncDispose]();
    const shown = world.spawn(['/usr/sbin/ip', '-o', 'link'], world.env);
    expect((await shown.exit()).stdout.join('\n')).not.toContain('tdist-');
  });
});

function routeOf(response: Response): (typeof healing.routes)[number] {
  return response.headers.get('x-tdist-route') as (typeof healing.routes)[number]; // then compared
}

function kvPathOf(timing: Timing | undefined): (typeof healing.kvPaths)[number] {
  return timing?.kv_path as (typeof healing.kvPaths)[number]; // then compared
}

/** To NATS and back, as `tdist doctor` on that host measures it. */
async function roundTripMs(host: Host): Promise<number> {
  const plane = `--request-plane-uri=nats://${host.address}:${relayPort}`;
  const { code, stdout } = await host
    .start([world.executable, 'doctor', '--role=generate', plane])
    .exit();
  const text = stdout.join('\n');
  expect([code, text]).toEqual([0, expect.stringContaining('2 alive')]);
  return Number(/round trip (\d+\.\d) ms/.exec(text)?.[1]);
}

async function untilServed(
  options: { readonly unix: string },
  body: ChatBody | undefined,
): Promise<void> {
  await until(
    'an answer across the link',
    async () => (await ask(url, body ?? question('Hello'), options)).response.ok,
    2 * requestMs,
  );
}

testNothingLeft(world);
