// KV out of a slot into the arena and from there into another's slot, with headers, hashes and
// checksums, on one core.

import { gibPerS, kvRounds, roundBytes, roundTokens } from '../kv-rounds.ts';
import { summarize } from '../statistics.ts';
import { type Effort, type Section, summaryRow } from './section.ts';

const gibPerSLeast = 1.5;

export function measureKvCopy({ quick }: Effort): Section {
  const rounds = kvRounds(quick);
  const exportGibPerS = summarize(rounds.map((round) => gibPerS(round.exportMs)));
  const importGibPerS = summarize(rounds.map((round) => gibPerS(round.importMs)));
  const bothGibPerS = summarize(
    rounds.map(({ exportMs, importMs }) => gibPerS(exportMs + importMs)),
  );
  return {
    rows: [
      summaryRow(`KV export, ${roundTokens} tokens of 135M`, 'GiB/s', exportGibPerS),
      summaryRow(`KV import, ${roundTokens} tokens of 135M`, 'GiB/s', importGibPerS),
      summaryRow('KV export + import, one core', 'GiB/s', bothGibPerS),
    ],
    claims: [
      {
        name: 'KV export + import on one core, GiB/s',
        found: bothGibPerS.median,
        wanted: gibPerSLeast,
        at: 'least',
      },
    ],
    figures: {
      kvCopy: { tokens: roundTokens, bytes: roundBytes, exportGibPerS, importGibPerS, bothGibPerS },
    },
  };
}
