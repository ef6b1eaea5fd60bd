// `--role all`: request plane, gateway and workers from one command, ready when a request could be
// served the way it is meant to.

import type { AllConfig } from '../cli/config.ts';
import type { RoleIo } from '../cli/role-io.ts';
import { watchPresence } from '../plane/presence.ts';
import { Registry } from '../plane/registry.ts';
import { limit } from '../protocol/limit.ts';
import { subjects } from '../protocol/subject.ts';
import { realClock } from '../std/clock.ts';
import { silentLog } from '../telemetry/log.ts';
import { exampleRequest } from './example.ts';
import { freePort } from './free-port.ts';
import { openPlane } from './plane.ts';
import { waitUntilReady } from './readiness.ts';
import { supervise } from './supervisor.ts';

/** Nobody had to give the flag that starts it: `all` implies it. */
export const joining =
  'add --no-initialize-request-plane to use the one that runs there, or choose another port by --request-plane-uri';

export async function runAll(config: AllConfig, io: RoleIo): Promise<number> {
  const { host } = config.api;
  const port = config.api.port === 0 ? await freePort(host) : config.api.port;
  const url = `${config.api.tls === null ? 'http' : 'https'}://${host}:${port}`;
  const { generate, baseline } = config.workerCounts;
  if (generate + baseline === 0) {
    io.log.warn(
      'No generate or baseline worker was asked for: nothing can be served until one joins; add --generate-worker-count 1',
    );
  }
  return await supervise(config, io, {
    counts: config.workerCounts,
    modelName: config.worker.modelName,
    initializePlane: config.initializePlane,
    isPlanePrivate: true,
    joining,
    memoryShare: config.worker.memoryShare,
    firstIndex: 0,
    api: [`--api-server-host=${host}`, `--api-server-port=${port}`],
    async ready(uris, signal) {
      await waitForWorkers(config, uris, signal);
      await waitUntilReady(url, signal);
      io.log.say(`Ready: ${url}`);
      const { api, worker } = config;
      io.log.say(`Try it: ${exampleRequest(url, worker.servedName, api, process.env)}`);
    },
  });
}

/** Until all workers that were asked for are ready: the gateway could serve with fewer. */
async function waitForWorkers(
  config: AllConfig,
  uris: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const wanted = Object.values(config.workerCounts).reduce((a, b) => a + b, 0);
  const enough = Promise.withResolvers<void>();
  const ports = { clock: realClock, log: silentLog };
  const registry = new Registry({ ...ports, presenceMs: limit.presenceMs });
  registry.onChange(() => {
    const ready = registry.workers().filter((worker) => worker.state === 'ready');
    if (ready.length >= wanted) enough.resolve();
  });
  signal.addEventListener('abort', () => enough.reject(signal.reason), { once: true });
  const plane = openPlane({ ...config, planeUris: uris }, 'all', silentLog);
  const presence = watchPresence({
    ...ports,
    bus: plane.bus,
    registry,
    subjects: subjects(config.namespace),
  });
  try {
    await enough.promise;
  } finally {
    await presence.stop();
    await plane.close();
  }
}
