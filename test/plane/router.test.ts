import { describe, expect, test } from 'bun:test';
import { idle } from '../../src/plane/in-flight.ts';
import { pairPath } from '../../src/plane/kv-path.ts';
import { chooseRoute, missingFor, type RouteQuestion, understand } from '../../src/plane/router.ts';
import type { Heartbeat } from '../../src/protocol/message.ts';
import { digest } from '../../src/std/hash.ts';
import { seededChance } from '../../src/std/prng.ts';
import { card, heartbeat, load, promptOf, routeQuestion } from './make.ts';

const question: RouteQuestion = { ...routeQuestion(), localPrefillTokens: 10 };

/** The choice in one word: `route c g`. */
function route(workers: readonly Heartbeat[], change: Partial<RouteQuestion> = {}): string {
  const choice = chooseRoute({ ...question, workers, ...change });
  switch (choice.route) {
    case 'disaggregated':
      return `pair ${choice.context.worker} ${choice.generate.worker}`;
    case 'local':
      return `local ${choice.generate.worker}`;
    case 'aggregated':
      return `aggregated ${choice.baseline.worker}`;
    case 'none':
      return `none: ${choice.reason}`;
  }
}

const c = heartbeat('c', 'context');
const g = heartbeat('g', 'generate');
const b = heartbeat('b', 'baseline');

describe('router', () => {
  test('a pair first, then a baseline, then the generate worker alone', () => {
    expect(route([c, g, b])).toBe('pair c g');
    expect(route([g, b])).toBe('aggregated b');
    expect(route([c, b])).toBe('aggregated b');
    expect(route([g])).toBe('local g');
    expect(route([b])).toBe('aggregated b');
  });

  test('short prompts stay with the generate worker', () => {
    expect(route([c, g, b], { promptTokens: 9 })).toBe('local g');
    expect(route([c, g], { promptTokens: 10 })).toBe('pair c g');
    expect(route([c, b], { promptTokens: 9 })).toBe('aggregated b');
    expect(route([c, g], { promptTokens: 1, localPrefillTokens: 0 })).toBe('pair c g');
  });

  test('a pair must understand each other and share memory', () => {
    const others: Heartbeat[] = [
      heartbeat('x', 'context', { host: 'host-2' }),
      heartbeat('x', 'context', { card: card({ kvDtype: 'int3' }) }),
      heartbeat('x', 'context', { card: card({ modelDigest: digest('other') }) }),
      ...(['layers', 'kvHeads', 'headDim', 'blockTokens'] as const).map((key) =>
        heartbeat('x', 'context', { card: card({ geometry: { ...card().geometry, [key]: 99 } }) }),
      ),
    ];
    for (const other of others) {
      expect(route([other, g])).toBe('local g');
      expect(route([other, c, g])).toBe('pair c g');
    }
    // The less loaded generate worker has no partner on its host.
    const busy = heartbeat('g2', 'generate', { load: load({ running: 5 }) });
    const alone = heartbeat('g3', 'generate', { host: 'host-3' });
    expect(route([c, busy, alone])).toBe('pair c g2');
  });

  test('through the object store across hosts, where both can use it; the flag decides', () => {
    const near = { objects: true };
    const far = { host: 'host-2', objects: true };
    const path = (...pair: readonly [Partial<Heartbeat>, Partial<Heartbeat>]): string => {
      const [one, two] = [heartbeat('c', 'context', pair[0]), heartbeat('g', 'generate', pair[1])];
      const found = pairPath(one, two);
      const chosen = chooseRoute({
        ...routeQuestion(),
        workers: [one, two],
        localPrefillTokens: 0,
      });
      expect(chosen.route).toBe(found === null ? 'local' : 'disaggregated');
      return found === null ? 'none' : `${found.path} ${found.reason}`;
    };
    expect(path({}, {})).toBe('shm same_host');
    expect(path(near, near)).toBe('shm same_host');
    expect(path(near, far)).toBe('object other_host');
    expect(path(near, { host: 'host-2' })).toBe('none');
    expect(path({ ...near, kvPath: 'object' }, near)).toBe('object flag');
    expect(path({ kvPath: 'object' }, {})).toBe('none');
    expect(path({ ...near, kvPath: 'shm' }, far)).toBe('none');
    expect(path({ ...near, kvPath: 'shm' }, { ...near, kvPath: 'object' })).toBe('none');
    expect(path({ kvPath: 'shm' }, {})).toBe('shm flag');
    const int8 = { card: card({ kvDtype: 'int8' }) };
    expect(path({ ...near, ...int8 }, far)).toBe('object other_host'); // the reader reads any dtype
  });

  test('only ready ones, none of the excluded', () => {
    expect(route([heartbeat('c', 'context', { state: 'draining' }), g])).toBe('local g');
    expect(route([c, g, b], { excluded: new Set(['c']) })).toBe('aggregated b');
    expect(route([c, g], { excluded: new Set(['g']) })).toBe(
      'none: no generate or baseline worker of llama can take it (1 context ready, 1 generate tried in vain)',
    );
    expect(route([heartbeat('g', 'generate', { state: 'starting' })])).toContain(
      '1 generate starting',
    );
    expect(route([])).toBe('none: no worker that serves llama is alive');
  });

  test('the least loaded, what is in flight counted; ties go round', () => {
    const g1 = heartbeat('g1', 'generate', { load: load({ running: 2, waiting: 1 }) });
    const g2 = heartbeat('g2', 'generate', { load: load({ running: 2 }) });
    expect(route([c, g1, g2])).toBe('pair c g2');
    expect(
      route([c, g1, g2], { inFlight: (id) => ({ ...idle, count: id === 'g2' ? 2 : 0 }) }),
    ).toBe('pair c g1');
    const equal = ['a', 'b', 'd'].map((id) => heartbeat(id, 'baseline'));
    const turns = [0, 1, 2, 3].map((turn) => route(equal, { turn }));
    expect(turns).toEqual(['aggregated a', 'aggregated b', 'aggregated d', 'aggregated a']);
  });

  test('a forced route and no other, whatever the prompt', () => {
    const forced = (name: 'disaggregated' | 'local' | 'aggregated', workers = [c, g, b]) =>
      route(workers, { forced: name, promptTokens: 1 });
    expect(forced('disaggregated')).toBe('pair c g');
    expect(forced('local')).toBe('local g');
    expect(forced('aggregated')).toBe('aggregated b');
    expect(forced('aggregated', [c, g])).toStartWith('none');
    expect(forced('local', [c, b])).toStartWith('none');
    expect(forced('disaggregated', [g, b])).toStartWith('none');
  });

  test('what a forced route lacks is said by name', () => {
    expect(missingFor('disaggregated', [c, g])).toBeNull();
    expect(missingFor('aggregated', [c, g])).toContain('no baseline worker is alive');
    expect(missingFor('disaggregated', [b])).toContain(
      'no context worker and no generate worker is alive',
    );
    const far = heartbeat('g', 'generate', { host: 'elsewhere' });
    expect(missingFor('disaggregated', [c, far])).toContain('model and KV layout must be equal');
  });

  test('drained workers do not come back by themselves: named; one that starts is waited for', () => {
    const one = (state: Heartbeat['state'], id = 'g') => heartbeat(id, 'generate', { state });
    const local = missingFor('local', [c, one('draining')]);
    expect(local).toContain('while draining: generate worker g;');
    expect(local).toContain('resume');
    expect(missingFor('disaggregated', [c, one('draining')])).toContain('generate worker g;');
    expect(missingFor('local', [one('starting')])).toBeNull();
    expect(missingFor('local', [one('draining'), one('starting', 'g2')])).toBeNull();
    expect(missingFor('local', [one('draining'), one('ready', 'g2')])).toBeNull();
    const far = heartbeat('g2', 'generate', { host: 'elsewhere' });
    expect(missingFor('disaggregated', [c, one('draining'), far])).toContain('generate worker g;');
    const many = ['1', '2', '3', '4', '5', '6'].map((id) => one('draining', id));
    expect(missingFor('local', many)).toContain('generate worker 4 and 2 more;');
  });
});

describe('by cost', () => {
  const ids = promptOf(400);
  const asked = routeQuestion(ids);
  const keys = [...asked.keys.of(card())];
  const roomy = (change: Partial<Heartbeat['load']> = {}) => load({ freeTokens: 9999, ...change });
  const context = (id: string, change: Partial<Heartbeat['load']> = {}, host = 'host-1') =>
    heartbeat(id, 'context', { host, load: roomy(change) });
  const generate = (id: string, change: Partial<Heartbeat['load']> = {}, host = 'host-1') =>
    heartbeat(id, 'generate', { host, load: roomy(change) });
  const caches =
    (table: Readonly<Record<string, number>>): RouteQuestion['keysOf'] =>
    (worker) =>
      new Set(keys.slice(0, table[worker] ?? 0));
  const forced = (workers: readonly Heartbeat[], change: Partial<RouteQuestion> = {}) =>
    route(workers, { ...asked, workers, localPrefillTokens: 0, ...change });
  const everyTurn = (workers: readonly Heartbeat[], change: Partial<RouteQuestion> = {}) =>
    [...new Set([0, 1, 2, 3, 4, 5].map((turn) => forced(workers, { ...change, turn })))].sort();

  test('a context worker’s queue', () => {
    const workers = [context('c1', { pendingTokens: 100 }), context('c2'), generate('g')];
    expect(everyTurn(workers)).toEqual(['pair c2 g']);
    const inFlight: RouteQuestion['inFlight'] = (id) =>
      id === 'c2' ? { ...idle, count: 1, prefillTokens: 300 } : idle;
    expect(everyTurn(workers, { inFlight })).toEqual(['pair c1 g']);
  });

  test('a faster worker gets the longer queue', () => {
    const rates: RouteQuestion['rates'] = {
      ...asked.rates,
      prefill: ({ worker }) => ({ base: 0, slope: worker === 'c1' ? 0.2 : 1 }),
    };
    const workers = [context('c1', { pendingTokens: 900 }), context('c2'), generate('g')];
    expect(everyTurn(workers, { rates })).toEqual(['pair c1 g']);
  });

  test('the one that has the prefix, among those of a host that can all read it', () => {
    const workers = [context('c1'), context('c2'), generate('g1'), generate('g2')];
    expect(everyTurn(workers, { keysOf: caches({ c2: 6 }) })).toEqual(['pair c2 g1', 'pair c2 g2']);
    // Its queue is longer than what reading from another arena costs: anybody of the host will do.
    const busy = [context('c1'), context('c2', { pendingTokens: 100 }), generate('g1')];
    expect(everyTurn(busy, { keysOf: caches({ c2: 6 }) })).toEqual(['pair c1 g1']);
  });

  test('the host that has the prefix, until its queue is worse than computing anew', () => {
    const workers = (pendingTokens: number) => [
      context('a', { pendingTokens }, 'host-a'),
      generate('ag', {}, 'host-a'),
      context('b', {}, 'host-b'),
      generate('bg', {}, 'host-b'),
    ];
    // 6 blocks of 64 of the 400 tokens are cached on host-a.
    const keysOf = caches({ a: 6 });
    expect(everyTurn(workers(0), { keysOf })).toEqual(['pair a ag']);
    expect(everyTurn(workers(380), { keysOf })).toEqual(['pair a ag']);
    expect(everyTurn(workers(390), { keysOf })).toEqual(['pair b bg']);
    expect(everyTurn(workers(0))).toEqual(['pair a ag', 'pair b bg']);
  });

  test('a generate worker that holds the prefix helps its whole host', () => {
    const workers = [
      context('a', {}, 'host-a'),
      generate('ag', {}, 'host-a'),
      context('b', {}, 'host-b'),
      generate('bg', {}, 'host-b'),
    ];
    expect(everyTurn(workers, { keysOf: caches({ bg: 6 }) })).toEqual(['pair b bg']);
  });

  test('room for prompt and answer first, then the fewest streams', () => {
    const small = generate('g1', { freeTokens: 415 });
    expect(everyTurn([context('c'), small, generate('g2', { running: 7 })])).toEqual(['pair c g2']);
    const enough = generate('g1', { freeTokens: 416 });
    expect(everyTurn([context('c'), enough, generate('g2', { running: 1 })])).toEqual([
      'pair c g1',
    ]);
    expect(everyTurn([context('c'), small])).toEqual(['pair c g1']); // it will queue there
    const inFlight: RouteQuestion['inFlight'] = () => ({ ...idle, kvTokens: 9600 });
    expect(forced([context('c'), enough], { inFlight })).toBe('pair c g1');
  });

  test('pairs take turns over both sides', () => {
    const workers = [context('c1'), context('c2'), generate('g1'), generate('g2')];
    expect(everyTurn(workers)).toEqual(['pair c1 g1', 'pair c1 g2', 'pair c2 g1', 'pair c2 g2']);
  });

  test('why it is what it is', () => {
    const reason = (workers: readonly Heartbeat[], change: Partial<RouteQuestion> = {}) => {
      const choice = chooseRoute({ ...asked, workers, ...change });
      return `${choice.route} ${choice.reason}`;
    };
    const b = heartbeat('b', 'baseline');
    const [c, g] = [context('c'), generate('g')];
    expect(reason([b])).toBe('aggregated aggregated_only');
    expect(reason([c, b])).toBe('aggregated aggregated_only');
    expect(reason([g, b])).toBe('aggregated no_context_worker');
    expect(reason([g])).toBe('local no_context_worker');
    expect(reason([g], { localPrefillTokens: 0 })).toBe('local no_context_worker');
    expect(reason([context('c', {}, 'elsewhere'), g])).toBe('local no_context_worker');
    expect(reason([{ ...c, state: 'draining' }, g])).toBe('local no_context_worker');
    expect(reason([c, g], { excluded: new Set(['c']) })).toBe('local context_refused');
    expect(reason([c, g], { localPrefillTokens: 0 })).toBe('disaggregated forced');
  });
});

describe('seeded: whatever the cluster', () => {
  const chance = seededChance(2024);
  const pick = <T>(list: readonly T[]): T => list[chance.u32() % list.length] as T; // never empty
  const upTo = (max: number) => chance.u32() % (max + 1);
  const ids = promptOf(500);
  const keys = [...routeQuestion(ids).keys.of(card())];

  const member = (index: number): Heartbeat =>
    heartbeat(`w${index}`, pick(['context', 'generate', 'generate', 'baseline']), {
      state: pick(['ready', 'ready', 'ready', 'starting', 'draining']),
      host: pick(['host-1', 'host-2']),
      card: card({ kvDtype: pick(['float32', 'float32', 'int8']) }),
      load: load({
        running: upTo(10),
        waiting: upTo(3),
        freeTokens: upTo(2000),
        pendingTokens: upTo(3000),
        decoding: upTo(8),
      }),
    });

  const situation = (): RouteQuestion => {
    const workers = Array.from({ length: upTo(8) }, (_, index) => member(index));
    const excluded = new Set(workers.filter(() => upTo(4) === 0).map(({ worker }) => worker));
    const held = new Map(workers.map(({ worker }) => [worker, new Set(keys.slice(0, upTo(7)))]));
    const own = {
      count: upTo(5),
      endedCount: upTo(5),
      prefillTokens: upTo(500),
      kvTokens: upTo(500),
    };
    return {
      ...routeQuestion(ids),
      workers,
      excluded,
      keysOf: (worker) => held.get(worker) ?? new Set(),
      inFlight: () => own,
      ageMs: () => 300,
      localPrefillTokens: pick([null, null, 0, 100, 1000]),
      turn: upTo(1000),
    };
  };

  test('none but a ready, untried, fitting worker is chosen, and nobody only if nobody is there', () => {
    for (let round = 0; round < 3000; round++) {
      const question = situation();
      const choice = chooseRoute(question);
      const able = question.workers.filter(
        ({ state, role, worker }) =>
          state === 'ready' && role !== 'context' && !question.excluded.has(worker),
      );
      expect([round, choice.route === 'none']).toEqual([round, able.length === 0]);
      if (choice.route === 'none') continue;
      const members =
        choice.route === 'disaggregated'
          ? [choice.context, choice.generate]
          : [choice.route === 'local' ? choice.generate : choice.baseline];
      for (const { state, worker } of members) {
        expect(state).toBe('ready');
        expect(question.excluded.has(worker)).toBeFalse();
        expect(question.workers.some((one) => one.worker === worker)).toBeTrue();
      }
      expect(members.at(-1)?.role).toBe(choice.route === 'aggregated' ? 'baseline' : 'generate');
      if (choice.route === 'disaggregated') {
        expect(choice.context.role).toBe('context');
        expect(understand(choice.context, choice.generate)).toBeTrue();
      }
      expect(choice.prefillTokens).toBeGreaterThan(0);
      expect(choice.prefillTokens).toBeLessThanOrEqual(500);
      expect(chooseRoute(question)).toEqual(choice);
    }
  });

  test('with 0 a pair is made whenever one is possible', () => {
    for (let round = 0; round < 1000; round++) {
      const question = { ...situation(), localPrefillTokens: 0 };
      const usable = question.workers.filter(
        ({ state, worker }) => state === 'ready' && !question.excluded.has(worker),
      );
      const contexts = usable.filter(({ role }) => role === 'context');
      const possible = usable.some(
        (one) => one.role === 'generate' && contexts.some((other) => understand(other, one)),
      );
      expect(chooseRoute(question).route === 'disaggregated').toBe(possible);
    }
  });
});
