// Long work, told of: a bar on a terminal, elsewhere a line every few seconds. Work that is over within
// a second says nothing.

import type { Clock } from '../std/clock.ts';
import type { Log } from '../telemetry/log.ts';

const quietMs = 1000;
const barEveryMs = 100;
const lineEveryMs = 5000;
const barWidth = 30;

/** @param draw writes to the terminal without a line end; null: there is none. */
export function createProgress(
  label: string,
  { clock, log, draw }: { clock: Clock; log: Log; draw: ((text: string) => void) | null },
): { report(bytes: number, total: number): void; end(): void } {
  const beginMs = clock.nowMs();
  let nextMs = beginMs + quietMs;
  let isDrawn = false;
  return {
    report(bytes, total) {
      const nowMs = clock.nowMs();
      if (nowMs < nextMs) return;
      nextMs = nowMs + (draw === null ? lineEveryMs : barEveryMs);
      const percent = total === 0 ? 100 : Math.floor((100 * bytes) / total);
      const leftS = Math.ceil(((nowMs - beginMs) / 1000) * (total / Math.max(1, bytes) - 1));
      if (draw === null) {
        log.info(label, { percent, ofMib: Math.round(total / 2 ** 20), leftS });
        return;
      }
      const full = Math.round((barWidth * percent) / 100);
      const bar = `${'█'.repeat(full)}${'░'.repeat(barWidth - full)}`;
      draw(`\r\x1b[K${label} ${bar} ${percent} % of ${gib(total)} GiB, ${leftS} s left`);
      isDrawn = true;
    },
    end() {
      if (isDrawn) draw?.('\r\x1b[K');
    },
  };
}

function gib(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(1);
}
