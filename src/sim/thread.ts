// The engine's thread of a simulated worker: the production engine room on a lane of its own, behind the
// messages that a real thread speaks. What crosses is cloned, as between threads.

import { KvPool } from '../kv/pool.ts';
import type { ShmFiles } from '../kv/shm-files.ts';
import type { EngineEvent } from '../protocol/engine.ts';
import { limit } from '../protocol/limit.ts';
import type { EngineThread } from '../role/engine-handle.ts';
import { type EngineRoom, openEngineRoom, type RoomOptions } from '../role/engine-room.ts';
import type { FromEngine, ToEngine } from '../role/engine-thread.ts';
import { ThreadGrammars } from '../role/grammar.ts';
import type { Dice } from './dice.ts';
import { SimGrammarThread } from './grammar-thread.ts';
import { type Pace, SimRunner } from './model.ts';
import type { Lane } from './world.ts';

const hopMs = 0.01;

/** What of an engine's event shows that a path was gone. */
function seenIn(event: EngineEvent): string | null {
  switch (event.type) {
    case 'imported':
      return event.refusal === null ? `import ${event.path}` : `import ${event.path} failed`;
    case 'prefilled':
      return event.ticket === null ? 'export failed' : 'export';
    case 'placed':
      return event.refusal === null ? 'block placed' : 'block refused';
    case 'admitted':
      return (event.heldTokens ?? 0) > 0 ? 'prefix hit' : null;
    default:
      return null;
  }
}

export class SimThread implements EngineThread {
  onmessage: EngineThread['onmessage'] = null;
  onerror: EngineThread['onerror'] = null;
  /** How much longer everything takes. */
  slowness = 1;
  readonly room: EngineRoom;
  readonly pool: KvPool;
  readonly runner: SimRunner;
  /** Its present thread of grammars; null: none was needed yet. */
  grammarThread: SimGrammarThread | null = null;
  isGrammarSlow = false;
  readonly #grammars: ThreadGrammars[] = [];
  readonly #lane: Lane;
  readonly #main: Lane;
  readonly #onSeen: (what: string) => void;

  constructor(options: {
    readonly lane: Lane;
    /** Of the same process. */
    readonly main: Lane;
    readonly room: RoomOptions;
    readonly files: ShmFiles;
    readonly pace: Pace;
    readonly stepTokens: number;
    readonly grammarDice: Dice;
    /** After everything that happened on this thread. */
    readonly onStep: (thread: SimThread) => void;
    readonly onSeen: (what: string) => void;
  }) {
    const { lane, room, files, pace, stepTokens } = options;
    this.#lane = lane;
    this.#main = options.main;
    this.#onSeen = options.onSeen;
    this.pool = new KvPool(room.geometry, { slots: room.slots, capacity: room.maxModelLen });
    const spend = (ms: number): void => lane.spend(ms * this.slowness);
    this.runner = new SimRunner({ pool: this.pool, pace, spend });
    this.room = openEngineRoom(room, {
      runner: this.runner,
      pool: this.pool,
      clock: lane.clock,
      files,
      stepTokens,
      nextTurn: (run) => {
        lane.world.after(lane.nowMs() - lane.world.nowMs, lane, () => {
          run();
          this.#look();
          options.onStep(this);
        });
      },
      openGrammars: (wake) => {
        const start = (): SimGrammarThread => this.#startGrammars(options.grammarDice);
        const grammars = new ThreadGrammars({ clock: lane.clock, start, wake });
        this.#grammars.push(grammars);
        return grammars;
      },
      onEvents: (events, load) => {
        for (const event of events) {
          const seen = seenIn(event);
          if (seen !== null) options.onSeen(seen);
        }
        this.#post({ type: 'events', events, load });
      },
      onPrefixes: (keys) => this.#post({ type: 'prefixes', keys }),
    });
  }

  /** Sequences whose grammars are followed, here and in the thread. */
  grammarCounts(): { readonly open: number; readonly followed: number } {
    const open = this.#grammars.reduce((sum, { openCount }) => sum + openCount, 0);
    return { open, followed: this.grammarThread?.placeCount ?? 0 };
  }

  #startGrammars(dice: Dice): SimGrammarThread {
    this.#onSeen('grammar thread');
    const isSlow = (): boolean => this.isGrammarSlow;
    this.grammarThread = new SimGrammarThread({ home: this.#lane, dice, isSlow });
    return this.grammarThread;
  }

  /** Sequences whose masks are late. */
  #look(): void {
    for (const { awaitsMask, isPaused } of this.room.engine.scheduler.running()) {
      if (awaitsMask) this.#onSeen(isPaused ? 'late mask in a pause' : 'late mask');
    }
  }

  postMessage(message: ToEngine, moved: ArrayBuffer[] = []): void {
    const copy = structuredClone(message, { transfer: moved });
    const { world } = this.#lane;
    world.after(this.#main.nowMs() - world.nowMs + hopMs, this.#lane, () => this.#take(copy));
  }

  terminate(): void {
    this.#lane.end();
  }

  #take(message: ToEngine): void {
    switch (message.type) {
      case 'start':
        return this.#post({ type: 'started', stepTokens: limit.stepTokens });
      case 'command':
        if (message.command.type === 'pause') this.#onSeen('pause');
        return this.room.submit(message.command);
      case 'vocabulary':
        return this.room.learn(message.vocabulary);
      case 'stop':
        this.room.close();
        return this.#post({ type: 'stopped' });
    }
  }

  #post(message: FromEngine): void {
    const data = structuredClone(message);
    const { world } = this.#lane;
    world.after(this.#lane.nowMs() - world.nowMs + hopMs, this.#main, () => {
      this.onmessage?.({ data });
    });
  }
}
