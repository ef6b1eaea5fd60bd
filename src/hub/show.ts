// Bars where somebody looks at a terminal, lines now and then elsewhere.

import type { Clock } from '../std/clock.ts';
import { ProgressBars } from './bars.ts';
import { type Progress, ProgressLines } from './progress.ts';

type Stream = NodeJS.WritableStream & { readonly isTTY?: boolean };

export function openProgress(stream: Stream, clock: Clock, say: (line: string) => void): Progress {
  return stream.isTTY === true ? new ProgressBars(stream) : new ProgressLines({ clock, say });
}
