import { describe, expect, test } from 'bun:test';
import { Loop, Outbox } from '../../src/engine/loop.ts';
import type { EngineEvent, Load } from '../../src/protocol/engine.ts';

const admitted = (requestId: string): EngineEvent => ({ type: 'admitted', requestId });

/** An engine with `work` steps left, and the turns it asked for, run by hand. */
function world(work: number) {
  const log: string[] = [];
  const turns: (() => void)[] = [];
  const state = { work };
  const load = (): Load => ({
    running: state.work,
    waiting: 0,
    slots: 1,
    freeTokens: 0,
    pendingTokens: 0,
    decoding: 0,
    prefixKeys: [],
  });
  const outbox = new Outbox(load, (events, { running }) => {
    log.push(`post ${events.map((e) => ('requestId' in e ? e.requestId : e.type))} @${running}`);
  });
  const crank = {
    load,
    step(): boolean {
      if (state.work === 0) {
        log.push('idle');
        return false;
      }
      state.work--;
      log.push('step');
      outbox.put(admitted(`e${state.work}`));
      return true;
    },
  };
  const loop = new Loop(crank, outbox, (run) => turns.push(run));
  const turn = (): void => turns.shift()?.();
  return { log, turns, state, outbox, loop, turn };
}

describe('Loop', () => {
  test('does nothing until it is woken, and nothing within the wake itself', () => {
    const { log, turns, loop } = world(2);
    expect(turns.length).toBe(0);
    loop.wake();
    expect([turns.length, log]).toEqual([1, []]);
  });

  test('one step a turn, its events posted before the next turn, then silence', () => {
    const { log, turns, loop, turn } = world(2);
    loop.wake();
    turn();
    expect(log).toEqual(['step', 'post e1 @1']);
    turn();
    turn();
    expect(log).toEqual(['step', 'post e1 @1', 'step', 'post e0 @0', 'idle']);
    expect(turns.length).toBe(0);
  });

  test('many wakes make one turn', () => {
    const { turns, loop, turn } = world(2);
    for (let i = 0; i < 5; i++) loop.wake();
    expect(turns.length).toBe(1);
    turn();
    loop.wake();
    expect(turns.length).toBe(1);
  });

  test('woken again after it fell asleep', () => {
    const { log, state, loop, turn, turns } = world(0);
    loop.wake();
    turn();
    expect([log, turns.length]).toEqual([['idle'], 0]);
    state.work = 1;
    loop.wake();
    turn();
    expect(log).toEqual(['idle', 'step', 'post e0 @0']);
  });
});

describe('Outbox', () => {
  test('hands a step’s events over together and in order, with the load after them', () => {
    const { log, outbox } = world(7);
    outbox.put(admitted('a'));
    outbox.put(admitted('b'));
    expect(log).toEqual([]);
    outbox.flush();
    expect(log).toEqual(['post a,b @7']);
  });

  test('an empty one posts nothing; nothing goes out twice', () => {
    const { log, outbox } = world(0);
    outbox.flush();
    outbox.put(admitted('a'));
    outbox.flush();
    outbox.flush();
    expect(log.length).toBe(1);
  });

  test('a load that changed without an event goes out, once', () => {
    const { log, outbox } = world(3);
    outbox.touch();
    outbox.flush();
    outbox.flush();
    expect(log).toEqual(['post  @3']);
  });

  test('what comes while it is posting goes with the next', () => {
    const posts: string[][] = [];
    const outbox: Outbox = new Outbox(
      () => ({
        running: 0,
        waiting: 0,
        slots: 1,
        freeTokens: 0,
        pendingTokens: 0,
        decoding: 0,
        prefixKeys: [],
      }),
      (events) => {
        posts.push(events.map((event) => event.type));
        if (posts.length === 1) outbox.put(admitted('late'));
      },
    );
    outbox.put(admitted('a'));
    outbox.flush();
    outbox.flush();
    expect(posts).toEqual([['admitted'], ['admitted']]);
  });
});
