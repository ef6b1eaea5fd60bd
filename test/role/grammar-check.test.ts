// Which grammars a gateway accepts, found out in another thread: the same verdicts as in place, remembered,
// and a thread that is too slow or dies costs only what it was at.

import { expect, test } from 'bun:test';
import { inPlaceCheck } from '../../src/api/form.ts';
import type { GrammarSpec } from '../../src/protocol/grammar.ts';
import { limit } from '../../src/protocol/limit.ts';
import { ThreadGrammarCheck } from '../../src/role/grammar-check.ts';
import { type GrammarThread, startGrammarThread } from '../../src/role/grammar-port.ts';
import type { FromGrammar, ToGrammar } from '../../src/role/grammar-thread.ts';
import { ManualClock, realClock } from '../../src/std/clock.ts';
import { toFault } from '../../src/std/fault.ts';

const regex = (text: string): GrammarSpec => ({ kind: 'regex', text });
const said = (result: Promise<void>): Promise<string> =>
  result.then(
    () => 'right',
    (thrown: unknown) => `${toFault(thrown).code}: ${toFault(thrown).message}`,
  );

test('in its real thread, as in place', async () => {
  const check = new ThreadGrammarCheck({ clock: realClock, start: startGrammarThread });
  const specs: GrammarSpec[] = [
    regex('a+'),
    regex('('),
    { kind: 'json_object' },
    { kind: 'json_schema', text: '{"type":"foo"}' },
    { kind: 'ebnf', text: 'root ::= root' },
    { kind: 'choice', texts: ['a'] },
  ];
  const found = await Promise.all(specs.map((spec) => said(check.check(spec))));
  expect(found).toEqual(await Promise.all(specs.map((spec) => said(inPlaceCheck.check(spec)))));
  expect(found.filter((each) => each === 'right')).toHaveLength(3);
  check.stop();
});

function rig() {
  const clock = new ManualClock();
  const threads: (GrammarThread & { asked: ToGrammar[]; isEnded: boolean })[] = [];
  const check = new ThreadGrammarCheck({
    clock,
    start: () => {
      const thread = {
        onmessage: null,
        onerror: null,
        asked: [] as ToGrammar[],
        isEnded: false,
        postMessage: (message: ToGrammar) => thread.asked.push(message),
        terminate: () => {
          thread.isEnded = true;
        },
      };
      threads.push(thread);
      return thread;
    },
  });
  const tell = (data: FromGrammar): void => threads.at(-1)?.onmessage?.({ data });
  const fault = (message: string) => ({ code: 'invalid_request', message });
  return { clock, threads, check, tell, fault };
}

test('each is looked at once, however many ask', async () => {
  const { threads, check, tell, fault } = rig();
  const answers = [regex('a'), regex('b'), regex('a'), regex('b')].map((spec) =>
    said(check.check(spec)),
  );
  expect(threads[0]?.asked).toHaveLength(2);
  tell({ type: 'checked', job: 1, fault: null });
  tell({ type: 'checked', job: 2, fault: fault('no') });
  const wanted = ['right', 'invalid_request: no', 'right', 'invalid_request: no'];
  expect(await Promise.all(answers)).toEqual(wanted);
  expect([await said(check.check(regex('a'))), await said(check.check(regex('b')))]).toEqual(
    wanted.slice(0, 2),
  );
  expect(threads[0]?.asked).toHaveLength(2);
});

test('too slow: refused, and those behind it are looked at by another thread', async () => {
  const { clock, threads, check, tell } = rig();
  const slow = said(check.check(regex('slow')));
  const quick = said(check.check(regex('quick')));
  tell({ type: 'ready' });
  clock.advance(limit.grammarCompileMs);
  expect(threads).toHaveLength(1);
  clock.advance(2 * limit.grammarWatchMs);
  expect(threads.map(({ isEnded }) => isEnded)).toEqual([true, false]);
  expect(await slow).toBe(
    `invalid_request: compiling it took longer than ${limit.grammarCompileMs} ms; make it simpler`,
  );
  expect(threads[1]?.asked).toMatchObject([{ type: 'check', spec: regex('quick') }]);
  tell({ type: 'checked', job: 2, fault: null });
  expect(await quick).toBe('right');
  // Nothing is remembered of the slow one: it may have been the machine.
  const again = said(check.check(regex('slow')));
  tell({ type: 'checked', job: 3, fault: null });
  expect(await again).toBe('right');
});

test('a thread that never starts, and one that dies', async () => {
  const { clock, threads, check } = rig();
  const [first, second] = [said(check.check(regex('a'))), said(check.check(regex('b')))];
  clock.advance(limit.grammarStartMs + 2 * limit.grammarWatchMs);
  expect(await first).toStartWith('engine: the thread of grammars did not start');
  threads[1]?.onerror?.({ message: 'gone' });
  expect(await second).toBe('internal: the thread of grammars failed: gone');
  expect(threads.map(({ isEnded }) => isEnded)).toEqual([true, true]);
});

test('no more wait than may', async () => {
  const { check } = rig();
  const count = limit.grammarCheckCountMax;
  const waiting = Array.from({ length: count }, (_, i) => said(check.check(regex(`a{${i}}`))));
  expect(await said(check.check(regex('b')))).toStartWith('queue_full');
  check.stop();
  expect(new Set(await Promise.all(waiting)).size).toBe(1);
});

test('verdicts are forgotten, the oldest first', async () => {
  const { check, tell, threads } = rig();
  const ask = async (i: number): Promise<void> => {
    const before = threads[0]?.asked.length ?? 0;
    const answer = check.check(regex(`a{${i}}`));
    const message = threads[0]?.asked[before];
    if (message?.type === 'check') tell({ type: 'checked', job: message.job, fault: null });
    await answer;
  };
  const count = limit.grammarVerdictCountMax + 1;
  for (let i = 0; i < count; i++) await ask(i);
  await ask(count - 1);
  expect(threads[0]?.asked).toHaveLength(count);
  await ask(0);
  expect(threads[0]?.asked).toHaveLength(count + 1);
});
