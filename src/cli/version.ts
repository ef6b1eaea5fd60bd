// Which tdist this is. build.ts defines the build id; from sources there is none.

import { version as packageVersion } from '../../package.json';

declare const TDIST_BUILD: string;

export const version: string = packageVersion;
export const build: string = typeof TDIST_BUILD === 'string' ? TDIST_BUILD : 'source';

export const versionLine = `tdist ${version} (build ${build}, Bun ${Bun.version})`;
