// Streams that broke because the request plane was away when their tokens were due. Their gateways
// cannot know; they are told as soon as the plane is back, instead of waiting for a silence to end.

import { protocolVersion, type TokensMessage } from '../protocol/message.ts';
import { toFault } from '../std/fault.ts';
import type { Log } from '../telemetry/log.ts';
import type { Bus } from './bus.ts';
import { encode } from './codec.ts';
import type { Job } from './job.ts';

/** Beyond this many, gateways find out by the silence. */
const countMax = 10_000;

export class LostStreams {
  readonly #ports: { readonly bus: Bus; readonly log: Log; readonly workerId: string };
  readonly #lost = new Map<string, Job>();

  constructor(ports: { readonly bus: Bus; readonly log: Log; readonly workerId: string }) {
    this.#ports = ports;
    ports.bus.onTrouble((trouble) => {
      if (trouble === null) this.#tell();
    });
  }

  note(job: Job): void {
    if (this.#lost.size < countMax) this.#lost.set(job.requestId, job);
  }

  #tell(): void {
    const { bus, log, workerId } = this.#ports;
    for (const { requestId, stream, nextIndex } of this.#lost.values()) {
      const chunk: TokensMessage = {
        v: protocolVersion,
        type: 'tokens',
        requestId,
        worker: workerId,
        first: nextIndex,
        ids: [],
        finish: null,
        fault: { code: 'plane', message: `worker ${workerId} had lost the request plane` },
      };
      try {
        bus.publish(stream, encode(chunk));
      } catch (error) {
        log.debug('cannot tell of a lost stream', { reason: toFault(error).message });
        return; // away again: the rest keeps waiting
      }
      this.#lost.delete(requestId);
    }
  }
}
