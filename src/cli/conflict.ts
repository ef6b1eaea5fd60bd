// Values of one command line that contradict each other, refused with both numbers before anything
// starts. What only the model or the memory can tell is refused by role/sizing.ts.

import { Fault } from '../std/fault.ts';
import type { RoleConfig } from './config.ts';
import type { Values } from './flags.ts';
import type { Parsed } from './parse.ts';

/** Ports that one process of the deployment listens on, or several in a row. */
type Ports = {
  /** As the user knows it: `--api-server-port 8005`. */
  readonly label: string;
  readonly host: string;
  readonly first: number;
  readonly last: number;
};

/** Throws a Fault `usage`. */
export function refuseConflicts(config: RoleConfig, { values, given }: Parsed): void {
  refuseSharedPorts(portsOf(config, values));
  if (config.role === 'api') return;
  const { 'max-model-len': maxModelLen, 'block-tokens': blockTokens } = values;
  // The default block may be longer: then it is no number of the user's that nothing comes of.
  if (given.has('block-tokens') && maxModelLen !== null && blockTokens > maxModelLen) {
    throw new Fault(
      'usage',
      `--block-tokens ${blockTokens} is more than --max-model-len ${maxModelLen}: no block would ever be full; lower the one or raise the other`,
    );
  }
}

function refuseSharedPorts(all: readonly Ports[]): void {
  for (const [i, one] of all.entries()) {
    for (const other of all.slice(i + 1)) {
      if (one.first > other.last || other.first > one.last) continue;
      if (!areNeighbours(one.host, other.host)) continue;
      throw new Fault(
        'usage',
        `${one.label} and ${other.label} need the same port ${Math.max(one.first, other.first)}; change one of them`,
      );
    }
  }
}

/** Those that are known before the start; 0 is a free one and meets nobody. */
function portsOf(config: RoleConfig, values: Values): readonly Ports[] {
  const all: Ports[] = [];
  const add = (flag: string, host: string, first: number, count: number): void => {
    if (first === 0) return;
    const last = first + count - 1;
    const range = count === 1 ? '' : ` (to ${last})`;
    all.push({ label: `${flag} ${first}${range}`, host, first, last });
  };
  if (config.role !== 'worker') {
    const { host, port } = config.role === 'all' ? config.api : config;
    add('--api-server-port', host, port, 1);
  }
  if (config.role === 'api') return all;
  const [own] = config.planeUris;
  if (config.initializePlane && own !== undefined) {
    const { hostname, port } = new URL(own);
    add('--request-plane-uri', hostname, Number(port), 1);
  }
  const count =
    config.role === 'worker'
      ? config.workerCount
      : Object.values(config.workerCounts).reduce((a, b) => a + b, 0);
  const first = config.role === 'worker' ? config.metricsPort : values['starting-metrics-port'];
  add('--starting-metrics-port', values['data-plane-host'] ?? '127.0.0.1', first ?? 0, count);
  return all;
}

/** Do the two hosts mean one address, as far as their text tells? */
function areNeighbours(a: string, b: string): boolean {
  const plain = (host: string): string =>
    host === 'localhost' ? '127.0.0.1' : host.replace(/^\[|\]$/g, '');
  const [one, other] = [plain(a), plain(b)];
  return one === other || [one, other].some((host) => host === '0.0.0.0' || host === '::');
}
