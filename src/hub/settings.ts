// What Python's tools read from the environment about the hub and its cache, read the same way.

import { join } from 'node:path';
import { Fault } from '../std/fault.ts';

export type HubSettings = {
  /** Scheme, host and perhaps a path, without a slash at its end. */
  readonly endpoint: string;
  /** Holds `models--ORG--REPO`. */
  readonly cacheDir: string;
  readonly token: string | null;
  /** Ask nobody. */
  readonly offline: boolean;
};

type Env = Readonly<Record<string, string | undefined>>;

export type SettingsPorts = {
  readonly home: string;
  /** A file's text; null where there is none that can be read. */
  readonly readText: (path: string) => string | null;
};

export const defaultEndpoint = 'https://huggingface.co';

/** Faults with code `config` where a variable has a value we cannot use. */
export function hubSettings(env: Env, { home, readText }: SettingsPorts): HubSettings {
  const path = (name: string): string | null => {
    const found = env[name];
    return found ? found.replace(/^~(?=\/|$)/, home) : null;
  };
  const hfHome =
    path('HF_HOME') ?? join(path('XDG_CACHE_HOME') ?? join(home, '.cache'), 'huggingface');
  const isOn = (name: string): boolean => /^(1|true|yes|on)$/i.test(env[name] ?? '');
  const given = env['HF_TOKEN'] || env['HUGGING_FACE_HUB_TOKEN'];
  const tokenFile = path('HF_TOKEN_PATH') ?? join(hfHome, 'token');
  const stored = (): string | null =>
    isOn('HF_HUB_DISABLE_IMPLICIT_TOKEN') ? null : readText(tokenFile);
  return {
    endpoint: endpointOf(env['HF_ENDPOINT'] || defaultEndpoint),
    cacheDir: path('HF_HUB_CACHE') ?? path('HUGGINGFACE_HUB_CACHE') ?? join(hfHome, 'hub'),
    token: given ? tokenOf(given, 'HF_TOKEN') : tokenOf(stored() ?? '', tokenFile),
    offline: isOn('HF_HUB_OFFLINE') || isOn('TRANSFORMERS_OFFLINE'),
  };
}

function endpointOf(text: string): string {
  const url = URL.parse(text);
  const isPlain = url !== null && url.username === '' && url.search === '' && url.hash === '';
  if (isPlain && /^https?:$/.test(url.protocol)) return url.href.replace(/\/+$/, '');
  throw new Fault(
    'config',
    `HF_ENDPOINT=${JSON.stringify(text)}: wanted a URL without user and query, for example ${defaultEndpoint}`,
  );
}

function tokenOf(text: string, where: string): string | null {
  const token = text.trim();
  if (token === '') return null;
  if (/^[!-~]{1,4096}$/.test(token)) return token;
  throw new Fault('config', `${where} holds no token: wanted one word of visible characters`);
}
