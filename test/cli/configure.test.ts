// Values to a role's configuration: defaults by role, the seed's forms, refusals and warnings.

import { describe, expect, test } from 'bun:test';
import { configText, processName, type RoleConfig } from '../../src/cli/config.ts';
import { configure, roleOf } from '../../src/cli/configure.ts';
import { type Env, parseFlags } from '../../src/cli/parse.ts';

function configured(words: string, env: Env = {}) {
  const parsed = parseFlags(words.split(' ').filter(Boolean), env);
  const role = roleOf(parsed.values);
  if (role === null) throw new Error('no role');
  return configure(parsed, role, env);
}

const config = (words: string, env: Env = {}): RoleConfig => configured(words, env).config;

const seedFlags =
  '--request-plane-uri host-1:4223 --model-name neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8 ' +
  '--kv-cache-dtype fp8 --dtype auto --worker-name llama --disable-async-output-proc ' +
  '--disable-log-stats --max-model-len 3500 --max-batch-size 10000 --gpu-memory-utilization 0.9 ' +
  '--context-tp-size 1 --generate-tp-size 1';

describe('numbers that contradict each other are refused with both', () => {
  test.each([
    [
      '--role all --starting-metrics-port 8004',
      '--api-server-port 8005 and --starting-metrics-port 8004 (to 8005) need the same port 8005',
    ],
    [
      '--role all --starting-metrics-port 4220 --generate-worker-count 4',
      '--request-plane-uri 4223 and --starting-metrics-port 4220 (to 4223) need the same port 4223',
    ],
    [
      '--role all --api-server-port 4223',
      '--api-server-port 4223 and --request-plane-uri 4223 need the same port 4223',
    ],
    [
      '--role generate --initialize-request-plane --starting-metrics-port 4223 --data-plane-host 0.0.0.0',
      '--request-plane-uri 4223 and --starting-metrics-port 4223 need the same port 4223',
    ],
    [
      '--role context --block-tokens 128 --max-model-len 100',
      '--block-tokens 128 is more than --max-model-len 100: no block would ever be full',
    ],
  ])('%s', (words, message) => {
    expect(() => config(words)).toThrow(message);
  });

  test.each([
    '--role all --starting-metrics-port 8006',
    '--role all --starting-metrics-port 8005 --api-server-port 0',
    '--role all --starting-metrics-port 8005 --data-plane-host 10.0.0.5',
    '--role all --starting-metrics-port 4223 --request-plane-uri localhost:0',
    '--role generate --starting-metrics-port 4223',
    '--role all --api-server-port 4223 --no-initialize-request-plane',
    '--role context --max-model-len 32', // the default block is longer
    '--role api --block-tokens 128 --max-model-len 100', // neither is the gateway's
  ])('%s: fine', (words) => {
    expect(() => config(words)).not.toThrow();
  });
});

test.each([
  ['', 'float32'],
  ['--kv-cache-dtype auto', 'float32'],
  ['--kv-cache-dtype fp32', 'float32'],
  ['--kv-cache-dtype fp16', 'float16'],
  ['--kv-cache-dtype bf16', 'bfloat16'],
  ['--kv-cache-dtype int8', 'int8'],
  ['--kv-cache-dtype fp8_e4m3', 'fp8'],
])('%s: blocks hold %s', (words, kvDtype) => {
  expect(config(`--role context ${words}`)).toMatchObject({ kvDtype });
  expect(config(`--role all ${words}`)).toMatchObject({ worker: { kvDtype } });
});

describe('--starting-metrics-port', () => {
  test('each worker has the next one; none without the flag', () => {
    expect(config('--role generate')).toMatchObject({ metricsPort: null });
    const third = { TDIST_WORKER_ID: '2' };
    expect(config('--role generate --starting-metrics-port 9100', third)).toMatchObject({
      metricsPort: 9102,
    });
  });

  test('the last one must be a port, too', () => {
    const high = '--starting-metrics-port 65535';
    expect(config(`--role context ${high}`)).toMatchObject({ metricsPort: 65_535 });
    for (const words of [`--role context --context-worker-count 2 ${high}`, `--role all ${high}`]) {
      expect(() => config(words)).toThrow('65536');
    }
  });
});

describe('the seed’s three terminals', () => {
  test('context with the request plane', () => {
    const { config, warnings } = configured(
      `--context-worker-count 1 ${seedFlags} --initialize-request-plane`,
      { VLLM_WORKER_ID: '0', CUDA_VISIBLE_DEVICES: '0' },
    );
    expect(config).toMatchObject({
      role: 'worker',
      kind: 'context',
      workerCount: 1,
      planeUris: ['nats://host-1:4223'],
      initializePlane: true,
      servedName: 'llama',
      maxModelLen: 3500,
      requestCountMax: 10_000,
      kvDtype: 'fp8',
      statistics: false,
    });
    expect(warnings).toEqual(['--disable-async-output-proc has no meaning here']);
  });

  test('generate, with the role as well', () => {
    const env = { VLLM_WORKER_ID: '1' };
    const worker = config(`--role generate --generate-worker-count 1 ${seedFlags}`, env);
    expect(worker).toMatchObject({ kind: 'generate', workerIndex: 1, initializePlane: false });
    expect(processName(worker)).toBe('generate-1');
  });

  test('api server', () => {
    const words =
      '--role api --tokenizer ./m --request-plane-uri host-1:4223 --api-server-host host-1 ' +
      '--model-name llama --api-server-port 8005';
    expect(config(words)).toMatchObject({
      role: 'api',
      host: 'host-1',
      port: 8005,
      servedModel: 'llama',
      tokenizerFolder: './m',
    });
  });
});

describe('roles', () => {
  test('one count alone means its role', () => {
    const role = (words: string) => roleOf(parseFlags(words.split(' ').filter(Boolean), {}).values);
    expect(role('--baseline-worker-count 2')).toBe('baseline');
    expect(role('--context-worker-count 1 --generate-worker-count 0')).toBe('context');
    expect(role('--context-worker-count 1 --generate-worker-count 1')).toBeNull();
    expect(role('')).toBeNull();
    expect(role('--role all --context-worker-count 1')).toBe('all');
  });

  test('all: one of each, unless a count is given', () => {
    expect(config('--role all')).toMatchObject({
      initializePlane: true,
      workerCounts: { context: 1, generate: 1, baseline: 0 },
    });
    expect(config('--role all --baseline-worker-count 2')).toMatchObject({
      workerCounts: { context: 0, generate: 0, baseline: 2 },
    });
    expect(config('--role all --no-initialize-request-plane')).toMatchObject({
      initializePlane: false,
    });
  });

  test('all: --model-name is for the workers, not a restriction of the gateway', () => {
    expect(config('--role all --model-name ./m')).toMatchObject({
      api: { servedModel: null },
      worker: { modelName: './m' },
    });
  });

  test('where prompts are computed: measured, a threshold, or always at a context worker', () => {
    expect(config('--role api')).toMatchObject({ localPrefillTokens: null });
    expect(config('--role api --local-prefill-tokens 0')).toMatchObject({ localPrefillTokens: 0 });
    const env = { TDIST_LOCAL_PREFILL_TOKENS: '300' };
    expect(config('--role all', env)).toMatchObject({ api: { localPrefillTokens: 300 } });
  });

  test('how many workers an answer may lose', () => {
    expect(config('--role api')).toMatchObject({ migrationLimit: 3 });
    const env = { TDIST_MIGRATION_LIMIT: '0' };
    expect(config('--role all', env)).toMatchObject({ api: { migrationLimit: 0 } });
    expect(() => config('--role api --migration-limit 101')).toThrow('--migration-limit');
  });

  test('defaults of a worker', () => {
    expect(config('--role baseline')).toMatchObject({
      planeUris: ['nats://localhost:4223'],
      modelName: 'tdist/demo',
      servedName: 'llama',
      workerCount: 1,
      maxModelLen: null,
      kvPath: 'auto',
      toolParser: 'auto',
      reasoningParser: 'auto',
      kvObject: { storage: 'memory', bytesMax: 2 ** 30, ttlMs: 600_000, replicaCount: 1 },
      natsFiles: { credsFile: null, nkeyFile: null, caFile: null, certFile: null, keyFile: null },
      blockTokens: 64,
      namespace: 'tdist',
      logLevel: 1,
    });
  });

  test('how a model writes calls and thoughts, by the names of vLLM', () => {
    const words = '--tool-call-parser llama3_json --reasoning-parser deepseek_r1';
    const parsers = { toolParser: 'llama3_json', reasoningParser: 'think' };
    expect(config(`--role generate ${words}`)).toMatchObject(parsers);
    expect(config(`--role all ${words}`)).toMatchObject({ worker: parsers });
  });

  test('the bucket for KV between hosts', () => {
    const words =
      '--kv-object-storage file --kv-object-max-bytes 64MiB --kv-object-ttl 1.5m --kv-object-replicas 3';
    const kvObject = { storage: 'file', bytesMax: 2 ** 26, ttlMs: 90_000, replicaCount: 3 };
    expect(config(`--role context ${words}`)).toMatchObject({ kvObject });
    expect(config(`--role all ${words}`)).toMatchObject({ worker: { kvObject } });
  });

  test('the configuration is frozen throughout', () => {
    const all = config('--role all');
    expect(Object.isFrozen(all)).toBe(true);
    expect(all.role === 'all' && Object.isFrozen(all.api) && Object.isFrozen(all.planeUris)).toBe(
      true,
    );
  });
});

describe('refused', () => {
  test.each([
    ['--role generate --context-tp-size 2', '--context-tp-size 2: this version offers only 1'],
    ['--role context --context-worker-count 0', 'leaves --role context nothing to do'],
    ['--role all --context-worker-count 0', 'without a worker'],
    ['--role api --namespace a.b', 'wanted letters, digits'],
    ['--role api --cors-origin http://a/', 'wanted * or SCHEME://HOST[:PORT] without a path'],
    ['--role api --tls-cert a.pem', '--tls-cert needs --tls-key beside it'],
    ['--role all --tls-key a.key', '--tls-key needs --tls-cert beside it'],
    ['--role api --max-body-bytes 11MiB', 'a size of at least 1024 bytes'],
    ['--role api --request-plane-uri http://h', 'http'],
    ['--role all --request-plane-uri a,b', 'names 2 servers, and we start only one; add --no-init'],
    [
      '--role all --request-plane-uri tls://u:geheim@h',
      'tls://***@h:4223: the nats-server that we',
    ],
    [
      '--role all --nats-creds-file x',
      '--nats-creds-file: the nats-server that we start knows only',
    ],
    [
      '--role context --initialize-request-plane --nats-ca-file x',
      '--nats-ca-file: the nats-server',
    ],
  ])('%s', (words, part) => expect(() => config(words)).toThrow(part));

  test('a server of one’s own may be a cluster with TLS and credentials', () => {
    const rest = '--request-plane-uri tls://a,tls://b --nats-creds-file c --nats-ca-file d';
    const files = { credsFile: 'c', nkeyFile: null, caFile: 'd', certFile: null, keyFile: null };
    for (const role of ['api', 'generate', 'all --no-initialize-request-plane']) {
      expect(config(`--role ${role} ${rest}`)).toMatchObject({
        planeUris: ['tls://a:4223', 'tls://b:4223'],
        natsFiles: files,
      });
    }
  });

  test('a worker number that is none', () => {
    const env = { VLLM_WORKER_ID: 'a' };
    expect(() => config('--role context', env)).toThrow('VLLM_WORKER_ID="a"');
  });
});

describe('warned', () => {
  test.each([
    ['--enable-prefix-caching', 0],
    ['--no-enable-prefix-caching', 0],
    ['--enable-chunked-prefill', 0],
    ['--no-enable-chunked-prefill', 1],
    ['--enforce-eager --dummy-worker-count 0', 1],
    ['--dummy-worker-count 3', 1],
    ['--dtype half --kv-cache-dtype int8', 1],
    ['--dtype float32 --kv-cache-dtype fp32', 0],
    ['--nats-url nats://h:1', 1],
  ])('%s: %d', (words, count) => {
    expect(configured(`--role context ${words}`).warnings).toHaveLength(count);
    const forApi = words.includes('nats-url') ? count : 0;
    expect(configured(`--role api ${words}`).warnings).toHaveLength(forApi);
  });

  test('another role’s flag is accepted in silence', () => {
    expect(configured('--role api --device cuda --context-tp-size 4').warnings).toEqual([]);
  });
});

describe('request plane addresses', () => {
  const uris = (text: string) => config(`--role api --request-plane-uri ${text}`).planeUris;

  test.each<[string, string[]]>([
    ['host', ['nats://host:4223']],
    ['host:5', ['nats://host:5']],
    ['nats://host', ['nats://host:4223']],
    ['tls://host:5', ['tls://host:5']],
    ['nats://u:p%40@host:5', ['nats://u:p%40@host:5']],
    ['nats://token@host', ['nats://token@host:4223']],
    ['[::1]:5', ['nats://[::1]:5']],
    ['localhost:0', ['nats://localhost:0']],
    ['a,b:1', ['nats://a:4223', 'nats://b:1']],
  ])('%s', (text, wanted) => expect(uris(text)).toEqual(wanted));

  test('the old name counts only where the new one is absent', () => {
    expect(config('--role api --nats-url h:1').planeUris).toEqual(['nats://h:1']);
    const both = config('--role api --nats-url h:1 --request-plane-uri g:2');
    expect(both.planeUris).toEqual(['nats://g:2']);
  });

  test('no API key in the dump, in the configuration, or in an error', () => {
    const keyed = config('--role all --api-key sk-geheim,sk-zwei');
    expect(configText(keyed)).not.toMatch(/sk-|[0-9a-f]{64}/);
    expect(JSON.parse(configText(keyed)).api.apiKeys).toEqual(['***', '***']);
    expect(JSON.stringify(keyed)).not.toContain('sk-');
    for (const words of [
      ['--role=api', '--api-key=sk-geheim,,x'],
      ['--role=api', '--api-key=sk-geheim\u00e4'],
    ]) {
      const read = () => configure(parseFlags(words, {}), 'api', {});
      expect(read).toThrow('--api-key');
      expect(read).not.toThrow('geheim');
    }
  });

  test('no secret in the dump', () => {
    const text = configText(config('--role api --request-plane-uri nats://u:geheim@h,tok@g'));
    expect(text).not.toMatch(/geheim|tok@/);
    expect(JSON.parse(text).planeUris).toEqual(['nats://***@h:4223', 'nats://***@g:4223']);
  });
});
