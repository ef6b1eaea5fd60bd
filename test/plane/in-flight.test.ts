import { describe, expect, test } from 'bun:test';
import { InFlight, idle } from '../../src/plane/in-flight.ts';
import { ManualClock } from '../../src/std/clock.ts';
import { seededChance } from '../../src/std/prng.ts';

const work = { prefillTokens: 100, kvTokens: 120 };

function world() {
  const clock = new ManualClock();
  return { clock, inFlight: new InFlight(clock, 250) };
}

describe('in flight', () => {
  test('counts until a heartbeat can know of it', () => {
    const { clock, inFlight } = world();
    inFlight.add('w', 'r1', work);
    expect(inFlight.of('w')).toEqual({ ...work, count: 1, endedCount: 0 });
    clock.advance(249);
    inFlight.heard('w'); // may have been written before the request came
    expect(inFlight.of('w').count).toBe(1);
    clock.advance(1);
    inFlight.heard('w');
    expect(inFlight.of('w')).toEqual(idle);
  });

  test('what a heartbeat included and has ended since is taken off until the next one', () => {
    const { clock, inFlight } = world();
    inFlight.add('w', 'r1', work);
    clock.advance(1000);
    inFlight.heard('w');
    inFlight.remove('w', 'r1');
    expect(inFlight.of('w')).toEqual({ ...idle, endedCount: 1 });
    clock.advance(1000);
    inFlight.heard('w');
    expect(inFlight.of('w')).toEqual(idle);
  });

  test('a prompt that is computed keeps its stream', () => {
    const { inFlight } = world();
    inFlight.add('w', 'r1', work);
    inFlight.prefilled('w', 'r1');
    inFlight.prefilled('w', 'r1');
    expect(inFlight.of('w')).toEqual({ ...idle, kvTokens: 120, count: 1 });
    inFlight.remove('w', 'r1');
    expect(inFlight.of('w')).toEqual(idle);
  });

  test('seeded: nothing is left when all is over, and no count is ever negative', () => {
    const { clock, inFlight } = world();
    const chance = seededChance(3);
    const open: [string, string][] = [];
    for (let turn = 0; turn < 3000; turn++) {
      const worker = `w${chance.u32() % 4}`;
      const what = chance.u32() % 6;
      const at = open.length === 0 ? 0 : chance.u32() % open.length;
      const [on = worker, request = 'none'] = open[at] ?? [];
      if (what <= 1) {
        inFlight.add(worker, `r${turn}`, { prefillTokens: turn % 50, kvTokens: turn % 70 });
        open.push([worker, `r${turn}`]);
      } else if (what === 2) inFlight.prefilled(on, request);
      else if (what === 3) inFlight.heard(worker);
      else if (what === 4) clock.advance(chance.u32() % 300);
      else {
        inFlight.remove(on, request);
        open.splice(at, 1);
      }
      expect(Math.min(...Object.values(inFlight.of(worker)))).toBeGreaterThanOrEqual(0);
    }
    inFlight.forget('w0');
    for (const [worker, request] of open) inFlight.remove(worker, request);
    for (const id of ['w0', 'w1', 'w2', 'w3']) {
      inFlight.heard(id);
      expect(inFlight.of(id)).toEqual(idle);
    }
  });
});
