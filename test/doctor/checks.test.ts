// Every check's bad case, and that the good one is good, from facts alone.

import { describe, expect, test } from 'bun:test';
import { type Finding, findingsJson, findingsTable, hasFailed } from '../../src/doctor/finding.ts';
import {
  checkCache,
  checkCpu,
  checkPort,
  checkShm,
  type PortFacts,
} from '../../src/doctor/host-check.ts';
import { checkLibrary, checkMemory, checkModel, tried } from '../../src/doctor/model-check.ts';
import {
  checkForeignServer,
  checkJetStream,
  checkOwnServer,
  checkPayload,
  checkReach,
  checkRights,
  checkSkew,
  type PlaneAnswers,
} from '../../src/doctor/plane-check.ts';
import { openModel } from '../../src/model/folder.ts';
import { Fault } from '../../src/std/fault.ts';

const mib = 2 ** 20;
const need = { messageBytes: 100_000, kvBytes: 16 * mib };
const answers: PlaneAnswers = {
  maxPayloadBytes: 8 * mib,
  roundTripMs: 0.4,
  jetStream: { state: 'on', memoryLeft: null, storageLeft: null, denied: null },
  skew: { ms: 3, uncertainMs: 1, how: 'test' },
};
const port: PortFacts = {
  name: 'api port',
  host: '127.0.0.1',
  port: 8005,
  state: 'free',
  holder: null,
  tdist: null,
  flag: '--api-server-port',
};

function expectBad(found: Finding, status: 'warn' | 'fail', ...words: readonly string[]): void {
  expect(found.status).toBe(status);
  expect(found.mend).not.toBeNull();
  const line = `${found.finding}; ${found.mend}`;
  expect(line).not.toContain('\n');
  for (const word of words) expect(line).toContain(word);
}

describe('the request plane', () => {
  const facts = { address: 'nats://h:4223', trouble: null, version: '2.10.1' };
  const trouble = 'request plane nats://h:4223 unreachable: connection refused; trying again';

  test('reached, not there, refused', () => {
    expect(checkReach(facts).status).toBe('ok');
    const gone = checkReach({ ...facts, trouble, version: null });
    expectBad(gone, 'fail', 'connection refused', '--initialize-request-plane');
    expect(gone.finding).not.toContain('trying again');
    expectBad(checkReach({ ...facts, trouble }), 'fail', 'user:password@');
  });

  test('a server of our own: to be started, without a program, already there', () => {
    expectBad(checkOwnServer('a:1', { path: '/x/nats-server' }), 'warn', '/x/nats-server');
    expectBad(checkOwnServer('a:1', { missing: 'nats-server was not found' }), 'fail', 'not found');
    expectBad(checkForeignServer(facts), 'warn', '2.10.1', 'another port');
  });

  test('rights', () => {
    expect(checkRights('ns', answers).status).toBe('ok');
    expectBad(checkRights('ns', { ...answers, roundTripMs: null }), 'fail', 'ns.>');
    expectBad(checkRights('ns', { ...answers, roundTripMs: 300 }), 'warn', '300.0 ms');
  });

  test('JetStream: off, denied, too small; a failure only where KV must go through it', () => {
    const on = { state: 'on', memoryLeft: null, storageLeft: null, denied: null } as const;
    const cases = [
      [{ state: 'off', why: 'not enabled' } as const, 'jetstream {}'],
      [{ ...on, denied: 'permissions violation' }, '$JS.API.>'],
      [{ ...on, storageLeft: mib }, 'max_file'],
      [{ ...on, memoryLeft: mib }, 'max_mem'],
    ] as const;
    expect(checkJetStream(on, need, true).status).toBe('ok');
    for (const [facts, mend] of cases) {
      expectBad(checkJetStream(facts, need, false), 'warn', mend);
      expectBad(checkJetStream(facts, need, true), 'fail', mend);
    }
  });

  test('max_payload', () => {
    expect(checkPayload(answers, need).status).toBe('ok');
    const small = { ...answers, maxPayloadBytes: 90_000 };
    expect(checkPayload(small, need).status).toBe('ok');
    const off = { ...small, jetStream: { state: 'off', why: 'off' } } as const;
    expectBad(checkPayload(off, need), 'warn', 'max_payload');
    expect(checkPayload(small, null).status).toBe('ok');
    expectBad(checkPayload({ ...answers, maxPayloadBytes: 4096 }, null), 'fail', '4 KiB');
  });

  test('clocks: beyond what the measurement may be off', () => {
    const skewed = (ms: number, uncertainMs: number): Finding =>
      checkSkew({ ...answers, skew: { ms, uncertainMs, how: 'test' } });
    expect(skewed(3, 1).status).toBe('ok');
    expect(skewed(-1500, 600).status).toBe('ok');
    expectBad(skewed(-1500, 400), 'warn', '1500 ± 400 ms behind', 'NTP');
    expectBad(checkSkew({ ...answers, skew: null }), 'warn', 'no time');
  });
});

describe('the machine', () => {
  test('ports', () => {
    expect(checkPort(port).status).toBe('ok');
    const taken = { ...port, state: 'taken', holder: 'python3 (pid 7)' } as const;
    expectBad(checkPort(taken), 'fail', '8005', 'python3 (pid 7)', '--api-server-port');
    expectBad(checkPort({ ...taken, tdist: 'gateway 1.2.3' }), 'warn', 'gateway 1.2.3');
    expectBad(checkPort({ ...taken, holder: null }), 'fail', 'cannot see');
    expectBad(checkPort({ ...port, state: 'absent' }), 'fail', 'no address of this machine');
    expectBad(checkPort({ ...port, state: 'denied' }), 'fail', '1023');
    expectBad(checkPort({ ...port, state: 'unknown' }), 'fail', '--api-server-port');
  });

  test('the processor', () => {
    const cpu = (...flags: readonly string[]): Finding => checkCpu({ flags, coreCount: 2 });
    expect(cpu('avx', 'avx2', 'fma', 'avx512f', 'avx512_vnni').finding).toContain('AVX-512, VNNI');
    expect(cpu('avx', 'avx2', 'fma', 'avx512f').finding).toContain('no VNNI');
    expect(cpu('avx2', 'fma', 'avx_vnni').finding).toContain('AVX2, AVX-VNNI');
    expectBad(cpu('avx'), 'warn', 'uses AVX ', 'host CPU');
    expectBad(cpu('sse4_2'), 'warn', 'uses SSE');
  });

  test('/dev/shm', () => {
    const shm = { totalBytes: 64 * mib, freeBytes: 60 * mib, options: 'rw,nosuid,noexec' };
    const arenas = { askedBytes: null, workerCount: 2, chosenBytes: 20 * mib };
    expect(checkShm(shm, arenas)).toMatchObject({
      status: 'ok',
      finding: expect.stringContaining('noexec does not matter'),
    });
    expectBad(checkShm(shm, { ...arenas, askedBytes: 64 * mib }), 'fail', '60 MiB', '--shm-size');
    expectBad(checkShm({ ...shm, freeBytes: 0 }, { ...arenas, chosenBytes: 0 }), 'fail', 'no room');
    expectBad(checkShm({ error: 'EACCES: permission denied' }, null), 'fail', 'EACCES', 'mount');
  });

  test('the cache folder', () => {
    expect(checkCache({ path: '/c', freeBytes: 100 }, 50).status).toBe('ok');
    expectBad(checkCache({ path: '/c', freeBytes: 10 }, 50 * mib), 'fail', '/c', 'XDG_CACHE_HOME');
  });
});

describe('the model', () => {
  test('files, library', async () => {
    const good = checkModel(await tried(() => openModel('tdist/demo')));
    expect(good.finding).toMatch(/^tdist\/demo: 8 layers.*digest [0-9a-f]{12}, text [0-9a-f]{12}$/);
    const gone = await tried(() => openModel('/no/such/folder'));
    expectBad(checkModel(gone), 'fail', '/no/such/folder', '--model-name');
    expect(checkLibrary({ value: '1.2' }).status).toBe('ok');
    expectBad(checkLibrary({ fault: 'found version 9' }), 'fail', 'found version 9', 'cache');
  });

  test('one of the hub: in the cache, in part, not at all', async () => {
    const model = await tried(() => openModel('tdist/demo', 'none', null, 'org/tiny'));
    const cached = { commit: 'c'.repeat(40), folder: '/f', missing: [] };
    const hub = { name: 'org/tiny', cacheDir: '/hub', offline: false, cached };
    expect(checkModel(model, hub).finding).toMatch(/^org\/tiny, in the cache at commit c{12}: 8/);
    const part = { ...cached, missing: ['model.safetensors', 'tokenizer.json'] };
    const words = ['/hub', 'missing: model.safetensors, tokenizer.json', 'tdist pull org/tiny'];
    expectBad(checkModel({ fault: '' }, { ...hub, cached: part }), 'warn', ...words);
    const nothing = { ...hub, cached: null };
    expectBad(checkModel({ fault: '' }, nothing), 'warn', 'org/tiny is not in /hub');
    expectBad(checkModel({ fault: '' }, { ...nothing, offline: true }), 'fail', 'HF_HUB_OFFLINE');
  });

  test('memory', () => {
    const value = { maxModelLen: 512, slots: 8, tokensMax: 4096, arenaBytes: mib };
    const facts = { freeBytes: mib, weightBytes: mib, wantedLen: 512 };
    const of =
      (sizing: Parameters<typeof checkMemory>[0]['sizings'][number]['sizing']) =>
      (wantedLen: number) =>
        checkMemory({ ...facts, wantedLen, sizings: [{ kind: 'context', sizing }] })[0];
    expect(of({ value })(512)?.status).toBe('ok');
    const short = of({ value })(4096);
    if (short === undefined) throw new Error('one for each kind');
    expectBad(short, 'warn', 'up to 512 instead of 4096');
    const none = of({ fault: new Fault('config', 'needs 9 MiB').message })(512);
    expect(none).toMatchObject({ status: 'fail', finding: expect.stringContaining('needs 9 MiB') });
  });
});

test('a table of lines, or JSON; only fail fails', () => {
  const list = [checkCpu({ flags: [], coreCount: 1 }), checkPort(port)];
  expect(hasFailed(list)).toBeFalse();
  expect(findingsTable(list).split('\n')).toEqual([
    expect.stringMatching(/^warn {2}cpu {7}1 core .*; use a newer/),
    'ok    api port  127.0.0.1:8005 is free',
    '1 ok, 1 warn, 0 fail',
  ]);
  const bad = [...list, checkPort({ ...port, state: 'absent' })];
  expect(JSON.parse(findingsJson(bad))).toEqual({ ok: false, checks: bad });
});
