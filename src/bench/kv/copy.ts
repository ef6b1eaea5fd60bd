// The shared-memory path against plain memcpy of the same bytes, in turns, on one core: what is written into
// the arena and read out of it again goes through headers, hashes, two checksums and rows strewn over layers
// and heads; memcpy moves it there and back in one piece. Beside it what a token's KV weighs in each dtype.

import { kvDtypes, kvPayloadBytes } from '../../protocol/kv-size.ts';
import { copyMemory, mapAnonymousMemory, unmap, viewFloats } from '../../std/memory.ts';
import type { Effort, Section } from '../engine/section.ts';
import { summaryRow } from '../engine/section.ts';
import {
  gibPerS,
  type KvRound,
  kvRounds,
  roundBytes,
  roundGeometry,
  roundSlots,
  roundTokens,
} from '../kv-rounds.ts';
import { figure, summarize } from '../statistics.ts';

const ofMemcpyLeast = 0.5;

export function measureCopy({ quick }: Effort): Section {
  // Three pieces of memory for each slot, so that memcpy, too, finds nothing in the processor's cache.
  const plain = mapAnonymousMemory(3 * roundSlots * roundBytes);
  const at = (slot: number, piece: number): number =>
    plain.address + (3 * slot + piece) * roundBytes;
  // Without this all its pages are the one page of zeros, always in the cache.
  viewFloats(plain.address, plain.bytes / 4).fill(3);
  try {
    const rounds = kvRounds(quick, (slot) => {
      copyMemory(at(slot, 1), at(slot, 0), roundBytes);
      copyMemory(at(slot, 2), at(slot, 1), roundBytes);
    });
    return sectionOf(rounds);
  } finally {
    unmap(plain);
  }
}

function sectionOf(rounds: readonly KvRound[]): Section {
  const speeds = rounds.map(({ exportMs, importMs, asideMs }) => ({
    path: gibPerS(exportMs + importMs),
    memcpy: gibPerS(asideMs),
  }));
  const path = summarize(speeds.map((s) => s.path));
  const memcpy = summarize(speeds.map((s) => s.memcpy));
  const ratio = summarize(speeds.map((s) => s.path / s.memcpy));
  const perToken = kvDtypes.map((dtype) => {
    const { blockTokens } = roundGeometry;
    return [dtype, kvPayloadBytes(dtype, roundGeometry, blockTokens) / blockTokens] as const;
  });
  return {
    rows: [
      summaryRow(`copy: export + import, ${roundTokens} tokens of 135M`, 'GiB/s', path),
      summaryRow('copy: memcpy there and back', 'GiB/s', memcpy),
      summaryRow('copy: export + import ÷ memcpy', '', ratio),
      ...perToken.map(([dtype, bytes]) => [
        `copy: KV of a token, 135M, ${dtype}`,
        figure(bytes),
        '',
        'B',
        '',
      ]),
    ],
    claims: [
      {
        name: 'float32: export + import ÷ memcpy there and back',
        found: ratio.median,
        wanted: ofMemcpyLeast,
        at: 'least',
      },
    ],
    figures: {
      copy: {
        tokens: roundTokens,
        path,
        memcpy,
        ratio,
        bytesPerToken: Object.fromEntries(perToken),
      },
    },
  };
}
