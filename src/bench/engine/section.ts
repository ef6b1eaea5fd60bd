// What one measurement gives: lines for the table, claims to hold it to, and its numbers for the JSON.

import { figure, type Summary } from '../statistics.ts';

export type Claim = {
  readonly name: string;
  readonly found: number;
  readonly wanted: number;
  /** `most`: found must not be above wanted. */
  readonly at: 'most' | 'least';
};

export type Section = {
  /** name, median, spread, unit, samples. */
  readonly rows: readonly (readonly string[])[];
  readonly claims: readonly Claim[];
  readonly figures: Readonly<Record<string, unknown>>;
};

export const tableHead = ['figure', 'median', 'p10–p90', 'unit', 'samples'];

export function summaryRow(name: string, unit: string, s: Summary): string[] {
  return [name, figure(s.median), `${figure(s.p10)}–${figure(s.p90)}`, unit, String(s.count)];
}

export function isMet({ found, wanted, at }: Claim): boolean {
  return at === 'most' ? found <= wanted : found >= wanted;
}

export function claimLine(claim: Claim): string {
  const { name, found, wanted, at } = claim;
  return `${isMet(claim) ? 'met   ' : 'MISSED'}  ${name}: ${figure(found)}, wanted at ${at} ${wanted}`;
}

export type Effort = {
  /** A short run: fewer rounds, wider spread. */
  readonly quick: boolean;
};
