// What is done to a deployment, one function each: the fault, and what an operator or a supervisor does
// about it. Which process and how long is drawn.

import { Fault } from '../../std/fault.ts';
import type { Chance } from '../../std/prng.ts';
import { bodies } from './bodies.ts';
import { askStream } from './client.ts';
import type { Place, Stage } from './stage.ts';

const drainMs = 40_000;

export type FaultPorts = { readonly stage: Stage; readonly chance: Chance };

export type FaultKind = {
  readonly name: string;
  /** Resolves when whatever was ended has been started again. */
  readonly inject: (ports: FaultPorts) => Promise<void>;
};

export const faultKinds: readonly FaultKind[] = [
  {
    name: 'context worker, kill -9',
    inject: ({ stage, chance }) => killAndReplace(stage, drawWorker(stage, chance, 'context')),
  },
  {
    name: 'generate worker, kill -9',
    inject: ({ stage, chance }) => killAndReplace(stage, drawWorker(stage, chance, 'generate')),
  },
  { name: 'worker stopped for 1 to 6 s', inject: freeze },
  { name: 'worker restarted (SIGTERM)', inject: restart },
  {
    name: 'nats-server, kill -9',
    inject: (ports) => restartPlane(ports, { keepsStore: true }),
  },
  {
    name: 'the same, its store is lost',
    inject: (ports) => restartPlane(ports, { keepsStore: false }),
  },
  {
    name: 'gateway, kill -9',
    inject: ({ stage, chance }) => killAndReplace(stage, draw(chance, stage.gateways)),
  },
  { name: '60 clients leave', inject: storm },
];

function draw<T>(chance: Chance, all: readonly T[]): T {
  const one = all[chance.u32() % Math.max(1, all.length)];
  if (one === undefined) throw new Fault('internal', 'nothing to choose from');
  return one;
}

function drawMs(chance: Chance, fromMs: number, toMs: number): number {
  return fromMs + (chance.u32() % (toMs - fromMs + 1));
}

function drawWorker(stage: Stage, chance: Chance, role: 'context' | 'generate'): Place {
  return draw(
    chance,
    stage.workers.filter((worker) => worker.role === role),
  );
}

async function killAndReplace(stage: Stage, place: Place): Promise<void> {
  await place.member.kill();
  await stage.replace(place);
}

async function freeze({ stage, chance }: FaultPorts): Promise<void> {
  const { member } = draw(chance, stage.workers);
  member.signal('SIGSTOP');
  await Bun.sleep(drawMs(chance, 1000, 6000));
  member.signal('SIGCONT');
}

async function restart({ stage, chance }: FaultPorts): Promise<void> {
  const place = draw(chance, stage.workers);
  const code = await place.member.stop(drainMs);
  if (code !== 0) throw new Fault('internal', `${place.member.name} ended with exit code ${code}`);
  await stage.replace(place);
}

async function restartPlane(
  { stage, chance }: FaultPorts,
  how: { readonly keepsStore: boolean },
): Promise<void> {
  await stage.plane.kill();
  await Bun.sleep(drawMs(chance, 0, 3000));
  await stage.plane.restart(how);
}

/** Each asks, and hangs up after up to 300 ms: in the queue, in the prefill, in the middle of the answer. */
async function storm({ stage, chance }: FaultPorts): Promise<void> {
  const leave = async (): Promise<void> => {
    const { url } = draw(chance, stage.gateways);
    const signal = AbortSignal.timeout(drawMs(chance, 1, 300));
    await askStream({ url, body: draw(chance, bodies), signal });
  };
  await Promise.all(Array.from({ length: 60 }, leave));
}
