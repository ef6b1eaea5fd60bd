// Which models can be asked for now, by name. The name is a key into what live workers announce and
// nothing else: it is never a path, and never part of a subject.

import type { Route, ServedModel } from '../protocol/request.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, type FaultCode, toFault } from '../std/fault.ts';
import type { TextModel } from '../text/text-model.ts';
import { clip } from './fault.ts';
import type { Gateway } from './gateway.ts';

/** How often a request that waits for its first worker looks again. */
const lookAgainMs = 50;
const namesShown = 8;

export function servedModels(gateway: Gateway): readonly ServedModel[] {
  const models = gateway.cluster.models();
  return gateway.onlyModel === null
    ? models
    : models.filter((model) => model.name === gateway.onlyModel);
}

/** The model of this name; of none: the only one there is. */
export function servedModel(gateway: Gateway, name: string | null): ServedModel | undefined {
  const models = servedModels(gateway);
  return name === null ? onlyOf(models) : models.find((model) => model.name === name);
}

/** Why nothing could be served now; null when a request could be. */
export function unreadyReason(gateway: Gateway): string | null {
  if (gateway.gate.draining) return 'the server is shutting down';
  const reason = gateway.cluster.unready();
  if (reason !== null || servedModels(gateway).length > 0) return reason;
  return gateway.onlyModel === null
    ? 'no worker announces a model'
    : `no worker announces the model '${gateway.onlyModel}' that --model-name asks for`;
}

/**
 * The model that a request means. While the cluster is not ready (workers still starting, or all
 * lost) an unknown name may become known, so the request waits, unless it insists on a route that will
 * not be there; the caller bounds that by `signal`.
 */
export async function findModel(
  gateway: Gateway,
  name: string | null,
  signal: AbortSignal,
  route: Route | null = null,
): Promise<ServedModel> {
  for (;;) {
    const models = servedModels(gateway);
    const found = servedModel(gateway, name);
    if (found !== undefined) return found;
    const excluded = name !== null && gateway.onlyModel !== null && name !== gateway.onlyModel;
    if (excluded || unreadyReason(gateway) === null) throw modelFault(name ?? '', models);
    const missing = name === null || route === null ? null : gateway.cluster.missing(name, route);
    if (missing !== null) throw new Fault('no_worker', missing);
    await pause(gateway.clock, lookAgainMs, signal);
  }
}

/** Of the request plane, not of the files: the same may succeed a little later. */
const passing: ReadonlySet<FaultCode> = new Set<FaultCode>(['plane', 'no_worker', 'timeout']);

/**
 * The text side of a model. It comes from a worker, so an outage of the request plane makes the request
 * wait as it would wait for the worker itself; the caller bounds that by `signal`.
 */
export async function findText(
  gateway: Gateway,
  model: ServedModel,
  signal: AbortSignal,
): Promise<TextModel> {
  for (;;) {
    try {
      return await gateway.texts.get(model);
    } catch (thrown) {
      if (!passing.has(toFault(thrown).code)) throw thrown;
    }
    await pause(gateway.clock, lookAgainMs, signal);
  }
}

export function modelFault(name: string, models: readonly ServedModel[]): Fault {
  const names = models.slice(0, namesShown).map((model) => `'${clip(model.name, 60)}'`);
  const served = names.length === 0 ? 'none at the moment' : names.join(', ');
  return name === ''
    ? new Fault('invalid_request', `model is required. Models served here: ${served}.`, {
        param: 'model',
      })
    : new Fault(
        'model_not_found',
        `The model '${clip(name, 100)}' does not exist. Models served here: ${served}.`,
        { param: 'model' },
      );
}

function onlyOf(models: readonly ServedModel[]): ServedModel | undefined {
  return models.length === 1 ? models[0] : undefined;
}

/** Resolves after `delayMs`, or rejects with the signal's reason. */
function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      timer.cancel();
      reject(signal.reason);
    };
    const timer = clock.after(delayMs, () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
