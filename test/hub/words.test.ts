// What is read from words: names, and the environment.

import { describe, expect, test } from 'bun:test';
import { isFileName, parseRepo } from '../../src/hub/name.ts';
import { hubSettings } from '../../src/hub/settings.ts';

describe('names', () => {
  test.each([
    ['HuggingFaceTB/SmolLM2-135M-Instruct', 'main'],
    ['org/tiny@v1.0', 'v1.0'],
    ['org/a.b_c-d@refs/pr/1', 'refs/pr/1'],
    [`org/tiny@${'a'.repeat(40)}`, 'a'.repeat(40)],
  ])('%s', (text, revision) => {
    expect(parseRepo(text)).toEqual({ id: text.split('@')[0] ?? '', revision });
  });

  test.each([
    ...['', 'tiny', '/org/tiny', 'org/tiny/', 'a/b/c', './tiny', '../tiny', 'org/..', 'org/.x'],
    ...['~/tiny', 'org/a..b', 'org/a--b', 'o--g/tiny', 'org/tiny.git', 'org/-x', 'org/x.', 'o g/x'],
    ...['org/tiny@', 'org/tiny@../x', 'org/tiny@a//b', 'org/tiny@/a', 'org/tiny@a/.b', 'org/t@a/'],
    ...[
      'org/tiny@a b',
      'org/tiny@-x',
      `org/${'x'.repeat(97)}`,
      'org/tiny\n',
      'org/tiny@a\n',
      'örg/x',
    ],
  ])('%p is none', (text) => {
    expect(parseRepo(text)).toBeNull();
  });

  test('files', () => {
    for (const name of ['config.json', 'model-00001-of-00002.safetensors', 'tokenizer.json']) {
      expect([name, isFileName(name)]).toEqual([name, true]);
    }
    for (const name of ['', '.', '..', '.x', 'a/b', '/a', 'a\\b', 'a\0', 'a\n', 'C:a', '-a']) {
      expect([name, isFileName(name)]).toEqual([name, false]);
    }
  });
});

describe('the environment', () => {
  const files = new Map<string, string>();
  const read = (env: Record<string, string>) =>
    hubSettings(env, { home: '/home/u', readText: (path) => files.get(path) ?? null });

  test('nothing set', () => {
    expect(read({})).toEqual({
      endpoint: 'https://huggingface.co',
      cacheDir: '/home/u/.cache/huggingface/hub',
      token: null,
      offline: false,
    });
  });

  test.each<[Record<string, string>, string]>([
    [{ XDG_CACHE_HOME: '/x' }, '/x/huggingface/hub'],
    [{ HF_HOME: '~/hf', XDG_CACHE_HOME: '/x' }, '/home/u/hf/hub'],
    [{ HF_HOME: '/hf', HUGGINGFACE_HUB_CACHE: '/old' }, '/old'],
    [{ HF_HOME: '/hf', HUGGINGFACE_HUB_CACHE: '/old', HF_HUB_CACHE: '/c' }, '/c'],
    [{ HF_HOME: '' }, '/home/u/.cache/huggingface/hub'],
  ])('the cache of %p', (env, cacheDir) => {
    expect(read(env).cacheDir).toBe(cacheDir);
  });

  test('the token: the variable, else the file of a login, wherever that is', () => {
    files.set('/home/u/.cache/huggingface/token', 'hf_stored\n');
    files.set('/other/token', 'hf_other');
    expect(read({}).token).toBe('hf_stored');
    expect(read({ HF_TOKEN: ' hf_mine\n' }).token).toBe('hf_mine');
    expect(read({ HF_TOKEN_PATH: '/other/token' }).token).toBe('hf_other');
    expect(read({ HF_HOME: '/other' }).token).toBe('hf_other');
    expect(read({ HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' }).token).toBeNull();
    expect(() => read({ HF_TOKEN: 'hf_a b' })).toThrow(/HF_TOKEN holds no token/);
    expect(() => read({ HF_TOKEN: 'hf_secret\r\nx: y' })).not.toThrow(/hf_secret/);
    files.clear();
  });

  test('the endpoint', () => {
    expect(read({ HF_ENDPOINT: 'http://mirror:8080/hf/' }).endpoint).toBe('http://mirror:8080/hf');
    for (const wrong of ['mirror', 'ftp://mirror', 'https://u:p@mirror', 'https://mirror/?a=1']) {
      expect(() => read({ HF_ENDPOINT: wrong })).toThrow(/HF_ENDPOINT=.*wanted a URL/);
    }
  });

  test('offline', () => {
    const on = ['1', 'true', 'YES', 'on'].map((text) => read({ HF_HUB_OFFLINE: text }).offline);
    expect(on).toEqual([true, true, true, true]);
    expect(read({ TRANSFORMERS_OFFLINE: '1' }).offline).toBeTrue();
    expect(read({ HF_HUB_OFFLINE: '0' }).offline).toBeFalse();
  });
});
