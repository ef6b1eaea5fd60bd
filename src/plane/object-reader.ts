// Reads an object's chunks in one round trip: a push consumer of this read's own, named by us and without
// acknowledgements, begins to deliver as soon as it is made. Order and number are checked by what
// JetStream writes into each message's reply subject. The consumer is deleted whatever happens; should
// that message be lost with the connection, the server drops it by itself.

import * as v from 'valibot';
import { toFault } from '../std/fault.ts';
import { type CallScope, flaw } from './call-scope.ts';
import type { JetStream } from './jetstream.ts';
import { Assembly } from './object-assembly.ts';
import type { ObjectInfo } from './object-store.ts';

/** Silence after which the server says that it has nothing more: how soon a half object is noticed. */
const idleHeartbeatMs = 500;
/** A consumer whose reader has gone is dropped after so long. */
const inactiveMs = 5000;

export type ReadOptions = {
  readonly jetStream: JetStream;
  readonly scope: CallScope;
  readonly stream: string;
  /** The chunks' subject. */
  readonly subject: string;
  readonly info: ObjectInfo;
  /** Names the consumer. */
  readonly consumer: string;
};

/** The bytes, counted, their digest checked, in a buffer of their own. */
export async function readChunks(options: ReadOptions): Promise<Uint8Array<ArrayBuffer>> {
  const { jetStream, scope, stream, subject, consumer } = options;
  if (options.info.bytes === 0) return new Uint8Array(0);
  const { link } = jetStream;
  const inbox = link.inbox();
  return await scope.wait<Uint8Array<ArrayBuffer>>((resolve, reject) => {
    const assembly = new Assembly(options.info, {
      chunkBytesMax: link.maxPayloadBytes,
      what: scope.what,
    });
    const unsubscribe = link.subscribe(inbox, (message) => {
      try {
        if (assembly.take(message, (reply) => link.publish(reply, nothing))) {
          resolve(assembly.bytes);
        }
      } catch (error) {
        reject(toFault(error, 'transfer'));
      }
    });
    const config = consumerConfig(consumer, inbox, subject);
    const create = `CONSUMER.CREATE.${stream}.${consumer}.${subject}`;
    jetStream.api(create, { stream_name: stream, config }, scope).then(
      ({ error, value }) => {
        if (error !== null) reject(jetStream.refusal(error, scope));
        else if (isEmpty(value)) reject(flaw('missing', `${scope.what}: its bytes are gone`));
      },
      (error: unknown) => reject(toFault(error)),
    );
    return () => {
      unsubscribe();
      try {
        jetStream.tell(`CONSUMER.DELETE.${stream}.${consumer}`);
      } catch {
        // Without a connection the server drops it after `inactiveMs`.
      }
    };
  });
}

const nothing = new Uint8Array(0);

const createdSchema = v.object({
  num_pending: v.number(),
  delivered: v.object({ consumer_seq: v.number() }),
});

/** Whether the new consumer has nothing to deliver and has delivered nothing. */
function isEmpty(created: unknown): boolean {
  const read = v.safeParse(createdSchema, created);
  return read.success && read.output.num_pending + read.output.delivered.consumer_seq === 0;
}

function consumerConfig(name: string, inbox: string, subject: string): Record<string, unknown> {
  return {
    name,
    deliver_subject: inbox,
    deliver_policy: 'all',
    filter_subject: subject,
    ack_policy: 'none',
    replay_policy: 'instant',
    max_deliver: 1,
    flow_control: true,
    idle_heartbeat: idleHeartbeatMs * 1e6,
    inactive_threshold: inactiveMs * 1e6,
    mem_storage: true,
    num_replicas: 1,
  };
}
