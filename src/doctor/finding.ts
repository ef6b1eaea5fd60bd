// What a check found, and how findings are shown: a table for people, JSON for programs. `fail` is said
// only of what would stop a deployment or a part of it from working as asked.

export type Status = 'ok' | 'warn' | 'fail';

export type Finding = {
  /** Of the check: one word, or a word and what it was about. */
  readonly name: string;
  readonly status: Status;
  /** One line. */
  readonly finding: string;
  /** What to do about it; null with `ok` alone. */
  readonly mend: string | null;
};

export function ok(name: string, finding: string): Finding {
  return { name, status: 'ok', finding, mend: null };
}

export function warn(name: string, finding: string, mend: string): Finding {
  return { name, status: 'warn', finding, mend };
}

export function fail(name: string, finding: string, mend: string): Finding {
  return { name, status: 'fail', finding, mend };
}

/** A refusal in one line, which mostly ends with its own mend: `…; lower it`. Else `mend` is said. */
export function failOf(name: string, refusal: string, mend: string): Finding {
  const at = refusal.lastIndexOf('; ');
  if (at < 0) return fail(name, refusal, mend);
  return fail(name, refusal.slice(0, at), refusal.slice(at + 2));
}

export function hasFailed(findings: readonly Finding[]): boolean {
  return findings.some(({ status }) => status === 'fail');
}

export function findingsJson(findings: readonly Finding[]): string {
  return JSON.stringify({ ok: !hasFailed(findings), checks: findings }, null, 2);
}

export function findingsTable(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  const lines = findings.map(({ name, status, finding, mend }) => {
    const text = mend === null ? finding : `${finding}; ${mend}`;
    return `${status.padEnd(4)}  ${name.padEnd(width)}  ${text.replaceAll(/\s*[\r\n]+\s*/g, ' ')}`;
  });
  const count = (wanted: Status): number =>
    findings.filter(({ status }) => status === wanted).length;
  return [...lines, `${count('ok')} ok, ${count('warn')} warn, ${count('fail')} fail`].join('\n');
}

export function sizeText(bytes: number): string {
  if (bytes >= 2 ** 30) return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  return bytes >= 2 ** 20 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${Math.ceil(bytes / 1024)} KiB`;
}
