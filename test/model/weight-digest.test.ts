import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { contentDigest } from '../../src/model/weight-digest.ts';
import { digest } from '../../src/std/hash.ts';

const folder = mkdtempSync(join(tmpdir(), 'tdist-digest-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'w');
const kept = () => readdirSync(join(folder, 'digests'));

test('the content’s, however it is read', () => {
  const bytes = Uint8Array.from({ length: 9_000_000 }, (_, i) => i * 7);
  writeFileSync(path, bytes);
  const wanted = digest(bytes);
  expect(contentDigest({ bytes }, null)).toBe(wanted);
  expect(contentDigest({ path }, null)).toBe(wanted);
  expect(contentDigest({ path }, folder)).toBe(wanted);
  expect(contentDigest({ path }, folder)).toBe(wanted);
  expect(kept().length).toBe(1);
});

test('what was found is believed while the file is the same, and no longer', () => {
  writeFileSync(path, 'one');
  const one = contentDigest({ path }, folder);
  const [file] = kept().filter(
    (name) => readFileSync(join(folder, 'digests', name), 'utf8') === one,
  );
  writeFileSync(join(folder, 'digests', file ?? ''), 'a'.repeat(64));
  expect(contentDigest({ path }, folder)).toBe('a'.repeat(64));
  utimesSync(path, 1, 1);
  expect(contentDigest({ path }, folder)).toBe(one);
  writeFileSync(join(folder, 'digests', file ?? ''), 'cut sho');
});

test('a cache folder that cannot be written costs time, nothing else', () => {
  expect(contentDigest({ path }, path)).toBe(digest('one'));
});
