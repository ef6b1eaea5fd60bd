import { describe, expect, test } from 'bun:test';
import { chooseRoute, missingFor, type RouteQuestion } from '../../src/plane/router.ts';
import type { Heartbeat } from '../../src/protocol/message.ts';
import { digest } from '../../src/std/hash.ts';
import { card, heartbeat } from './make.ts';

const question: RouteQuestion = {
  model: 'llama',
  workers: [],
  promptTokens: 100,
  localPrefillTokens: 10,
  excluded: new Set(),
  inFlight: () => 0,
  turn: 0,
};

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
const load = (running: number, waiting = 0) => ({ running, waiting, slots: 8, freeTokens: 1 });

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
      heartbeat('x', 'context', { card: card({ kvDtype: 'int8' }) }),
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
    const busy = heartbeat('g2', 'generate', { load: load(5) });
    const alone = heartbeat('g3', 'generate', { host: 'host-3' });
    expect(route([c, busy, alone])).toBe('pair c g2');
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
    const g1 = heartbeat('g1', 'generate', { load: load(2, 1) });
    const g2 = heartbeat('g2', 'generate', { load: load(2) });
    expect(route([c, g1, g2])).toBe('pair c g2');
    expect(route([c, g1, g2], { inFlight: (id) => (id === 'g2' ? 2 : 0) })).toBe('pair c g1');
    const equal = ['a', 'b', 'd'].map((id) => heartbeat(id, 'baseline'));
    const turns = [0, 1, 2, 3].map((turn) => route(equal, { turn }));
    expect(turns).toEqual(['aggregated a', 'aggregated b', 'aggregated d', 'aggregated a']);
  });

  test('a forced route and no other, whatever the prompt', () => {
    const forced = (name: 'disaggregated' | 'local' | 'aggregated', workers = [c, g, b]) =>
      route(workers, { route: name, promptTokens: 1 });
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
    expect(missingFor('disaggregated', [c, far])).toContain('shares model, KV layout and host');
    expect(missingFor('local', [heartbeat('g', 'generate', { state: 'draining' })])).toBeNull();
  });
});
