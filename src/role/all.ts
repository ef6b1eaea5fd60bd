// `--role all`: request plane, gateway and workers from one command, ready when a request could be
// served.

import type { AllConfig } from '../cli/config.ts';
import type { RoleIo } from '../cli/role-io.ts';
import { freePort } from './free-port.ts';
import { waitUntilReady } from './readiness.ts';
import { supervise } from './supervisor.ts';

export async function runAll(config: AllConfig, io: RoleIo): Promise<number> {
  const { host } = config.api;
  const port = config.api.port === 0 ? await freePort(host) : config.api.port;
  const url = `http://${host}:${port}`;
  return await supervise(config, io, {
    counts: config.workerCounts,
    initializePlane: config.initializePlane,
    api: [`--api-server-host=${host}`, `--api-server-port=${port}`],
    async ready(signal) {
      await waitUntilReady(url, signal);
      io.log.info(`Ready: ${url}`);
    },
  });
}
