// What a benchmark says of its samples: the median and the spread, never a lone best.

export type Summary = {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  readonly count: number;
};

export function summarize(samples: readonly number[]): Summary {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share: number): number => {
    const index = Math.min(sorted.length - 1, Math.round(share * (sorted.length - 1)));
    return Math.round((sorted[index] ?? Number.NaN) * 1000) / 1000;
  };
  return { median: at(0.5), p10: at(0.1), p90: at(0.9), count: sorted.length };
}

/** Columns padded to their widest cell; the first column left, the others right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** `12.3` with as many digits as the size deserves. */
export function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
