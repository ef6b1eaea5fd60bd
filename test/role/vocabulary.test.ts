// Requests with a grammar wait for the vocabulary, all others pass; the vocabulary itself, out of the
// built-in model's files, in its real thread.

import { expect, test } from 'bun:test';
import { makeVocabulary, type Vocabulary } from '../../src/grammar/vocabulary.ts';
import { openModel } from '../../src/model/folder.ts';
import type { EngineCommand, EngineEvent, Load } from '../../src/protocol/engine.ts';
import { neutralSampling, type Sampling } from '../../src/protocol/request.ts';
import { loadVocabulary, withVocabulary } from '../../src/role/vocabulary.ts';
import { demoTokens } from '../grammar/vocabulary-world.ts';

const load: Load = {
  running: 0,
  waiting: 0,
  slots: 1,
  freeTokens: 1,
  pendingTokens: 0,
  decoding: 0,
  prefixKeys: [],
};

function rig() {
  const log: string[] = [];
  const events: EngineEvent[] = [];
  const loads: PromiseWithResolvers<Vocabulary>[] = [];
  const engine = {
    submit: (command: EngineCommand) => log.push(`${command.type} ${command.requestId}`),
    listen: () => undefined,
    load: () => load,
    learn: () => log.push('learn'),
  };
  const port = withVocabulary(engine, () => {
    const next = Promise.withResolvers<Vocabulary>();
    loads.push(next);
    return next.promise;
  });
  port.listen((event) => events.push(event));
  const generate = (requestId: string, changes: Partial<Sampling> = {}): void => {
    const sampling = { ...neutralSampling, seed: 1, maxTokens: 1, ...changes };
    port.submit({
      type: 'generate',
      requestId,
      promptIds: [1],
      sampling,
      priority: 0,
      source: 'local',
    });
  };
  return { log, events, loads, port, generate };
}

const grammar = { kind: 'json_object' } as const;
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('held until the vocabulary is there, loaded once, others pass', async () => {
  const { log, loads, port, generate } = rig();
  generate('a', { grammar });
  generate('b');
  generate('c', { grammar });
  generate('gone', { grammar });
  port.submit({ type: 'abort', requestId: 'gone' });
  port.submit({ type: 'abort', requestId: 'b' });
  expect(log).toEqual(['generate b', 'abort b']);
  expect(loads).toHaveLength(1);
  loads[0]?.resolve(makeVocabulary([]));
  await settled();
  generate('d', { grammar });
  expect(log.slice(2)).toEqual(['learn', 'generate a', 'generate c', 'generate d']);
  expect(loads).toHaveLength(1);
});

test('who waits is refused when it cannot be had, and the next request tries again', async () => {
  const { log, events, loads, generate } = rig();
  generate('a', { grammar });
  loads[0]?.reject(new Error('no such file'));
  await settled();
  expect(events).toMatchObject([{ type: 'refused', requestId: 'a', code: 'engine' }]);
  generate('b', { grammar });
  expect(loads).toHaveLength(2);
  loads[1]?.resolve(makeVocabulary([]));
  await settled();
  expect(log).toEqual(['learn', 'generate b']);
});

test('out of the model’s files, without what is no text', async () => {
  const { tokenizer, tokenizerConfig, config } = openModel('tdist/demo');
  const order = { tokenizer, tokenizerConfig, vocabSize: config.vocabSize, eosIds: [2, 9] };
  const { bytes, offsets, size } = await loadVocabulary(order);
  expect(size).toBe(config.vocabSize);
  for (const [id, token] of demoTokens.entries()) {
    const found = bytes.subarray(offsets[id] ?? 0, offsets[id + 1] ?? 0);
    const wanted = id === 9 ? new Uint8Array() : (token ?? new Uint8Array());
    expect(Buffer.compare(found, wanted)).toBe(0);
  }
  const broken = { ...order, tokenizer: new Uint8Array([1]) };
  await expect(loadVocabulary(broken)).rejects.toMatchObject({ code: 'config' });
});
