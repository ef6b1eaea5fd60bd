// Findings about what each role reads before it does anything: files that flags name, the folder for
// logs. By the readers of the roles themselves, so that what they refuse is refused here in their words.

import { readKeyFile, readTls } from '../api/gateway-files.ts';
import type { ApiSettings, CommonConfig } from '../cli/config.ts';
import { RepoCache } from '../hub/cache.ts';
import { repoText } from '../hub/name.ts';
import type { HubSettings } from '../hub/settings.ts';
import { openModelText } from '../model/folder.ts';
import { natsFileNames, natsFlags, readNatsFiles } from '../plane/nats-files.ts';
import { hubRepo } from '../role/model-place.ts';
import { type Finding, failOf, ok } from './finding.ts';
import type { Folder } from './look.ts';
import { checkCached, isWhole, tried } from './model-check.ts';

/** Null: no flag names one. */
export async function checkNatsFiles({ natsFiles }: CommonConfig): Promise<Finding | null> {
  const given = natsFileNames.filter((name) => natsFiles[name] !== null);
  if (given.length === 0) return null;
  const read = await tried(() => readNatsFiles(natsFiles));
  if ('fault' in read) return failOf('nats files', read.fault, 'see the flags --nats-…-file');
  return ok('nats files', `${given.map((name) => natsFlags[name]).join(', ')}: readable`);
}

export function checkLogDir(logDir: string, found: Folder): Finding {
  const name = 'log folder';
  if (found.error === null) return ok(name, `${logDir} can be written to`);
  const text = `--log-dir ${JSON.stringify(logDir)} cannot be written to (${found.error})`;
  return failOf(name, text, 'give a folder you own');
}

export async function checkGatewayFiles(
  { apiKeyFile, tls, tokenizerFolder }: ApiSettings,
  hubOf: () => HubSettings,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  if (apiKeyFile !== null) {
    const keys = await tried(() => readKeyFile(apiKeyFile).length);
    const count = 'value' in keys ? keys.value : 0;
    findings.push(
      'fault' in keys
        ? failOf('api keys', keys.fault, 'see --api-key-file')
        : ok('api keys', `${count} ${count === 1 ? 'key' : 'keys'} in ${apiKeyFile}`),
    );
  }
  if (tls !== null) {
    const pair = await tried(() => readTls(tls));
    findings.push(
      'fault' in pair
        ? failOf('tls', pair.fault, 'see --tls-cert and --tls-key')
        : ok('tls', `${tls.certFile} and its key`),
    );
  }
  if (tokenizerFolder !== null) findings.push(await checkTokenizer(tokenizerFolder, hubOf));
  return findings;
}

async function checkTokenizer(place: string, hubOf: () => HubSettings): Promise<Finding> {
  const name = 'tokenizer';
  const read = await tried(() => {
    const repo = hubRepo(place);
    if (repo !== null) {
      const { cacheDir, offline } = hubOf();
      const cached = new RepoCache(cacheDir, repo).lookUp('text');
      const hub = { name: repoText(repo), cacheDir, offline, cached };
      if (!isWhole(hub) || cached === null) return checkCached(name, hub);
      openModelText(cached.folder);
    } else openModelText(place);
    return ok(name, `${place} has its two files`);
  });
  return 'value' in read ? read.value : failOf(name, read.fault, 'see --tokenizer');
}
