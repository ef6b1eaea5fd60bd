// What computes, as a port: tokens in, logits out, KV written in place. Synchronous on purpose; the
// engine has a thread of its own. Bodies: model/session.ts (ONNX Runtime) and test/engine/fake-runner.

export type Runner = {
  readonly vocabSize: number;
  /**
   * Feeds `ids` to the sequence in `slot` after its first `past` positions. Returns the logits after
   * the last of them, [vocabSize], or with `everyRow` after each of them, [ids.length, vocabSize], at most
   * `limit.scoreTokens`; the view is valid until the next call.
   */
  prefill(step: {
    slot: number;
    past: number;
    ids: readonly number[];
    everyRow?: boolean;
  }): Float32Array;
  /**
   * First chunks of several sequences at once: `prompts[i]` into slot + i, which is empty. Returns the
   * logits after each prompt's last token, [prompts.length, vocabSize].
   */
  prefillTogether(step: { slot: number; prompts: readonly (readonly number[])[] }): Float32Array;
  /**
   * Feeds one token to each of the slots 0 … count−1: `ids[i]` after slot i's first `pasts[i]`
   * positions. Returns logits [count, vocabSize]; the view is valid until the next call.
   */
  decode(step: { count: number; ids: Int32Array; pasts: Int32Array }): Float32Array;
};
