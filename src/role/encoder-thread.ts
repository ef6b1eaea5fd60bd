// A thread that makes token ids of long texts: a prompt of 100 KB takes up to 25 ms, during
// which no stream of the gateway would move. One model's tokenizer, built from the first message.

import { setPriority } from 'node:os';
import { type EncodeOptions, loadTokenizer, type Tokenizer } from '../text/tokenizer.ts';

declare const self: Worker;

const niceness = 5;

export type ToEncoder =
  | { readonly type: 'open'; readonly tokenizer: unknown; readonly tokenizerConfig: unknown }
  | ({ readonly type: 'encode'; readonly job: number } & EncoderJob);

export type EncoderJob = { readonly parts: readonly string[]; readonly options: EncodeOptions };

/** Ids null: it could not. */
export type FromEncoder = { readonly job: number; readonly ids: Int32Array | null };

// On Linux process 0 is the calling thread: on one core the streams go first.
if (process.platform === 'linux') setPriority(0, niceness);

let tokenizer: Tokenizer | null = null;

self.onmessage = ({ data: message }: MessageEvent<ToEncoder>) => {
  if (message.type === 'open') {
    tokenizer = loadTokenizer(message);
    return;
  }
  const ids = tokenizer?.encodeParts(message.parts, message.options);
  const reply: FromEncoder = {
    job: message.job,
    ids: ids === undefined ? null : Int32Array.from(ids),
  };
  self.postMessage(reply);
};
