// What a series of memory samples says: the line through them by least squares. Pure.

export type Sample = { readonly atMs: number; readonly bytes: number };

export type Trend = {
  readonly count: number;
  readonly firstMiB: number;
  readonly lastMiB: number;
  readonly maxMiB: number;
  readonly slopeMiBPerH: number;
  /** Standard error of the slope, as if samples did not depend on each other. */
  readonly errorMiBPerH: number;
};

const mib = 2 ** 20;
const hourMs = 3_600_000;

export function trendOf(samples: readonly Sample[]): Trend {
  const points = samples.map(({ atMs, bytes }) => ({ x: atMs / hourMs, y: bytes / mib }));
  const count = points.length;
  const mean = (of: (point: { x: number; y: number }) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / count;
  const [meanX, meanY] = [mean(({ x }) => x), mean(({ y }) => y)];
  const spread = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
  const slope = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / spread;
  const rest = points.reduce((sum, { x, y }) => sum + (y - meanY - slope * (x - meanX)) ** 2, 0);
  return {
    count,
    firstMiB: points[0]?.y ?? Number.NaN,
    lastMiB: points.at(-1)?.y ?? Number.NaN,
    maxMiB: Math.max(...points.map(({ y }) => y)),
    slopeMiBPerH: slope,
    errorMiBPerH: Math.sqrt(rest / Math.max(1, count - 2) / spread),
  };
}

/** `unclear`: above what is wanted by less than two standard errors; only more time can tell. */
export function wordFor(
  { slopeMiBPerH, errorMiBPerH }: Pick<Trend, 'slopeMiBPerH' | 'errorMiBPerH'>,
  wantedMiBPerH: number,
): 'met' | 'unclear' | 'MISSED' {
  if (slopeMiBPerH <= wantedMiBPerH) return 'met';
  return slopeMiBPerH - 2 * errorMiBPerH <= wantedMiBPerH ? 'unclear' : 'MISSED';
}

/**
 * The lowest sample of each window. What a process holds for good shows there; how much garbage it had
 * when it was looked at does not.
 */
export function floors(samples: readonly Sample[], windowMs: number): readonly Sample[] {
  const lowest = new Map<number, Sample>();
  for (const sample of samples) {
    const window = Math.floor(sample.atMs / windowMs);
    const known = lowest.get(window);
    if (known === undefined || sample.bytes < known.bytes) lowest.set(window, sample);
  }
  return [...lowest.values()];
}
