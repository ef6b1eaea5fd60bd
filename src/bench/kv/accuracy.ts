// What a smaller KV costs in accuracy: the built-in prompts' KV goes through export and import in each
// dtype, and what the model then says is held against what it says with the KV as it was computed.
// Every step gets the token that the exact KV gave, so an early difference counts once; a prompt whose
// tokens all agree is answered to the letter as without the codec.

import { tokenBytes } from '../../kv/geometry.ts';
import { openModel } from '../../model/folder.ts';
import { type KvDtype, kvDtypes, kvPayloadBytes } from '../../protocol/kv-size.ts';
import { limit } from '../../protocol/limit.ts';
import { type BareModel, demoModel, openBare } from '../engine/model.ts';
import { type Effort, type Section, summaryRow } from '../engine/section.ts';
import { type KvDesk, openKvDesk } from '../kv-desk.ts';
import { figure, summarize } from '../statistics.ts';
import { type CodecSpeed, measureCodec } from './codec-speed.ts';
import { builtInPrompts } from './prompts.ts';

const answerTokens = 32;
/** Where the model reads a prompt's KV, and where it is kept as computed. */
const [handed, exact] = [0, 1];

type Answer = {
  readonly tokens: readonly number[];
  /** After the first token: the first that depend on the handed-over KV. */
  readonly logits: Float32Array;
};

/** One prompt in one dtype. */
type Run = { readonly tokens: number; readonly agreed: number; readonly deltaLogit: number };

export async function measureKvAccuracy({ quick }: Effort): Promise<Section> {
  const capacity = quick ? 320 : 1100;
  const model = await openBare(demoModel, { slots: 2, capacity });
  const demo = openModel(demoModel.modelName, demoModel.quantization);
  const prompts = await builtInPrompts(demo, capacity - answerTokens);
  const desks = kvDtypes.map((dtype) => ({ dtype, desk: openDesk(model, dtype, capacity) }));
  const runs: Record<KvDtype, Run[]> = {
    float32: [],
    float16: [],
    bfloat16: [],
    int8: [],
    fp8: [],
  };
  try {
    for (const { ids } of prompts) {
      const start = { past: ids.length, first: prefill(model, ids) };
      const reference = answer(model, start, { eosIds: demo.config.eosIds, given: null });
      // What was answered lies behind the prompt: the prompt's own rows are as computed.
      model.pool.moveSlot(handed, exact, ids.length);
      for (const { dtype, desk } of desks) {
        handOver(desk, ids);
        const found = answer(model, start, { eosIds: [], given: reference.tokens });
        runs[dtype].push(compare(reference, found));
      }
    }
  } finally {
    for (const { desk } of desks) desk[Symbol.dispose]();
  }
  const sections = kvDtypes.map((dtype) =>
    report(model, dtype, runs[dtype], measureCodec(model.geometry, dtype)),
  );
  model.close();
  const figures = Object.assign({}, ...sections.map((section) => section.figures));
  return {
    rows: sections.flatMap((section) => section.rows),
    claims: sections.flatMap((section) => section.claims),
    figures: { kvAccuracy: { prompts: prompts.length, ...figures } },
  };
}

function openDesk({ pool, geometry }: BareModel, dtype: KvDtype, capacity: number): KvDesk {
  const sizeBytes = (capacity + 2 * geometry.blockTokens) * (tokenBytes(geometry) + 128);
  return openKvDesk({ source: pool, target: pool, sizeBytes, keeps: false, dtype });
}

/** Into the slot that is read. The token that the last logits choose. */
function prefill({ session, pool }: BareModel, ids: readonly number[]): number {
  pool.touch(handed, ids.length);
  let logits = new Float32Array();
  for (let past = 0; past < ids.length; past += limit.stepTokens) {
    const chunk = ids.slice(past, past + limit.stepTokens);
    logits = Float32Array.from(session.prefill({ slot: handed, past, ids: chunk }));
  }
  return argmax(logits, session.vocabSize);
}

function handOver({ kvExport, kvImport }: KvDesk, ids: readonly number[]): void {
  const requestId = 'one at a time';
  kvExport.append({ requestId, ids, slot: exact, computed: ids.length });
  const ticket = kvExport.offer(requestId, limit.leaseMs);
  if (ticket === null) throw new Error('the arena is too small for the benchmark');
  kvImport.fetch({ ticket, ids, slot: handed, from: 0 });
  kvExport.release(requestId);
}

/** @param options.given the tokens that each step gets, whatever it chooses; null: what it chooses. */
function answer(
  { session }: BareModel,
  start: { readonly past: number; readonly first: number },
  options: { readonly eosIds: readonly number[]; readonly given: readonly number[] | null },
): Answer {
  const { eosIds, given } = options;
  const tokens: number[] = [];
  let logits = new Float32Array();
  let next = start.first;
  const count = given?.length ?? answerTokens;
  while (tokens.length < count && !(tokens.length > 0 && eosIds.includes(next))) {
    const pasts = Int32Array.of(start.past + tokens.length);
    const found = session.decode({ count: 1, ids: Int32Array.of(next), pasts });
    if (tokens.length === 0) logits = Float32Array.from(found.subarray(0, session.vocabSize));
    const chosen = argmax(found, session.vocabSize);
    next = given?.[tokens.length] ?? chosen;
    tokens.push(chosen);
  }
  return { tokens, logits };
}

function compare(reference: Answer, found: Answer): Run {
  const agreed = reference.tokens.filter((token, i) => token === found.tokens[i]).length;
  const deltas = reference.logits.map((logit, i) => Math.abs(logit - (found.logits[i] ?? 0)));
  return {
    tokens: reference.tokens.length,
    agreed,
    deltaLogit: deltas.reduce((most, delta) => Math.max(most, delta), 0),
  };
}

function argmax(logits: Float32Array, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) if ((logits[i] ?? 0) > (logits[best] ?? 0)) best = i;
  return best;
}

function report(
  { geometry }: BareModel,
  dtype: KvDtype,
  runs: readonly Run[],
  speed: CodecSpeed,
): Section {
  const bytesPerToken =
    kvPayloadBytes(dtype, geometry, geometry.blockTokens) / geometry.blockTokens;
  const ratio = bytesPerToken / tokenBytes(geometry);
  const tokens = runs.reduce((sum, run) => sum + run.tokens, 0);
  const agreementPercent = (100 * runs.reduce((sum, run) => sum + run.agreed, 0)) / tokens;
  const wholePrompts = runs.filter((run) => run.agreed === run.tokens).length;
  const deltas = runs.map((run) => run.deltaLogit);
  const deltaLogitMost = Math.max(...deltas);
  const of = `of ${tokens} tokens`;
  const rows = [
    [`${dtype}: KV, ${figure(100 * ratio)} % of float32`, figure(bytesPerToken), '', 'B/token', ''],
    [`${dtype}: greedy agreement, ${of}`, figure(agreementPercent), '', '%', String(runs.length)],
    [`${dtype}: prompts answered alike`, String(wholePrompts), '', 'prompts', String(runs.length)],
    summaryRow(
      `${dtype}: |Δ logit| after hand-over, largest ${(1000 * deltaLogitMost).toFixed(3)}`,
      '1/1000',
      summarize(deltas.map((delta) => 1000 * delta)),
    ),
    summaryRow(`${dtype}: encode, float32 in`, 'MiB/s', speed.encodeMibPerS),
    summaryRow(`${dtype}: decode, float32 out`, 'MiB/s', speed.decodeMibPerS),
  ];
  const isExact = dtype === 'float32';
  const claims: Section['claims'] = isExact
    ? [{ name: 'float32: |Δ logit| after hand-over', found: deltaLogitMost, wanted: 0, at: 'most' }]
    : [];
  const found = { bytesPerToken, ratio, tokens, agreementPercent, wholePrompts, deltaLogitMost };
  return { rows, claims, figures: { [dtype]: { ...found, ...speed } } };
}
