// Whether the server at the other end of the bus has JetStream, and lets us use it. Asked over the bus:
// the object store's own connection is opened by whoever moves the first block.

import * as v from 'valibot';
import { toFault } from '../std/fault.ts';
import type { Bus } from './bus.ts';

const replySchema = v.object({
  error: v.optional(v.object({ description: v.optional(v.string(), '') })),
});

const mend = 'start nats-server with -js, or with a jetstream block in its configuration';

/** Null: it has. Else why not, in one line fit for a user. */
export async function jetStreamTrouble(bus: Bus, timeoutMs: number): Promise<string | null> {
  try {
    const reply = await bus.request('$JS.API.INFO', new Uint8Array(), { timeoutMs });
    const { error } = v.parse(replySchema, JSON.parse(new TextDecoder().decode(reply)));
    return error === undefined ? null : `JetStream says: ${error.description}; ${mend}`;
  } catch (thrown) {
    const { code, message } = toFault(thrown, 'plane');
    return code === 'no_worker' ? `the request plane has no JetStream; ${mend}` : message;
  }
}
