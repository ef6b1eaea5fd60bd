// The worker of the gateway's benchmark as a process: the real message room over the echo engine, with
// the built-in model's tokenizer. Runs until its parent ends.

import { shmReceive, shmSend } from '../../kv/shm-path.ts';
import { openModel } from '../../model/folder.ts';
import { openNatsBus } from '../../plane/nats.ts';
import { createWorkerNode } from '../../plane/worker.ts';
import { bindToSupervisor } from '../../role/parent.ts';
import { realClock } from '../../std/clock.ts';
import { realChance } from '../../std/prng.ts';
import { silentLog } from '../../telemetry/log.ts';
import { loadTokenizer } from '../../text/tokenizer.ts';
import { EchoEngine } from './echo-engine.ts';

/** Prompts of 100 KB and answers fit. */
export const contextTokens = 200_000;

const words = ' The capital of France is Paris, and the answer to most questions is a longer one.';

export async function runEchoWorker(uri: string): Promise<number> {
  bindToSupervisor();
  const model = openModel('tdist/demo');
  const { layers, kvHeads, headDim, vocabSize, eosIds } = model.config;
  const parse = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));
  const tokenizer = loadTokenizer({
    tokenizer: parse(model.tokenizer),
    tokenizerConfig: parse(model.tokenizerConfig),
  });
  const ids = tokenizer.encode(words, { addSpecialTokens: false });
  createWorkerNode({
    bus: openNatsBus({ uris: [uri], name: 'tdist bench worker', log: silentLog }),
    clock: realClock,
    log: silentLog,
    namespace: 'bench',
    workerId: `baseline-${realChance.id().slice(0, 12)}`,
    role: 'baseline',
    card: {
      model: 'echo',
      source: model.source,
      modelDigest: model.modelDigest,
      textDigest: model.textDigest,
      geometry: { layers, kvHeads, headDim, blockTokens: 64 },
      kvDtype: 'float32',
      maxModelLen: contextTokens,
      vocabSize,
      eosIds: [...eosIds],
    },
    host: 'bench',
    pid: process.pid,
    build: '0.0.0',
    engine: new EchoEngine(realClock, ids),
    kv: {
      send: { shm: shmSend, object: shmSend },
      receive: { shm: shmReceive, object: shmReceive },
    },
    kvPath: 'auto',
    objects: () => false,
    sees: () => false,
    assets: { tokenizer: model.tokenizer, tokenizerConfig: model.tokenizerConfig },
  }).setState('ready');
  return await new Promise<never>(() => undefined);
}
