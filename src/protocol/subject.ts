// NATS subjects, built from our own ids alone.
//
//   <ns>.worker.<worker>.<op>          requests to one worker
//   <ns>.heartbeat.<worker>            presence, from each worker
//   <ns>.gateway.<gateway>             presence, from each gateway
//   <ns>.who                           "tell me at once": a gateway that has just started
//   <ns>.tokens.<gateway>.<request>    token chunks to the gateway that asked

import type { WorkerOp } from './message.ts';

export function subjects(namespace: string) {
  return {
    worker: (worker: string, op: WorkerOp) => `${namespace}.worker.${worker}.${op}`,
    heartbeat: (worker: string) => `${namespace}.heartbeat.${worker}`,
    heartbeats: `${namespace}.heartbeat.*`,
    gateway: (gateway: string) => `${namespace}.gateway.${gateway}`,
    gateways: `${namespace}.gateway.*`,
    who: `${namespace}.who`,
    tokens: (gateway: string, request: string) => `${namespace}.tokens.${gateway}.${request}`,
    tokensOf: (gateway: string) => `${namespace}.tokens.${gateway}.*`,
  } as const;
}
export type Subjects = ReturnType<typeof subjects>;

/** The gateway that listens on this subject of tokens. */
export function gatewayOf(stream: string): string {
  return stream.split('.').at(-2) ?? '';
}
