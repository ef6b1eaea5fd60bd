// Findings about this machine: ports, processor, shared memory, cache folder. Pure.

import { type Finding, fail, ok, sizeText, warn } from './finding.ts';

/** `free`: it could be bound. `absent`: the address is not on this machine. */
export type PortState = 'free' | 'taken' | 'absent' | 'denied' | 'unknown';

export type PortFacts = {
  /** What it is for. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly state: PortState;
  /** Who listens, where that can be seen: `name (pid 12)`. */
  readonly holder: string | null;
  /** What of tdist answers there: `gateway 1.2.3`, `worker`; null: nothing of it. */
  readonly tdist: string | null;
  /** The flag that would choose another. */
  readonly flag: string;
};

export function checkPort(facts: PortFacts): Finding {
  const { name, host, port, state, holder, tdist, flag } = facts;
  const where = `${host}:${port}`;
  switch (state) {
    case 'free':
      return ok(name, `${where} is free`);
    case 'absent':
      return fail(name, `${where}: ${host} is no address of this machine`, 'use one, or 0.0.0.0');
    case 'denied':
      return fail(name, `${where}: no right to listen there`, `choose ${flag} above 1023`);
    case 'unknown':
      return fail(name, `${where} cannot be listened on`, `choose another ${flag}`);
    case 'taken': {
      const who = holder ?? 'a process that this user cannot see';
      if (tdist !== null) {
        const text = `${where}: a tdist ${tdist} serves there, ${who}`;
        const mend = `for a second deployment choose another ${flag}; deploy/teardown.sh ends one of its scripts`;
        return warn(name, text, mend);
      }
      return fail(name, `${where} is taken by ${who}`, `stop it or choose another ${flag}`);
    }
  }
}

export type CpuFacts = { readonly flags: readonly string[]; readonly coreCount: number };

/** What ONNX Runtime's kernels (MLAS) will use, by the processor's own word. */
export function checkCpu({ flags, coreCount }: CpuFacts): Finding {
  const has = (flag: string): boolean => flags.includes(flag);
  const cores = `${coreCount} ${coreCount === 1 ? 'core' : 'cores'}`;
  const vnni = ['avx512_vnni', 'avx_vnni'].find(has);
  if (has('avx512f')) {
    const integers = vnni === undefined ? 'no VNNI for int8 and int4' : 'VNNI for int8 and int4';
    return ok('cpu', `${cores}; ONNX Runtime uses AVX-512, ${integers}`);
  }
  if (has('avx2') && has('fma')) {
    const integers = vnni === undefined ? '' : ', AVX-VNNI for int8 and int4';
    return ok('cpu', `${cores}; ONNX Runtime uses AVX2${integers}`);
  }
  const found = has('avx') ? 'AVX' : 'SSE';
  return warn(
    'cpu',
    `${cores} without AVX2: ONNX Runtime uses ${found} and is several times slower`,
    'use a newer machine, or let the virtual machine pass the host CPU through (-cpu host)',
  );
}

export type ShmFacts =
  | { readonly error: string }
  | { readonly totalBytes: number; readonly freeBytes: number; readonly options: string };

export type ArenaNeed = {
  /** `--kv-arena-bytes`; null: chosen from what there is. */
  readonly askedBytes: number | null;
  readonly workerCount: number;
  /** One worker's, as it would be chosen now. */
  readonly chosenBytes: number;
};

const shmMend =
  'mount -o remount,size=2G /dev/shm, or for a container --shm-size=2g; or lower --kv-arena-bytes';

export function checkShm(facts: ShmFacts, need: ArenaNeed | null): Finding {
  const name = 'shm';
  if ('error' in facts) {
    const mend = 'mount a tmpfs there that this user may write to (mount -t tmpfs tmpfs /dev/shm)';
    return fail(name, `/dev/shm: ${facts.error}`, mend);
  }
  const { totalBytes, freeBytes, options } = facts;
  const free = `/dev/shm: ${sizeText(freeBytes)} of ${sizeText(totalBytes)} free`;
  const note = /\bnoexec\b/.test(options) ? ' (noexec does not matter: nothing is run there)' : '';
  if (need === null) return ok(name, `${free}${note}`);
  const { askedBytes, workerCount, chosenBytes } = need;
  const bytes = workerCount * (askedBytes ?? chosenBytes);
  const arenas = `${workerCount} ${workerCount === 1 ? 'arena' : 'arenas'} of ${sizeText(askedBytes ?? chosenBytes)}`;
  if (freeBytes < bytes) return fail(name, `${free}, and ${arenas} are wanted`, shmMend);
  if (chosenBytes === 0) return fail(name, `${free}: no room for an arena`, shmMend);
  return ok(name, `${free}, for ${arenas}${note}`);
}

export type CacheFacts = { readonly path: string; readonly freeBytes: number };

/** A graph and its weights are written once for each model. */
export function checkCache({ path, freeBytes }: CacheFacts, graphBytes: number): Finding {
  const text = `${path}: ${sizeText(freeBytes)} free`;
  if (freeBytes >= graphBytes) return ok('cache', text);
  return fail(
    'cache',
    `${text}, and the model's graph takes up to ${sizeText(graphBytes)}`,
    'free some, or point XDG_CACHE_HOME at a larger disk',
  );
}
