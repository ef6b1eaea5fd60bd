// What a server that calls itself JetStream answers.

import { streamFacts } from '../../src/plane/bucket-stream.ts';
import { CallScope } from '../../src/plane/call-scope.ts';
import { JetStream } from '../../src/plane/jetstream.ts';
import { bucketLayout } from '../../src/plane/object-layout.ts';
import { findMeta, writeMeta } from '../../src/plane/object-meta.ts';
import type { RawLink, RawMessage } from '../../src/plane/raw-plane.ts';
import { ManualClock } from '../../src/std/clock.ts';
import type { Dice } from './dice.ts';
import { fuzz } from './fuzz.ts';
import { jsonText, spoiled, spoiledBytes } from './mutate.ts';
import { oddText } from './odd.ts';

type Reply = Pick<RawMessage, 'data' | 'headers'>;

/** Answers everything alike. */
function linkThatSays(reply: Reply): RawLink {
  let handler: (message: RawMessage) => void = () => undefined;
  return {
    maxPayloadBytes: 1024,
    shown: 'nats://host:1',
    inbox: () => '_INBOX.x',
    publish(_subject, _payload, options) {
      handler({ ...reply, subject: options?.reply ?? '' });
    },
    subscribe(_subject, take) {
      handler = take;
      return () => undefined;
    },
    onLost: () => () => undefined,
    onRefused: () => () => undefined,
  };
}

const meta = {
  name: 'n',
  nuid: 'NUID',
  size: 9,
  chunks: 1,
  digest: 'SHA-256=abc=',
  options: { max_chunk_size: 128 },
  deleted: false,
};
const data = Buffer.from(JSON.stringify(meta)).toString('base64');
const replies: readonly object[] = [
  { config: { max_age: 1e9, allow_direct: true }, state: { bytes: 5 } },
  { message: { seq: 4, data, time: '2024-01-01T00:00:00Z' } },
  { error: { code: 404, err_code: 10037, description: 'no message found' } },
  meta,
];
const layout = bucketLayout('b');

function reply(dice: Dice): Reply {
  const text = jsonText(dice, spoiled(dice, dice.pick(replies)));
  const bytes = dice.isOneIn(8) ? spoiledBytes(dice, Buffer.from(text)) : Buffer.from(text);
  const code = dice.pick([0, 0, 404, 503, 408]);
  const value = oddText(dice);
  return dice.isOneIn(3) ? { data: bytes } : { data: bytes, headers: { code, get: () => value } };
}

const calls = {
  facts: (jetStream: JetStream, scope: CallScope) => streamFacts(jetStream, 'OBJ_b', scope),
  direct: (jetStream: JetStream, scope: CallScope) =>
    findMeta(jetStream, layout, { name: 'n', isDirect: true, scope }),
  leader: (jetStream: JetStream, scope: CallScope) =>
    findMeta(jetStream, layout, { name: 'n', isDirect: false, scope }),
  write: (jetStream: JetStream, scope: CallScope) =>
    writeMeta(jetStream, '$O.b.M.n', { data: new Uint8Array(1), expected: 0, scope }),
};

for (const [name, act] of Object.entries(calls)) {
  fuzz({
    name: `JetStream's answers, ${name}`,
    rounds: 500,
    make: reply,
    run: async (said) => {
      const call = { timeoutMs: 1000 };
      using scope = new CallScope({ clock: new ManualClock(), call, what: 'object n' });
      await act(new JetStream(linkThatSays(said)), scope);
    },
    codes: ['transfer'],
  });
}
