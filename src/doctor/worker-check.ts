// Findings about workers that are alive: whether those that serve one model can work together. Pure.

import { limit } from '../protocol/limit.ts';
import type { Heartbeat } from '../protocol/message.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

export type Heard = {
  readonly workers: readonly { readonly heartbeat: Heartbeat; readonly silentMs: number }[];
  /** One line for each heartbeat that this version cannot read. */
  readonly unreadable: readonly string[];
};

/** The model that a worker started here would load. */
export type OwnModel = {
  readonly servedName: string;
  readonly modelDigest: string;
  readonly textDigest: string;
};

const silenceMs = 2 * limit.heartbeatMs;

export function checkWorkers(heard: Heard, own: OwnModel | null): readonly Finding[] {
  const beats = heard.workers.map(({ heartbeat }) => heartbeat);
  const models = [...new Set(beats.map(({ card }) => card.model))];
  return [
    count(beats),
    ...silent(heard),
    ...unreadable(heard),
    ...builds(beats),
    ...models.flatMap((model) => agreement(beats.filter(({ card }) => card.model === model))),
    ...(own === null ? [] : ownDigest(beats, own)),
  ];
}

function count(beats: readonly Heartbeat[]): Finding {
  if (beats.length === 0) return ok('workers', 'none is alive');
  const words = beats.map(({ worker, state }) => `${worker} ${state}`);
  return ok('workers', `${beats.length} alive: ${words.join(', ')}`);
}

function silent({ workers }: Heard): readonly Finding[] {
  return workers
    .filter(({ silentMs }) => silentMs > silenceMs)
    .map(({ heartbeat, silentMs }) =>
      warn(
        'silent',
        `${heartbeat.worker} (pid ${heartbeat.pid}) announced itself and has been silent for ${Math.round(silentMs)} ms`,
        'look at its log; end it if it hangs',
      ),
    );
}

function unreadable(heard: Heard): readonly Finding[] {
  return heard.unreadable.map((why) =>
    fail('protocol', why, 'run the same release of tdist everywhere'),
  );
}

function builds(beats: readonly Heartbeat[]): readonly Finding[] {
  const kinds = kindsOf(beats, ({ build }) => build);
  if (kinds.length < 2) return [];
  return [warn('versions', `several: ${shown(kinds)}`, 'restart the workers of the older one')];
}

function agreement(beats: readonly Heartbeat[]): readonly Finding[] {
  const model = beats[0]?.card.model ?? '';
  const findings: Finding[] = [];
  const stop = 'stop one kind, or give it another --worker-name';
  for (const part of ['modelDigest', 'textDigest'] as const) {
    const kinds = kindsOf(beats, ({ card }) => card[part].slice(0, 12));
    if (kinds.length < 2) continue;
    const what = part === 'modelDigest' ? 'weights' : 'tokenizers';
    findings.push(fail('models', `model ${model} with several ${what}: ${shown(kinds)}`, stop));
  }
  const dtypes = kindsOf(beats, ({ card }) => card.kvDtype);
  if (dtypes.length > 1) {
    const text = `model ${model} with several of --kv-cache-dtype: ${shown(dtypes)}; they share no cached KV`;
    findings.push(warn('kv', text, 'start all with the same --kv-cache-dtype'));
  }
  for (const [flag, of] of layoutParts) {
    const kinds = kindsOf(beats, of);
    if (kinds.length < 2) continue;
    const worse = canPair(beats) ? warn : fail;
    const text = `model ${model} with several of ${flag}: ${shown(kinds)}; KV does not cross between them`;
    findings.push(worse('kv', text, `start all with the same ${flag}`));
  }
  return findings;
}

const layoutParts: readonly (readonly [string, (beat: Heartbeat) => string])[] = [
  ['--block-tokens', ({ card }) => String(card.geometry.blockTokens)],
  ['layers, heads and their size', ({ card }) => shape(card.geometry)],
];

function shape({ layers, kvHeads, headDim }: Heartbeat['card']['geometry']): string {
  return `${layers}×${kvHeads}×${headDim}`;
}

/** Some context worker and some generate worker have one layout, or there is not one of each. */
function canPair(beats: readonly Heartbeat[]): boolean {
  const layouts = (role: Heartbeat['role']): string[] =>
    beats
      .filter((beat) => beat.role === role)
      .map((beat) => layoutParts.map(([, of]) => of(beat)).join(' '));
  const [context, generate] = [layouts('context'), layouts('generate')];
  if (context.length === 0 || generate.length === 0) return true;
  return context.some((layout) => generate.includes(layout));
}

function ownDigest(beats: readonly Heartbeat[], own: OwnModel): readonly Finding[] {
  const other = beats.find(
    ({ card }) =>
      card.model === own.servedName &&
      (card.modelDigest !== own.modelDigest || card.textDigest !== own.textDigest),
  );
  if (other === undefined) return [];
  const [here, there] = [own.modelDigest, other.card.modelDigest].map((text) => text.slice(0, 12));
  return [
    fail(
      'models',
      `${own.servedName} here is ${here}, that of ${other.worker} is ${there}`,
      'use the same files and --quantization, or another --worker-name',
    ),
  ];
}

type Kind = { readonly name: string; readonly workers: readonly string[] };

function kindsOf(beats: readonly Heartbeat[], of: (beat: Heartbeat) => string): readonly Kind[] {
  const names = [...new Set(beats.map(of))];
  return names.map((name) => ({
    name,
    workers: beats.filter((beat) => of(beat) === name).map(({ worker }) => worker),
  }));
}

function shown(kinds: readonly Kind[]): string {
  return kinds.map(({ name, workers }) => `${name} (${workers.join(', ')})`).join(' and ');
}
