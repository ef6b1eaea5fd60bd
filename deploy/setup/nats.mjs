// nats-server: the system's own, or out of Debian's package into build/nats without installing it,
// since the package would also start a system service.

import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { root, run, step } from './step.mjs';

const folder = join(root, 'build/nats');
const unpacked = join(folder, 'usr/sbin/nats-server');

export const natsMend =
  'no nats-server; install one (Debian: apt-get update && apt-get install nats-server) or set ' +
  'TDIST_NATS_SERVER to its path';

/** Path of a nats-server that runs, fetched if need be; null if there is none to be had. */
export function findNatsServer() {
  const path = (process.env.PATH ?? '').split(delimiter).filter((part) => part !== '');
  const candidates = [
    process.env.TDIST_NATS_SERVER ?? '',
    ...[...path, '/usr/sbin', '/usr/local/sbin', '/usr/local/bin'].map((dir) =>
      join(dir, 'nats-server'),
    ),
    unpacked,
  ];
  const found = candidates.find(works);
  if (found !== undefined) return found;
  if (!run('apt-get', ['--version'])) return null;
  return step("nats-server from Debian's packages", fetchNatsServer);
}

function fetchNatsServer() {
  // Package lists may be missing (a fresh container) or too old to find the file.
  if (download() || (run('apt-get', ['update']) && download())) return unpacked;
  const args = ['install', '-y', '--no-install-recommends', 'nats-server'];
  process.env.DEBIAN_FRONTEND = 'noninteractive';
  return run('apt-get', args) && works('/usr/sbin/nats-server') ? '/usr/sbin/nats-server' : null;
}

function download() {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  if (!run('apt-get', ['download', 'nats-server'], { cwd: folder })) return false;
  const deb = readdirSync(folder).find((name) => name.endsWith('.deb'));
  if (deb === undefined || !run('dpkg-deb', ['-x', deb, '.'], { cwd: folder })) return false;
  rmSync(join(folder, deb));
  return works(unpacked);
}

function works(path) {
  return path !== '' && existsSync(path) && run(path, ['--version']);
}
