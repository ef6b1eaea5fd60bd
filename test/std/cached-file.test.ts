// Files made once: whole or not at all, and a refusal that names folder and mend.

import { expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeCached } from '../../src/std/cached-file.ts';
import { toFault } from '../../src/std/fault.ts';

test('appears with its mode, its folder made; where it cannot, nothing stays', async () => {
  const root = mkdtempSync(join(tmpdir(), 'tdist-test-'));
  try {
    const content = new TextEncoder().encode('whole');
    const file = { what: 'a tool', content, mode: 0o755 };
    await writeCached(join(root, 'cache', 'tool'), file);
    expect(readFileSync(join(root, 'cache', 'tool'), 'utf8')).toBe('whole');
    expect(statSync(join(root, 'cache', 'tool')).mode & 0o777).toBe(0o755);
    expect(readdirSync(join(root, 'cache'))).toEqual(['tool']);

    writeFileSync(join(root, 'plain'), '');
    const refused = await writeCached(join(root, 'plain', 'tool'), file).then(
      () => null,
      (error: unknown) => toFault(error),
    );
    expect(refused?.code).toBe('config');
    expect(refused?.message).toStartWith(`writing a tool to ${join(root, 'plain')}: `);
    expect(refused?.message).toContain('XDG_CACHE_HOME');

    // Renaming onto a folder fails at the last step, when all has been written.
    const taken = join(root, 'cache', 'tool');
    rmSync(taken);
    await Bun.write(join(taken, 'inside'), '');
    await expect(writeCached(taken, file)).rejects.toThrow('a tool');
    expect(readdirSync(join(root, 'cache'))).toEqual(['tool']);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
