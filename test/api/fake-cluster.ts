// A cluster whose answers a test writes down. It keeps the contract of protocol/request.ts: resolves
// with the first delta, throws when the signal fires, counts what was cancelled.

import type { Member } from '../../src/protocol/member.ts';
import type { ControlAction } from '../../src/protocol/message.ts';
import type {
  Cluster,
  GenerateOptions,
  GenerateRequest,
  Generation,
  ServedModel,
  TextAssets,
  Timing,
  TokenDelta,
} from '../../src/protocol/request.ts';
import { Fault } from '../../src/std/fault.ts';
import { bytesOf, tinyAssets, tinyVocabSize } from '../text/tiny-tokenizer.ts';

/** The deltas of one generation; throwing is failing, awaiting is making the gateway wait. */
export type Script = (request: GenerateRequest, signal: AbortSignal) => AsyncIterable<TokenDelta>;

export const llama: ServedModel = {
  name: 'llama',
  maxModelLen: 256,
  vocabSize: tinyVocabSize,
  textDigest: 'tiny',
  createdS: 1_700_000_000,
};

const timing: Timing = {
  route: 'disaggregated',
  reason: 'measured',
  contextWorker: 'context-1',
  generateWorker: 'generate-1',
  kvPath: 'shm',
  kvPathReason: 'same_host',
  kvBytes: 4096,
  cachedTokens: 3,
  queueMs: 1,
  prefillMs: 2,
  transferMs: 0.5,
};

export class FakeCluster implements Cluster {
  readonly requests: GenerateRequest[] = [];
  served: readonly ServedModel[] = [llama];
  reason: string | null = null;
  /** What a forced route lacks. */
  lacks: string | null = null;
  workers: readonly Member[] = [];
  script: Script = says('hello');
  assets: () => Promise<TextAssets> = async () => tinyAssets();
  /** Resolves when a generation has been cancelled, by its signal or by leaving its loop. */
  readonly cancelled = Promise.withResolvers<'signal' | 'return'>();
  /** Resolves when `generate` has been called. */
  readonly asked = Promise.withResolvers<void>();
  /** Workers have room for all. */
  places = false;
  readonly #askedHandlers = new Set<() => void>();

  /** Resolves when `generate` has been called so often. */
  askedTimes(count: number): Promise<void> {
    return new Promise((resolve) => {
      const look = () => this.requests.length >= count && resolve();
      this.#askedHandlers.add(look);
      look();
    });
  }

  async generate(request: GenerateRequest, options: GenerateOptions): Promise<Generation> {
    const { signal } = options;
    this.requests.push(request);
    if (this.places) options.onPlaced?.(true);
    this.asked.resolve();
    for (const look of this.#askedHandlers) look();
    signal.addEventListener('abort', () => this.cancelled.resolve('signal'), { once: true });
    const source = this.script(request, signal)[Symbol.asyncIterator]();
    const first = await unlessAborted(signal, source.next());
    return { deltas: this.#deltas(first, source, signal), timing: () => timing };
  }

  async *#deltas(
    first: IteratorResult<TokenDelta>,
    source: AsyncIterator<TokenDelta>,
    signal: AbortSignal,
  ): AsyncGenerator<TokenDelta> {
    let next = first;
    let complete = false;
    try {
      for (; next.done !== true; next = await unlessAborted(signal, source.next())) {
        complete = next.value.finish !== null;
        yield next.value;
      }
    } finally {
      if (!complete) this.cancelled.resolve('return');
    }
  }

  onChange(): void {
    // what this cluster serves changes by assignment; nobody needs to be told
  }

  models(): readonly ServedModel[] {
    return this.served;
  }

  unready(): string | null {
    return this.reason;
  }

  missing(): string | null {
    return this.lacks;
  }

  members(): readonly Member[] {
    return this.workers;
  }

  async control(worker: string, action: ControlAction): Promise<Member> {
    const found = this.workers.find(({ heartbeat }) => heartbeat.worker === worker);
    if (found === undefined) throw new Fault('not_found', `No worker ${worker} is alive.`);
    const state = action === 'drain' ? 'draining' : 'ready';
    const changed: Member = { ...found, heartbeat: { ...found.heartbeat, state } };
    this.workers = this.workers.map((one) => (one === found ? changed : one));
    return changed;
  }

  textAssets(): Promise<TextAssets> {
    return this.assets();
  }
}

/** One token per byte, then a stop token. */
export function says(text: string): Script {
  return deltas(...bytesOf(text).map((id) => ({ ids: [id], finish: null })), {
    ids: [],
    finish: 'stop',
  });
}

export function deltas(...list: readonly TokenDelta[]): Script {
  return async function* () {
    yield* list;
  };
}

/** `text` and then nothing more, for ever. */
export function stalls(text: string): Script {
  return async function* () {
    for (const id of bytesOf(text)) yield { ids: [id], finish: null };
    await new Promise<never>(() => undefined);
  };
}

export function fails(text: string, fault: Fault): Script {
  return async function* () {
    for (const id of bytesOf(text)) yield { ids: [id], finish: null };
    throw fault;
  };
}

function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new Fault('cancelled', 'the request was aborted'));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject);
  });
}
