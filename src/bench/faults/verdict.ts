// What a request's end counts as. Pure: an answer is identical to the undisturbed one, or ended by an
// error that has a name and a cause, and everything else is lost.

import type { Reply, Said } from './client.ts';

/** Codes that a lost worker, a lost plane or full workers may end a request with. */
const nameable: ReadonlySet<string> = new Set([
  'no_worker',
  'overloaded',
  'queue_full',
  'draining',
  'timeout',
  'plane',
]);

export type Verdict =
  | { readonly kind: 'identical' }
  | { readonly kind: 'named'; readonly code: string; readonly why: string }
  | { readonly kind: 'lost'; readonly why: string };

/**
 * @param wanted the undisturbed answer.
 * @param gatewayDied the gateway that it was asked of was killed meanwhile: a broken connection is a name.
 */
export function judge(
  reply: Pick<Reply, 'end' | 'choices'>,
  wanted: readonly Said[],
  { gatewayDied }: { readonly gatewayDied: boolean },
): Verdict {
  const { end, choices } = reply;
  const other = wrongChoice(choices, wanted, end.kind === 'whole');
  if (other !== null) return { kind: 'lost', why: other };
  switch (end.kind) {
    case 'whole':
      return { kind: 'identical' };
    case 'error':
      return nameable.has(end.code)
        ? { kind: 'named', code: end.code, why: end.message }
        : { kind: 'lost', why: `error ${end.code}: ${end.message}` };
    case 'connection':
    case 'broken':
      return gatewayDied
        ? { kind: 'named', code: 'connection', why: end.why }
        : { kind: 'lost', why: `${end.kind}: ${end.why}` };
  }
}

/** What was said must be the right answer, or the beginning of it. Null: it is. */
function wrongChoice(
  found: readonly Said[],
  wanted: readonly Said[],
  isWhole: boolean,
): string | null {
  for (const [index, right] of wanted.entries()) {
    const said = found[index] ?? { text: '', finish: null };
    const fits = isWhole
      ? said.text === right.text && said.finish === right.finish
      : right.text.startsWith(said.text);
    if (!fits) return `choice ${index}: ${difference(said, right)}`;
  }
  return null;
}

function difference(
  found: Pick<Said, 'text' | 'finish'>,
  wanted: Pick<Said, 'text' | 'finish'>,
): string {
  let at = 0;
  while (at < found.text.length && found.text[at] === wanted.text[at]) at++;
  const clip = (text: string): string => JSON.stringify(text.slice(at, at + 60));
  const ends = `finish ${found.finish} instead of ${wanted.finish}`;
  return `at character ${at} ${clip(found.text)} instead of ${clip(wanted.text)}, ${ends}`;
}

/**
 * How long each stream stood still because of what happened at `faultMs`: the longest wait between two
 * of its tokens that ended after it. Only of streams that had begun then and were not over.
 */
export function gapsAcross(
  choices: readonly Pick<Said, 'atMs'>[],
  faultMs: number,
): readonly number[] {
  return choices.flatMap(({ atMs }) => {
    const first = atMs[0] ?? Number.POSITIVE_INFINITY;
    if (first >= faultMs || (atMs.at(-1) ?? 0) <= faultMs) return [];
    let longest = 0;
    for (const [i, ms] of atMs.entries()) {
      if (i > 0 && ms > faultMs) longest = Math.max(longest, ms - (atMs[i - 1] ?? ms));
    }
    return [longest];
  });
}
