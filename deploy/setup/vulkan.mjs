// For tests of --device webgpu on machines without a GPU: a Vulkan driver in software (SwiftShader, as
// Debian's chromium brings it) and the loader, unpacked into build/vulkan without installing either.
// Without them those tests are skipped; nothing else needs them.

import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root, run, step } from './step.mjs';

const folder = join(root, 'build/vulkan');
const files = ['libvk_swiftshader.so', 'vk_swiftshader_icd.json', 'libvulkan.so.1'];

/** True when the driver is there. */
export function findSoftwareVulkan() {
  if (files.every((name) => existsSync(join(folder, name)))) return true;
  if (!run('apt-get', ['--version'])) return false;
  return step("a Vulkan driver for tests from Debian's packages", fetchDriver);
}

function fetchDriver() {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const download = () => run('apt-get', ['download', 'chromium-common'], { cwd: folder });
  if (!download() && !(run('apt-get', ['update']) && download())) return false;
  const deb = readdirSync(folder).find((name) => name.endsWith('.deb'));
  if (deb === undefined) return false;
  const paths = files.map((name) => `./usr/lib/chromium/${name}`).join(' ');
  const unpack = `dpkg-deb --fsys-tarfile "$1" | tar -x --strip-components=4 ${paths}`;
  run('sh', ['-c', unpack, 'sh', deb], { cwd: folder });
  rmSync(join(folder, deb));
  return files.every((name) => existsSync(join(folder, name)));
}
