// Who is alive. Heartbeats go in, a view of the cluster comes out: workers, groups that understand
// each other, models that could be asked for. Time comes from a clock port; plane/presence.ts feeds it
// from the bus. Instance ids are the identity, so a restarted worker is a new one.

import { limit } from '../protocol/limit.ts';
import type { Member } from '../protocol/member.ts';
import type { Heartbeat } from '../protocol/message.ts';
import type { ServedModel } from '../protocol/request.ts';
import type { Clock } from '../std/clock.ts';
import type { Log } from '../telemetry/log.ts';
import { type Group, groupsOf, isServable, keyOf, preferred } from './group.ts';
import { PrefixIndex } from './prefix-index.ts';

export type LiveWorker = {
  readonly heartbeat: Heartbeat;
  /** When it was first heard of, and last. */
  readonly sinceMs: number;
  readonly seenMs: number;
  /** Of its group. */
  readonly key: string;
};

export type RegistryOptions = {
  readonly clock: Clock;
  readonly log: Log;
  /** Silence after which a worker is gone. */
  readonly presenceMs: number;
  /** More workers than this are not looked at. */
  readonly workerCountMax?: number;
  /** More cached blocks than this are not remembered, all workers together. */
  readonly prefixKeyCountMax?: number;
};

const workerCountDefault = 4096;

export class Registry {
  /** The cached blocks that heartbeats named; taken out of the heartbeats that are kept here. */
  readonly prefixes: PrefixIndex;
  readonly #options: RegistryOptions;
  /** In order of arrival: a map keeps the place of a key that is set again. */
  readonly #workers = new Map<string, LiveWorker>();
  readonly #firstSeenS = new Map<string, number>();
  readonly #warned = new Set<string>();
  readonly #changeHandlers = new Set<() => void>();
  readonly #beatHandlers = new Set<(worker: string) => void>();
  readonly #goneHandlers = new Set<(worker: string, why: string) => void>();

  constructor(options: RegistryOptions) {
    this.#options = options;
    const { log, prefixKeyCountMax = limit.prefixKeyTotalMax } = options;
    this.prefixes = new PrefixIndex({ log, keyCountMax: prefixKeyCountMax });
  }

  /** Takes one heartbeat in. */
  observe(told: Heartbeat): void {
    const { clock, log, workerCountMax = workerCountDefault } = this.#options;
    const known = this.#workers.get(told.worker);
    if (told.state === 'gone') {
      if (known !== undefined) this.#remove(told.worker, 'said goodbye');
      return;
    }
    const heartbeat: Heartbeat = { ...told, load: { ...told.load, prefixKeys: [] } };
    if (known === undefined && this.#workers.size >= workerCountMax) {
      const text = `more than ${workerCountMax} workers; ${heartbeat.worker} and others are ignored`;
      this.#warnOnce('full', () => log.warn(text));
      return;
    }
    const key = keyOf(heartbeat.card);
    const seenMs = clock.nowMs();
    const sinceMs = known?.sinceMs ?? seenMs;
    this.#workers.set(heartbeat.worker, { heartbeat, sinceMs, seenMs, key });
    this.prefixes.set(heartbeat.worker, told.load.prefixKeys);
    for (const handler of this.#beatHandlers) handler(heartbeat.worker);
    if (known?.key === key && known.heartbeat.state === heartbeat.state) return;
    this.#noteName(heartbeat);
    this.#changed();
  }

  /** A worker's own word on its state, ahead of the heartbeat that will say the same. */
  noteState(worker: string, state: Heartbeat['state']): void {
    const known = this.#workers.get(worker);
    if (known === undefined || known.heartbeat.state === state) return;
    this.#workers.set(worker, { ...known, heartbeat: { ...known.heartbeat, state } });
    this.#changed();
  }

  /** Drops those who have been silent for too long. */
  expire(): void {
    const { clock, presenceMs } = this.#options;
    const nowMs = clock.nowMs();
    for (const [id, worker] of this.#workers) {
      const silentMs = nowMs - worker.seenMs;
      if (silentMs >= presenceMs) {
        this.#remove(id, `was silent for ${Math.round(silentMs)} ms`);
      }
    }
  }

  /** When `expire` will next have something to do; null while nobody is known. */
  nextExpiryMs(): number | null {
    let next: number | null = null;
    for (const { seenMs } of this.#workers.values()) {
      const dueMs = seenMs + this.#options.presenceMs;
      if (next === null || dueMs < next) next = dueMs;
    }
    return next;
  }

  has(worker: string): boolean {
    return this.#workers.has(worker);
  }

  /** Age of a worker's last heartbeat; 0 for one that is not here. */
  ageMs(worker: string): number {
    const nowMs = this.#options.clock.nowMs();
    return nowMs - (this.#workers.get(worker)?.seenMs ?? nowMs);
  }

  workers(): readonly Heartbeat[] {
    return [...this.#workers.values()].map(({ heartbeat }) => heartbeat);
  }

  members(): readonly Member[] {
    return [...this.#workers.values()].map(memberOf);
  }

  member(worker: string): Member | null {
    const found = this.#workers.get(worker);
    return found === undefined ? null : memberOf(found);
  }

  /**
   * The workers that serve `model`: one group, whose members understand each other. The one of that
   * key, where the request has been begun by one of its members.
   */
  group(model: string, key: string | null = null): readonly Heartbeat[] {
    const groups = groupsOf(this.#workers.values()).get(model) ?? [];
    const found = key === null ? preferred(groups) : groups.find((group) => group.key === key);
    return found?.workers ?? [];
  }

  models(): readonly ServedModel[] {
    const models: ServedModel[] = [];
    for (const [name, groups] of groupsOf(this.#workers.values())) {
      const group = preferred(groups);
      if (group !== null && isServable(group)) models.push(this.#modelOf(name, group));
    }
    return models;
  }

  /** Calls back when membership or a worker's state or card changed; not for load alone. */
  onChange(handler: () => void): () => void {
    this.#changeHandlers.add(handler);
    return () => this.#changeHandlers.delete(handler);
  }

  /** Calls back after each heartbeat of a worker that is alive. */
  onBeat(handler: (worker: string) => void): () => void {
    this.#beatHandlers.add(handler);
    return () => this.#beatHandlers.delete(handler);
  }

  onGone(handler: (worker: string, why: string) => void): () => void {
    this.#goneHandlers.add(handler);
    return () => this.#goneHandlers.delete(handler);
  }

  #modelOf(name: string, group: Group): ServedModel {
    const cards = group.workers.map(({ card }) => card);
    return {
      name,
      maxModelLen: Math.min(...cards.map(({ maxModelLen }) => maxModelLen)),
      vocabSize: Math.min(...cards.map(({ vocabSize }) => vocabSize)),
      textDigest: group.textDigest,
      toolParser: cards.find(({ toolParser }) => toolParser)?.toolParser ?? null,
      reasoningParser:
        cards.find(({ reasoningParser }) => reasoningParser)?.reasoningParser ?? null,
      createdS: this.#firstSeenS.get(name) ?? this.#options.clock.epochS(),
    };
  }

  #remove(id: string, why: string): void {
    this.#workers.delete(id);
    this.prefixes.delete(id);
    this.#options.log.info('Worker left', { worker: id, why });
    for (const handler of [...this.#goneHandlers]) handler(id, why);
    this.#changed();
  }

  #noteName({ worker, role, state, card }: Heartbeat): void {
    const { clock, log, workerCountMax = workerCountDefault } = this.#options;
    log.debug('worker seen', { worker, role, state, model: card.model });
    if (!this.#firstSeenS.has(card.model) && this.#firstSeenS.size < workerCountMax) {
      this.#firstSeenS.set(card.model, clock.epochS());
    }
    const groups = groupsOf(this.#workers.values()).get(card.model) ?? [];
    const [oldest] = groups;
    if (oldest === undefined || oldest.key === keyOf(card)) return;
    this.#warnOnce(`${oldest.key} ${keyOf(card)}`, () => {
      const first = oldest.workers[0]?.worker;
      log.warn(
        `model ${card.model} is announced with two contents: workers ${first} and ${worker} loaded different files; requests go to the older kind. Stop one kind, or give it another --worker-name`,
      );
    });
  }

  #warnOnce(key: string, warn: () => void): void {
    if (this.#warned.has(key) || this.#warned.size >= workerCountDefault) return;
    this.#warned.add(key);
    warn();
  }

  #changed(): void {
    for (const handler of [...this.#changeHandlers]) handler();
  }
}

function memberOf({ heartbeat, sinceMs, seenMs }: LiveWorker): Member {
  return { heartbeat, sinceMs, heardMs: seenMs };
}
