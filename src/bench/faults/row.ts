// A row of the faults' table: what was done, what became of the requests beside it, what was left.

import { figure } from '../statistics.ts';

export type Row = {
  readonly name: string;
  readonly injected: number;
  readonly requests: number;
  readonly identical: number;
  readonly named: Readonly<Record<string, number>>;
  /** What the named errors said. */
  readonly namedWhy: readonly string[];
  readonly lost: readonly string[];
  readonly leaked: readonly string[];
  readonly gapsMs: readonly number[];
  /** Answers by how their KV travelled. */
  readonly paths: Readonly<Record<string, number>>;
  /** Workers that answers have outlived. */
  readonly migrations: number;
};

/** How often each word is there. */
export function counted(words: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}

function added(all: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const [word, count] of all.flatMap(Object.entries<number>)) {
    sums[word] = (sums[word] ?? 0) + count;
  }
  return sums;
}

export const emptyRow: Row = {
  name: '',
  injected: 0,
  requests: 0,
  identical: 0,
  named: {},
  namedWhy: [],
  lost: [],
  leaked: [],
  gapsMs: [],
  paths: {},
  migrations: 0,
};

export function total(rows: readonly Row[]): Row {
  const sum = (of: (row: Row) => number): number => rows.reduce((all, row) => all + of(row), 0);
  return {
    name: 'all',
    injected: sum((row) => row.injected),
    requests: sum((row) => row.requests),
    identical: sum((row) => row.identical),
    named: added(rows.map(({ named }) => named)),
    namedWhy: rows.flatMap(({ namedWhy }) => namedWhy),
    lost: rows.flatMap(({ lost }) => lost),
    leaked: rows.flatMap(({ leaked }) => leaked),
    gapsMs: rows.filter(({ injected }) => injected > 0).flatMap(({ gapsMs }) => gapsMs),
    paths: added(rows.map(({ paths }) => paths)),
    migrations: sum((row) => row.migrations),
  };
}

export const rowHead = [
  'fault',
  'injected',
  'requests',
  'identical',
  'named error',
  'lost',
  'streams cut',
  'gap p99, s',
  'gap max, s',
  'leaked',
];

export function rowCells(row: Row): string[] {
  const { gapP99Ms, gapMaxMs } = rowFigures(row);
  const seconds = (ms: number | null): string => (ms === null ? '' : figure(ms / 1000));
  const named = Object.entries(row.named).map(([code, count]) => `${count} ${code}`);
  return [
    row.name,
    String(row.injected),
    String(row.requests),
    String(row.identical),
    named.join(', ') || '0',
    String(row.lost.length),
    String(row.gapsMs.length),
    seconds(gapP99Ms),
    seconds(gapMaxMs),
    String(row.leaked.length),
  ];
}

/** For the JSON line, and the gaps' percentiles, milliseconds. */
export function rowFigures({ gapsMs, ...row }: Row) {
  const sorted = gapsMs.toSorted((a, b) => a - b);
  const at = (share: number): number | null => sorted[Math.ceil(share * sorted.length) - 1] ?? null;
  return { ...row, streams: sorted.length, gapP99Ms: at(0.99), gapMaxMs: at(1) };
}
