// A thread that makes token ids of long texts: a prompt of 100 KB takes tens of milliseconds, during
// which no stream of the gateway would move. One model's tokenizer, built from the first message.

import { loadTokenizer, type Tokenizer } from '../text/tokenizer.ts';

declare const self: Worker;

export type ToEncoder =
  | { readonly type: 'open'; readonly tokenizer: unknown; readonly tokenizerConfig: unknown }
  | { readonly type: 'encode'; readonly job: number; readonly text: string };

/** Ids null: it could not. */
export type FromEncoder = { readonly job: number; readonly ids: Int32Array | null };

let tokenizer: Tokenizer | null = null;

self.onmessage = ({ data: message }: MessageEvent<ToEncoder>) => {
  if (message.type === 'open') {
    tokenizer = loadTokenizer(message);
    return;
  }
  const ids = tokenizer?.encode(message.text, { addSpecialTokens: false });
  const reply: FromEncoder = {
    job: message.job,
    ids: ids === undefined ? null : Int32Array.from(ids),
  };
  self.postMessage(reply);
};
