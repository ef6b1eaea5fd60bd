// Processes of ./tdist that serve together: `--role all`, or each role by itself on one plane.

import { readFileSync } from 'node:fs';
import { freePort } from '../../src/role/free-port.ts';
import { procText } from './leftover.ts';
import type { Program } from './program.ts';
import { until } from './until.ts';
import type { World } from './world.ts';

export type Deployment = AsyncDisposable & { readonly program: Program; readonly url: string };

/** One context and one generate worker unless the flags say otherwise; resolves when it is ready. */
export async function startAll(world: World, flags: readonly string[] = []): Promise<Deployment> {
  const program = world.start([
    '--role=all',
    '--request-plane-uri=localhost:0',
    '--api-server-port=0',
    '--local-prefill-tokens=0',
    ...flags,
  ]);
  return await deployment(program, 'Ready: http://');
}

/** A gateway on a free port, as soon as it listens. */
export async function startApi(
  world: World,
  plane: string,
  flags: readonly string[] = [],
): Promise<Deployment> {
  const program = world.start([
    '--role=api',
    `--request-plane-uri=${plane}`,
    '--api-server-port=0',
    '--local-prefill-tokens=0',
    ...flags,
  ]);
  return await deployment(program, 'Listening on http://');
}

export async function freePlane(): Promise<string> {
  return `localhost:${await freePort('localhost')}`;
}

/** Resolves with the address in its line `wanted`. */
export async function deployment(program: Program, wanted: string): Promise<Deployment> {
  const line = await program.line(wanted);
  const [url] = /http:\/\/\S+/.exec(line) ?? [];
  if (url === undefined) throw new Error(`no address in: ${line}`);
  return { program, url, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}

/** Where the processes of `--role all` meet, as a person knows it: port 0 has become a real one. */
export async function planeAddress(program: Program): Promise<string> {
  const line = await program.line(/Request plane connected uri=\S+/);
  const [, uri] = /uri=(\S+)/.exec(line) ?? [];
  if (uri === undefined) throw new Error(`no plane in: ${line}`);
  return uri;
}

/** The same as its children know it, with its token: a test has another temporary folder than they. */
export async function planeOf(program: Program): Promise<string> {
  await planeAddress(program);
  const api = await childOf(program, '--role=api');
  const name = 'TDIST_REQUEST_PLANE_URI=';
  const variables = procText(String(api), 'environ').split('\0');
  const found = variables.find((variable) => variable.startsWith(name));
  if (found === undefined) throw new Error(`no plane in the environment of ${api}`);
  return found.slice(name.length);
}

/** The same for the NATS library, which reads no credentials in an address. */
export function libraryOptions(plane: string): {
  readonly servers: string;
  readonly token: string;
} {
  const { host, username } = new URL(plane);
  return { servers: host, token: username };
}

export async function untilReady(url: string): Promise<void> {
  await until(`${url}/health to be 200`, async () => {
    const response = await fetch(`${url}/health`).catch(() => null); // nobody listens yet
    return response?.ok === true;
  });
}

/** The child of that supervisor whose command line has `word`, once there is one. */
export async function childOf(supervisor: Program, word: string): Promise<number> {
  return await until(`a child with ${word}`, () => {
    const { pid } = supervisor;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/);
    const found = children.find((child) => procText(child, 'cmdline').split('\0').includes(word));
    return found === undefined ? null : Number(found);
  });
}
