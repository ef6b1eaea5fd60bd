// Clients that open connections and then hardly go on: each is closed within its limit, their bytes do not
// pile up in the gateway, and others are served meanwhile.

import { expect, test } from 'bun:test';
import { connect, type Socket } from 'node:net';
import { limit } from '../../src/protocol/limit.ts';
import { realClock } from '../../src/std/clock.ts';
import { ask, question } from './chat.ts';
import { childOf, startAll } from './deployment.ts';
import { procText } from './leftover.ts';
import { until } from './until.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const bodyTimeoutMs = 10_000;
/** Bun's own, as api/listener.ts says, and its clock of four seconds. */
const headTimeoutMs = 12_000;
const slackMs = 8000;
const MiB = 1024 * 1024;
const head = 'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';

type Slow = { readonly closedMs: () => number | null; readonly said: () => string; end(): void };

/** Says `first`, then `drip` every quarter of a second for as long as it may. */
function slowly(port: number, first: string, drip: string): Slow {
  const beganMs = realClock.nowMs();
  let closedMs: number | null = null;
  let said = '';
  const socket: Socket = connect({ host: '127.0.0.1', port });
  const timer = setInterval(() => {
    if (drip !== '' && socket.writable) socket.write(drip);
  }, 250);
  socket.on('data', (data) => {
    said += data.toString('latin1');
  });
  socket.on('error', () => undefined); // cut off: `close` follows
  socket.on('close', () => {
    clearInterval(timer);
    closedMs ??= realClock.nowMs() - beganMs;
  });
  socket.write(first);
  return { closedMs: () => closedMs, said: () => said, end: () => socket.destroy() };
}

test('200 half-open connections: closed in time, memory bounded, others served', async () => {
  await using all = await startAll(world, [`--body-timeout-ms=${bodyTimeoutMs}`]);
  const { program, url } = all;
  const port = Number(new URL(url).port);
  const gateway = String(await childOf(program, '--role=api'));
  const resident = (): number =>
    Number(/VmRSS:\s+(\d+) kB/.exec(procText(gateway, 'status'))?.[1] ?? 0) * 1024;
  const normal = async (): Promise<number> => {
    const beganMs = realClock.nowMs();
    const { body } = await ask(url, question('What is the capital of Peru?'));
    expect(body.choices[0]?.message.content).toBe('The capital of Peru is Lima.');
    return realClock.nowMs() - beganMs;
  };
  for (let i = 0; i < 5; i++) await normal();
  const before = resident();
  let peak = before;
  const times: number[] = [];
  const heads = Array.from({ length: 50 }, () => slowly(port, head, 'x: 1\r\n'));
  const mute = Array.from({ length: 30 }, () => slowly(port, '', ''));
  const small = `${head}Content-Length: 100000\r\n\r\n{"model":"`;
  const bodies = Array.from({ length: 50 }, () => slowly(port, small, 'x'));
  const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n`;
  const pieces = Array.from({ length: 30 }, () => slowly(port, chunked, '3\r\nabc\r\n'));
  const large = `${head}Content-Length: ${limit.bodyBytesMax}\r\n\r\n${'x'.repeat(limit.bodyBytesMax - MiB)}`;
  const big: Slow[] = [];
  // Faster than their time-out gives them up: without a bound 360 MiB of them would lie there.
  for (let i = 0; i < 40; i++) {
    big.push(slowly(port, large, 'x'));
    times.push(await normal());
    await new Promise<void>((resolve) => realClock.after(80, resolve));
    peak = Math.max(peak, resident());
  }
  const every = [...heads, ...mute, ...bodies, ...pieces, ...big];
  expect(every).toHaveLength(200);
  await until('all to be closed', async () => {
    times.push(await normal());
    peak = Math.max(peak, resident());
    return every.every((one) => one.closedMs() !== null);
  });
  const latest = (of: readonly Slow[]): number => Math.max(...of.map((one) => one.closedMs() ?? 0));
  expect(latest([...heads, ...mute])).toBeLessThan(headTimeoutMs + slackMs);
  expect(latest([...bodies, ...pieces, ...big])).toBeLessThan(bodyTimeoutMs + slackMs);
  for (const one of [...bodies, ...pieces, ...big]) expect(one.said()).toContain(' 408 ');
  const crowded = big.filter((one) => one.said().includes('too many others were'));
  expect(crowded.length).toBeGreaterThan(0);
  expect(bodies.filter((one) => one.said().includes('too many others were'))).toEqual([]);
  expect(peak - before).toBeLessThan(limit.slowBodyBytesMax + 96 * MiB);
  expect(Math.max(...times)).toBeLessThan(5000);
  await until('the memory to be given back', () => resident() < before + 64 * MiB);
  expect((await program.stop()).code).toBe(0);
});

testNothingLeft(world);
