// A generate worker's side of a hand-over in a process of its own: reads {ticket, ids} from stdin,
// imports, and prints what arrived as a checksum over the rows, or the fault.

import * as v from 'valibot';
import { PeerArenas } from '../../src/kv/peers.ts';
import { KvPool } from '../../src/kv/pool.ts';
import { ShmImport } from '../../src/kv/shm-import.ts';
import { shmTicketSchema } from '../../src/protocol/ticket.ts';
import { toFault } from '../../src/std/fault.ts';
import { checksum } from '../../src/std/hash.ts';
import { capacity, geometry, identity, kv, readRows } from './pool-rows.ts';

const requestSchema = v.object({ ticket: shmTicketSchema, ids: v.array(v.number()) });

const { ticket, ids } = v.parse(requestSchema, await Bun.stdin.json());
const pool = new KvPool(geometry, { slots: 2, capacity });
const peers = new PeerArenas({ identity, ownName: null });
const reader = new ShmImport({ peers, pool, kv, worker: 'reader' });
try {
  const bytes = reader.fetch({ ticket, ids, slot: 1, from: 0 });
  const rows = readRows(pool, 1, ids.length);
  const sum = checksum(new Uint8Array(rows.buffer));
  console.log(JSON.stringify({ bytes, sum }));
} catch (thrown) {
  console.log(JSON.stringify({ code: toFault(thrown).code }));
}
