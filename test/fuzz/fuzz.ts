// The runner: draws an input, gives it to a decoder and judges what comes of it. Good is a value, or a
// refusal by name; anything else, too long, or too much memory is a failure that says how to see it again.
// `FUZZ_ROUNDS` and `FUZZ_SEED` make a longer or another run of the same tests.

import { test } from 'bun:test';
import { Fault, type FaultCode, faultCharsMax } from '../../src/std/fault.ts';
import { Dice } from './dice.ts';
import { smaller } from './shrink.ts';

export type Target<Input> = {
  readonly name: string;
  readonly rounds: number;
  readonly make: (dice: Dice) => Input;
  /** Throws a Fault of `codes` for what it refuses; an answer that is none of these fails by itself. */
  readonly run: (input: Input) => unknown;
  readonly codes: readonly FaultCode[];
  /** A library's own words stand in the refusal, whatever it threw. */
  readonly quotes?: boolean;
};

/** Of the processor's time: the machine may have other work. Once more where it was slower: so may the collector. */
const caseLimitMs = 2000;
const caseBytesMax = 512 * 1024 * 1024;
/** Of all rounds together, behind a collection. */
const growthBytesMax = 256 * 1024 * 1024;

const wanted = Number(process.env['FUZZ_ROUNDS'] ?? 0);
const seed = Number(process.env['FUZZ_SEED'] ?? 1);

/** A test of its own; each decoder draws from its own numbers. */
export function fuzz<Input>(target: Target<Input>): void {
  const rounds = wanted > 0 ? wanted : target.rounds;
  test(
    `${target.name}, ${rounds} inputs of seed ${seed}`,
    async () => {
      const before = settledBytes();
      for (let round = 0; round < rounds; round++) {
        const input = target.make(new Dice(seed * 1_000_003 + round));
        const flaw = await flawOf(target, input);
        if (flaw !== null) throw await report(target, input, round, flaw);
      }
      const grown = settledBytes() - before;
      if (grown > growthBytesMax) throw new Error(`${target.name}: memory grew by ${grown} bytes`);
    },
    120_000 + rounds * caseLimitMs,
  );
}

async function flawOf<Input>(target: Target<Input>, input: Input): Promise<string | null> {
  const first = await once(target, input);
  return first === 'slow' ? await once(target, input) : first;
}

async function once<Input>(target: Target<Input>, input: Input): Promise<string | null> {
  const beganBytes = process.memoryUsage.rss();
  const began = process.cpuUsage();
  try {
    await target.run(input);
  } catch (thrown) {
    const flaw = flawOfThrown(target, thrown);
    if (flaw !== null) return flaw;
  }
  const { user, system } = process.cpuUsage(began);
  if ((user + system) / 1000 > caseLimitMs) return 'slow';
  return process.memoryUsage.rss() - beganBytes > caseBytesMax ? 'memory' : null;
}

function flawOfThrown<Input>({ codes, quotes }: Target<Input>, thrown: unknown): string | null {
  if (!(thrown instanceof Fault)) return `threw ${String(thrown)}`;
  if (!codes.includes(thrown.code))
    return `refused with ${thrown.code}: ${thrown.message.slice(0, 300)}`;
  if (thrown.message === '' || thrown.message.length > faultCharsMax) {
    return `refused with a message of ${thrown.message.length} characters`;
  }
  const { cause } = thrown;
  return isAccident(cause) && quotes !== true ? `refused by accident: ${String(cause)}` : null;
}

/** What code throws that did not look; a decoder of UTF-8 that was asked to be strict throws such, too. */
function isAccident(cause: unknown): boolean {
  if (cause instanceof TypeError)
    return !('code' in cause && cause.code === 'ERR_ENCODING_INVALID_ENCODED_DATA');
  return cause instanceof RangeError;
}

async function report<Input>(
  target: Target<Input>,
  input: Input,
  round: number,
  flaw: string,
): Promise<Error> {
  const kind = flaw.slice(0, 24);
  let least: unknown = input;
  for (let tries = 0, found = true; found && tries < 400; ) {
    found = false;
    for (const next of smaller(least)) {
      if (++tries > 400) break;
      // It is of the same kind as the input: only parts are left out.
      const again = await flawOf(target, next as Input);
      if (again?.slice(0, 24) !== kind) continue;
      least = next;
      found = true;
      break;
    }
  }
  return new Error(
    `${target.name}: FUZZ_SEED=${seed}, round ${round}: ${flaw}\n  input: ${shown(input)}\n  enough: ${shown(least)}`,
  );
}

function shown(input: unknown): string {
  if (input instanceof Uint8Array) {
    return `${input.byteLength} bytes ${Buffer.from(input.subarray(0, 256)).toString('hex')}`;
  }
  const text = JSON.stringify(input) ?? String(input);
  return text.length > 1500 ? `${text.slice(0, 1500)}… (${text.length} characters)` : text;
}

function settledBytes(): number {
  Bun.gc(true);
  return process.memoryUsage.rss();
}
