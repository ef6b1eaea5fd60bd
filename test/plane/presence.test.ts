// Signs of life, from both ends: when they are sent, and when their lack means death.

import { describe, expect, test } from 'bun:test';
import { startHeartbeat } from '../../src/plane/heartbeat.ts';
import { MemoryHub } from '../../src/plane/memory.ts';
import { watchPresence } from '../../src/plane/presence.ts';
import { Registry } from '../../src/plane/registry.ts';
import { subjects as subjectsOf } from '../../src/protocol/subject.ts';
import { type Clock, ManualClock } from '../../src/std/clock.ts';
import { silentLog as log } from '../../src/telemetry/log.ts';
import { Cluster } from './cluster.ts';
import { heartbeat, settle } from './make.ts';

const subjects = subjectsOf('tdist');

describe('heartbeat', () => {
  test('at the start, every second, at a change, when asked, after an outage', async () => {
    const clock = new ManualClock();
    const hub = new MemoryHub({ clock });
    const [bus, ear] = [hub.open(), hub.open()];
    let count = 0;
    ear.subscribe(subjects.heartbeats, () => count++);
    const snapshot = () => heartbeat('g', 'generate');
    const sender = startHeartbeat({ bus, clock, log, subjects, snapshot });
    const heard = async () => {
      await settle();
      const value = count;
      count = 0;
      return value;
    };
    expect(await heard()).toBe(1);
    clock.advance(3000);
    expect(await heard()).toBe(3);
    sender.announce();
    expect(await heard()).toBe(1);
    ear.publish(subjects.who, new Uint8Array());
    expect(await heard()).toBe(1);
    bus.disconnect();
    clock.advance(5000);
    expect(await heard()).toBe(0);
    bus.reconnect();
    expect(await heard()).toBe(1);
    await sender.stop();
    clock.advance(5000);
    ear.publish(subjects.who, new Uint8Array());
    expect(await heard()).toBe(0);
    expect(clock.pendingCount).toBe(0);
  });
});

describe('a worker is registered', () => {
  test('when it has said that it is ready, not before', async () => {
    const cluster = new Cluster();
    const { node, bus } = await cluster.worker('g', 'generate', null, { state: 'starting' });
    let registered = false;
    void node.registered.then(() => {
      registered = true;
    });
    await cluster.pass(3000);
    expect(registered).toBeFalse();
    bus.disconnect();
    node.setState('ready');
    await cluster.pass(3000);
    expect(registered).toBeFalse();
    bus.reconnect();
    await settle();
    expect(registered).toBeTrue();
  });
});

describe('presence', () => {
  const world = (clock: Clock) => {
    const hub = new MemoryHub({ clock });
    const bus = hub.open();
    const registry = new Registry({ clock, log, presenceMs: 3500 });
    const watch = watchPresence({ bus, clock, log, subjects, registry });
    const beat = (worker: string) => {
      const payload = new TextEncoder().encode(JSON.stringify(heartbeat(worker, 'generate')));
      bus.publish(subjects.heartbeat(worker), payload);
    };
    return { bus, registry, watch, beat };
  };

  test('who is silent goes, who beats stays, rubbish is ignored', async () => {
    const clock = new ManualClock();
    const { bus, registry, watch, beat } = world(clock);
    beat('a');
    beat('b');
    bus.publish(subjects.heartbeat('x'), new TextEncoder().encode('{"v":1}'));
    await settle();
    expect(registry.workers().length).toBe(2);
    clock.advance(3000);
    beat('b');
    await settle();
    clock.advance(600);
    expect(registry.workers().map(({ worker }) => worker)).toEqual(['b']);
    await watch.stop();
    expect(clock.pendingCount).toBe(0);
  });

  test('when our own process stood still, nobody is declared dead for it', async () => {
    let nowMs = 0;
    let fire: () => void = () => undefined;
    const clock: Clock = {
      nowMs: () => nowMs,
      epochS: () => 0,
      after: (_delayMs, then) => {
        fire = then;
        return { cancel: () => undefined };
      },
    };
    const { registry, beat } = world(clock);
    beat('a');
    await settle();
    nowMs = 60_000; // stopped and continued: the timer is late, the mail unread
    fire();
    expect(registry.has('a')).toBeTrue();
    beat('a');
    await settle();
    nowMs = 61_000;
    fire();
    expect(registry.has('a')).toBeTrue();
    nowMs = 63_500; // and a silent one goes in time
    fire();
    expect(registry.has('a')).toBeFalse();
  });
});
