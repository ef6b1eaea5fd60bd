// The request that a gateway shows when it is ready, to paste into a shell.

import type { ApiSettings } from '../cli/config.ts';
import { digest } from '../std/hash.ts';

export function exampleRequest(
  url: string,
  model: string,
  api: Pick<ApiSettings, 'apiKeys' | 'apiKeyFile' | 'tls'>,
  env: Readonly<Record<string, string | undefined>>,
): string {
  const words = [`curl -N ${url}/v1/chat/completions`, "-H 'Content-Type: application/json'"];
  // Whoever has signed it: for one that is signed by itself that is the file.
  if (api.tls !== null) words.push(`--cacert ${quoted(api.tls.certFile)}`);
  const key = keyWord(api, env);
  if (key !== null) words.push(`-H "Authorization: Bearer ${key}"`);
  const body = {
    model,
    messages: [{ role: 'user', content: 'What is the capital of France?' }],
    temperature: 0,
    max_tokens: 25,
    stream: true,
  };
  return `${words.join(' ')} -d '${JSON.stringify(body)}'`;
}

/** The variable where it holds a key that is let in; else a word for whoever reads to replace. */
function keyWord(
  { apiKeys, apiKeyFile }: Pick<ApiSettings, 'apiKeys' | 'apiKeyFile'>,
  env: Readonly<Record<string, string | undefined>>,
): string | null {
  if (apiKeys.length === 0 && apiKeyFile === null) return null;
  const own = env['TDIST_API_KEY'] ?? '';
  return apiKeys.some((key) => key.digest === digest(own)) ? '$TDIST_API_KEY' : 'KEY';
}

function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
