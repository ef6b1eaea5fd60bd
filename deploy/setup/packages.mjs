// npm packages by the lock file, and among them Bun: its npm package ships one binary per platform,
// which needs no install script.

import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Problem, root, run, step } from './step.mjs';

const nodeMin = [18, 17];
const stamp = join(root, 'node_modules/.tdist-lock');
const lock = join(root, 'package-lock.json');

export function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < nodeMin[0] || (major === nodeMin[0] && minor < nodeMin[1])) {
    const found = process.versions.node;
    throw new Problem(`Node ${found} is too old; install Node ${nodeMin.join('.')} or newer`);
  }
  if (!run('npm', ['--version'])) throw new Problem('npm is missing; install it (apt install npm)');
}

/** `npm ci`, unless what lies in node_modules was installed from this very lock file. */
export function installPackages() {
  const wanted = createHash('sha256').update(readFileSync(lock)).digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  if (existsSync(stamp) || !isInstalledByHand()) {
    refuseLink();
    // NODE_ENV=production would leave out Bun, which is a development dependency.
    const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
    const failure = 'npm ci failed; is the npm registry reachable?';
    step('npm packages', () => run('npm', args, { failure }));
  }
  writeFileSync(stamp, wanted);
}

/** `npm ci` empties the folder that a link leads to, under the feet of everybody who shares it. */
function refuseLink() {
  const folder = join(root, 'node_modules');
  if (lstatSync(folder, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return;
  throw new Problem(
    'node_modules is a link and its packages are not those of package-lock.json; npm ci would empty ' +
      'the folder it leads to. Remove the link, or run npm ci where it leads',
  );
}

/** A developer's own `npm ci` leaves npm's copy of the lock file, newer than ours. */
function isInstalledByHand() {
  const copy = join(root, 'node_modules/.package-lock.json');
  return existsSync(copy) && statSync(copy).mtimeMs >= statSync(lock).mtimeMs;
}

/** The Bun of this platform: whichever of the installed ones runs. */
export function bunPath() {
  const folder = join(root, 'node_modules/@oven');
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  const paths = names.map((name) => join(folder, name, 'bin', 'bun'));
  const works = paths.find((path) => existsSync(path) && run(path, ['--version']));
  if (works !== undefined) return works;
  const found = names.length === 0 ? 'none' : names.join(', ');
  throw new Problem(
    `no Bun for ${process.platform} ${process.arch} runs here (installed: ${found}); ` +
      'remove node_modules and try again',
  );
}
