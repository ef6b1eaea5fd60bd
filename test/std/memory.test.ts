import { afterAll, describe, expect, test } from 'bun:test';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  allocateFile,
  copyMemory,
  isFileAt,
  lockFile,
  mapAnonymousMemory,
  mapSharedFile,
  removeUnlockedFile,
  unmap,
  viewBytes,
  viewFloats,
  viewInts,
} from '../../src/std/memory.ts';

const folder = mkdtempSync(join(tmpdir(), 'tdist-memory-'));
afterAll(() => rmSync(folder, { recursive: true }));

function makeFile(name: string): string {
  const path = join(folder, name);
  writeFileSync(path, 'x');
  return path;
}

describe('mappings', () => {
  test('private memory begins as zeros and is seen through every view', () => {
    const mapping = mapAnonymousMemory(1 << 20);
    const bytes = viewBytes(mapping.address, mapping.bytes);
    expect(bytes.every((byte) => byte === 0)).toBeTrue();
    viewFloats(mapping.address + 8, 1)[0] = 1.5;
    expect(viewInts(mapping.address + 8, 1)[0]).toBe(0x3fc0_0000);
    copyMemory(mapping.address + 100, mapping.address + 8, 4);
    expect([...bytes.subarray(100, 104)]).toEqual([0, 0, 0xc0, 0x3f]);
    unmap(mapping);
  });

  test('more than there can be is a Fault', () => {
    expect(() => mapAnonymousMemory(2 ** 50)).toThrow(/could not map/);
  });

  test('a file mapped twice is one memory', () => {
    const fd = openSync(join(folder, 'shared'), 'wx+');
    ftruncateSync(fd, 8192);
    const writer = mapSharedFile(fd, 8192, 'write');
    const reader = mapSharedFile(fd, 8192, 'read');
    closeSync(fd);
    viewBytes(writer.address, 8192)[5000] = 77;
    expect(viewBytes(reader.address, 8192)[5000]).toBe(77);
    unmap(writer);
    unmap(reader);
  });

  test('what cannot be mapped is a Fault', () => {
    expect(() => mapSharedFile(-1, 4096, 'read')).toThrow(/could not map 4096 bytes of shared/);
  });

  test('a file larger than its file system is refused, not promised', () => {
    const fd = openSync(join(folder, 'large'), 'wx+');
    expect(allocateFile(fd, 8192)).toBeTrue();
    expect(allocateFile(fd, 2 ** 55)).toBeFalse();
    closeSync(fd);
  });
});

describe('file locks', () => {
  test('one open file holds it at a time; closing lets go', () => {
    const path = makeFile('lock');
    const [first, second] = [openSync(path, 'r'), openSync(path, 'r')];
    expect(lockFile(first, 'wait')).toBeTrue();
    expect(lockFile(second, 'try')).toBeFalse();
    closeSync(first);
    expect(lockFile(second, 'try')).toBeTrue();
    closeSync(second);
  });

  test.skipIf(process.platform !== 'linux')('a wait that a signal interrupts goes on', async () => {
    const path = makeFile('interrupted');
    const fd = openSync(path, 'r');
    lockFile(fd, 'wait');
    const script = join(import.meta.dir, 'lock-main.ts');
    const waiter = Bun.spawn([process.execPath, script, path], { stderr: 'inherit' });
    const reader = waiter.stdout.getReader();
    const said = async (): Promise<string> => new TextDecoder().decode((await reader.read()).value);
    expect(await said()).toBe('waiting\n');
    // It is in the lock's queue by now or soon; each signal ends a wait that does not begin anew.
    while (
      !readFileSync('/proc/locks', 'utf8').includes(`-> FLOCK  ADVISORY  WRITE ${waiter.pid} `)
    ) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const switches = (): number => {
      const status = readFileSync(`/proc/${waiter.pid}/status`, 'utf8');
      return Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(status)?.[1]);
    };
    for (let i = 0; i < 3; i++) {
      const before = switches();
      waiter.kill('SIGUSR2');
      while (switches() === before) await new Promise((resolve) => setImmediate(resolve));
    }
    closeSync(fd);
    expect(await said()).toBe('true\n');
    expect(await waiter.exited).toBe(0);
  });

  test('removes what nobody holds, and only that', () => {
    const path = makeFile('held');
    const fd = openSync(path, 'r');
    lockFile(fd, 'wait');
    expect(removeUnlockedFile(path)).toBeFalse();
    expect(existsSync(path)).toBeTrue();
    closeSync(fd);
    expect(removeUnlockedFile(path)).toBeTrue();
    expect(existsSync(path)).toBeFalse();
  });

  test('a missing file, and a folder in a file’s place, are left alone', () => {
    expect(removeUnlockedFile(join(folder, 'missing'))).toBeFalse();
    mkdirSync(join(folder, 'sub'));
    expect(removeUnlockedFile(join(folder, 'sub'))).toBeFalse();
    expect(existsSync(join(folder, 'sub'))).toBeTrue();
  });

  test('an open file is told from another one under its old name', () => {
    const path = makeFile('named');
    const fd = openSync(path, 'r');
    expect(isFileAt(path, fd)).toBeTrue();
    renameSync(path, `${path}.old`);
    expect(isFileAt(path, fd)).toBeFalse();
    makeFile('named');
    expect(isFileAt(path, fd)).toBeFalse();
    closeSync(fd);
  });
});
