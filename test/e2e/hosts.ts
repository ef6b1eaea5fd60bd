// Two hosts on one machine: network namespaces joined by a veth pair, each with its own name and its own
// /dev/shm, so that the programs in them share a disk and a processor but neither loopback nor memory.
// A host lives as long as its holder, a process that does nothing; with it go its namespaces, and with
// those interfaces and mounts. Nothing is ever made outside of them.

import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import type { Program } from './program.ts';
import type { World } from './world.ts';

export const systemPath = '/usr/sbin:/usr/bin:/sbin:/bin';
const isRoot = process.getuid?.() === 0;
/** Without root's rights: root within a user namespace, where the kernel lets us. */
export const asRoot = isRoot ? [] : ['--user', '--map-root-user'];
const own = ['--net', '--mount', '--uts'];
const memory = 'mount -t tmpfs -o size=1g tmpfs /dev/shm';
const rate = 'root tbf rate 100mbit burst 64kb latency 400ms';
const interfaces = { head: 'tdist-head', node: 'tdist-node' } as const;
const addresses = { head: '10.77.0.1', node: '10.77.0.2' } as const;
type Name = keyof typeof addresses;

/** Why there can be no two hosts here, in a word for the name of a skipped test; null: there can. */
export function hostsRefusal(): string | null {
  for (const tool of ['ip', 'tc', 'unshare', 'nsenter']) {
    const found = spawnSync('sh', ['-c', `command -v ${tool}`], { env: { PATH: systemPath } });
    if (found.status !== 0) return `no ${tool}; apt-get install iproute2 util-linux`;
  }
  const { head, node } = interfaces;
  const trial = `${memory} && ip link add ${head} type veth peer name ${node} && tc qdisc add dev ${head} ${rate}`;
  const tried = spawnSync('unshare', [...asRoot, ...own, '--', 'sh', '-c', trial], {
    env: { PATH: systemPath },
    encoding: 'utf8',
  });
  if (tried.status === 0) return null;
  return `the kernel refuses: ${tried.stderr.trim().split('\n').at(-1) ?? 'no reason given'}`;
}

export class Host {
  readonly address: string;
  readonly #world: World;
  readonly #name: Name;
  readonly #holder: Program;

  private constructor(world: World, name: Name, holder: Program) {
    this.#world = world;
    this.#name = name;
    this.#holder = holder;
    this.address = addresses[name];
  }

  /** @param within a host in whose user namespace it is to be. */
  static async open(world: World, name: Name, within: Host | null): Promise<Host> {
    const script = `${memory} && hostname ${name} && ip link set lo up && echo ready && exec sleep infinity`;
    const make = ['unshare', ...(within === null ? asRoot : []), ...own, '--', 'sh', '-c', script];
    const command = within === null || isRoot ? make : [...within.enter(['--user']), ...make];
    const holder = world.spawn(command, { ...world.env, PATH: systemPath });
    await holder.line('ready');
    return new Host(world, name, holder);
  }

  get pid(): number {
    return this.#holder.pid;
  }

  /** The words that run a command in this host. */
  enter(spaces: readonly string[] = own): readonly string[] {
    const user = isRoot ? [] : ['--user', '--preserve-credentials'];
    return ['nsenter', `--target=${this.pid}`, ...new Set([...user, ...spaces]), '--'];
  }

  start(command: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
    return this.#world.spawn([...this.enter(), ...command], {
      ...this.#world.env,
      PATH: systemPath,
      ...env,
    });
  }

  /** Runs a command of the network's to its end; throws with its words when it fails. */
  async run(...command: readonly string[]): Promise<void> {
    const { code, stderr } = await this.start(command).exit();
    if (code !== 0) throw new Error(`${this.#name}: ${command.join(' ')}: ${stderr.join('; ')}`);
  }

  /** Takes the link down, or up again. */
  async link(state: 'up' | 'down'): Promise<void> {
    await this.run('ip', 'link', 'set', 'dev', interfaces[this.#name], state);
  }

  async shape(): Promise<void> {
    await this.run('tc', 'qdisc', 'add', 'dev', interfaces[this.#name], ...rate.split(' '));
  }

  async addAddress(): Promise<void> {
    await this.run('ip', 'addr', 'add', `${this.address}/24`, 'dev', interfaces[this.#name]);
    await this.link('up');
  }

  async close(): Promise<void> {
    await this.#holder[Symbol.asyncDispose]();
  }
}

export class Hosts implements AsyncDisposable {
  private constructor(
    readonly head: Host,
    readonly node: Host,
  ) {}

  static async open(world: World): Promise<Hosts> {
    const head = await Host.open(world, 'head', null);
    const node = await Host.open(world, 'node', head);
    const peer = ['peer', 'name', interfaces.node, 'netns', String(node.pid)];
    await head.run('ip', 'link', 'add', interfaces.head, 'type', 'veth', ...peer);
    await head.addAddress();
    await node.addAddress();
    return new Hosts(head, node);
  }

  /** 100 Mbit/s each way. */
  async shape(): Promise<void> {
    await this.head.shape();
    await this.node.shape();
  }

  async cut(): Promise<void> {
    await this.node.link('down');
  }

  async restore(): Promise<void> {
    await this.node.link('up');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node.close();
    await this.head.close();
  }
}

export type Relay = {
  /** Where it listens: a port, or a path on the disk that both hosts and the test see. */
  readonly listen: { readonly host: string; readonly port: number } | { readonly path: string };
  readonly target: { readonly host: string; readonly port: number };
  /** Added each way. */
  readonly delayMs: number;
  /** After SIGUSR1 (answered by a line `armed`) it says `passed` once so many bytes came back. */
  readonly tellBytes: number;
};

/** A TCP relay in that host (hosts-relay.ts); resolves when it listens. */
export async function startRelay(host: Host, relay: Relay): Promise<Program> {
  const script = resolve(import.meta.dir, 'hosts-relay.ts');
  const program = host.start([process.execPath, script, JSON.stringify(relay)]);
  await program.line('listening');
  return program;
}
