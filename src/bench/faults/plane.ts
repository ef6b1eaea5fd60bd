// A nats-server that may be killed: always at one port, with a store folder that outlives it, or a new one.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { embeddedNatsServer } from '../../plane/embedded-nats.ts';
import { guardCommand } from '../../plane/guard.ts';
import { findNatsServer } from '../../plane/nats-binary.ts';
import { natsConfig } from '../../plane/nats-config.ts';
import { parsePlaneUris } from '../../plane/uri.ts';
import { cacheDir } from '../../role/cache-dir.ts';
import { freePort } from '../../role/free-port.ts';
import { Fault } from '../../std/fault.ts';
import { Member } from './member.ts';

const host = '127.0.0.1';

export type PlaneOptions = {
  /** For its store and its configuration; whoever made it removes it. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly logDir: string | null;
};

export class KillablePlane {
  readonly uri: string;
  readonly #options: PlaneOptions;
  readonly #command: readonly string[];
  readonly #store: string;
  #member: Member;

  static async start(options: PlaneOptions): Promise<KillablePlane> {
    const program = await findNatsServer({ cacheDir: cacheDir(), embedded: embeddedNatsServer });
    const plane = new KillablePlane(options, program, await freePort(host));
    await plane.#member.ready;
    return plane;
  }

  private constructor(options: PlaneOptions, program: string, port: number) {
    this.#options = options;
    this.uri = `nats://${host}:${port}`;
    this.#store = join(options.folder, 'jetstream');
    const config = join(options.folder, 'nats.conf');
    const [uri] = parsePlaneUris(this.uri);
    if (uri === undefined) throw new Fault('internal', `no address: ${this.uri}`);
    writeFileSync(config, natsConfig(uri, this.#store));
    this.#command = guardCommand(program, ['-c', config]);
    this.#member = this.#spawn();
  }

  get member(): Member {
    return this.#member;
  }

  async kill(): Promise<void> {
    await this.#member.kill();
  }

  async restart(how: { readonly keepsStore: boolean }): Promise<void> {
    if (!how.keepsStore) rmSync(this.#store, { recursive: true, force: true });
    this.#member = this.#spawn();
    await this.#member.ready;
  }

  #spawn(): Member {
    const { env, logDir } = this.#options;
    mkdirSync(this.#store, { recursive: true });
    const sign = /Server is ready/;
    return new Member({ name: 'nats-server', command: this.#command, env, sign, logDir });
  }
}
