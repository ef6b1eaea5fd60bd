// Whether a device computes what it should: GPU kernels differ by driver and chip, and some are wrong
// (seen: attention over 32 and more tokens at once where a subgroup has 4 lanes). So before anybody is
// served, one text is computed in large chunks, in small ones and token by token, and must come out alike.

import type { Runner } from '../engine/runner.ts';
import type { DeviceKind } from '../model/device/device.ts';
import { Fault } from '../std/fault.ts';

/** Kernels for long inputs begin above this. */
const smallStep = 16;
/** Of the largest logit; float16 kernels stay below 0.01, wrong ones are off by the whole. */
const tolerance = 0.05;

/** Tokens of one step that this device may be given. Throws a Fault `engine` where not even few are right. */
export function trustedStep(
  runner: Runner,
  options: { kind: DeviceKind; capacity: number; stepTokens: number },
): number {
  const { kind, capacity, stepTokens } = options;
  const length = Math.min(capacity, stepTokens);
  const ids = Array.from({ length }, (_, i) => (i * 31 + 7) % Math.min(runner.vocabSize, 1000));
  const few = ids.slice(0, smallStep + 2);
  const byToken = inChunks(runner, few, 1);
  const small = inChunks(runner, few, smallStep);
  if (!isAlike(byToken, small)) {
    throw new Fault(
      'engine',
      `--device ${kind}: this device's driver computes wrong results (the same text in one piece and token by token differs); update the driver, or use --device cpu`,
    );
  }
  const whole = inChunks(runner, ids, smallStep);
  return isAlike(whole, inChunks(runner, ids, stepTokens)) ? stepTokens : smallStep;
}

/** Logits after the last of `ids`, computed `step` at a time in slot 0. */
function inChunks(runner: Runner, ids: readonly number[], step: number): Float32Array {
  let logits = new Float32Array();
  for (let past = 0; past < ids.length; past += step) {
    const chunk = ids.slice(past, past + step);
    logits = runner.prefill({ slot: 0, past, ids: chunk }).slice(0, runner.vocabSize);
  }
  return logits;
}

function isAlike(a: Float32Array, b: Float32Array): boolean {
  let largest = 0;
  let worst = 0;
  for (const [i, value] of a.entries()) {
    largest = Math.max(largest, Math.abs(value));
    // NaN compares as different.
    worst = Math.max(worst, Math.abs(value - (b[i] ?? Number.NaN)));
  }
  return worst <= largest * tolerance;
}
