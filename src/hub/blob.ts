// One file from the hub into its blob: one writer at a time, going on where the last try ended, as often as
// bytes come, and nothing gets the blob's name that is not what the hub listed.

import { limit } from '../protocol/limit.ts';
import type { Clock } from '../std/clock.ts';
import { Fault, toFault } from '../std/fault.ts';
import { type RepoCache, writeFault } from './cache.ts';
import type { HubFile } from './client.ts';
import type { Disk } from './disk.ts';
import { type HubHttp, networkFault, type Opened, stopped, wholeNumber } from './http.ts';
import { lockPath, pause } from './lock.ts';
import { Partial } from './partial.ts';
import type { Progress } from './progress.ts';

export type BlobOptions = {
  readonly cache: RepoCache;
  readonly http: HubHttp;
  /** Where the bytes of a file are asked for. */
  readonly urlOf: (file: HubFile) => URL;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly progress: Progress;
  readonly signal: AbortSignal;
};

/** @returns how many bytes came over the network. */
export async function fetchBlob(file: HubFile, options: BlobOptions): Promise<number> {
  const { cache, progress, clock, signal } = options;
  const isHere = (): boolean => {
    if (!cache.has(file)) return false;
    progress.at(file.name, file.bytes);
    return true;
  };
  if (isHere()) return 0;
  try {
    const onWait = (): void =>
      progress.note(`Another process downloads ${file.name}; waiting for ${cache.lock(file)}`);
    using _lock = await lockPath(cache.lock(file), { clock, signal, onWait });
    if (isHere()) return 0; // it was downloaded meanwhile
    await using partial = await Partial.open(cache.blob(file), file, options.disk);
    const download = new Download(file, partial, options);
    await download.run();
    await partial.finish(cache.blob(file));
    return download.cameBytes;
  } catch (thrown) {
    throw isSystemError(thrown) ? writeFault(cache.cacheDir, thrown) : thrown;
  }
}

/** Bun's and Node's errors of files have a code such as ENOSPC. */
function isSystemError(thrown: unknown): boolean {
  return thrown instanceof Error && !(thrown instanceof Fault) && 'code' in thrown;
}

class Download {
  readonly #file: HubFile;
  readonly #partial: Partial;
  readonly #options: BlobOptions;
  cameBytes = 0;
  #isSecond = false;

  constructor(file: HubFile, partial: Partial, options: BlobOptions) {
    this.#file = file;
    this.#partial = partial;
    this.#options = options;
  }

  /** Returns when the partial file is whole and right. */
  async run(): Promise<void> {
    const [file, partial] = [this.#file, this.#partial];
    for (;;) {
      this.#tell();
      await this.#untilWhole();
      const found = partial.hash();
      if (found === file.etag) return;
      if (!partial.isResumed || this.#isSecond) {
        await partial.remove();
        const text = `${file.name}: its bytes hash to ${found.slice(0, 12)}, wanted ${file.etag.slice(0, 12)}`;
        throw new Fault('config', `${text}; they are thrown away: try again`, { reason: 'hash' });
      }
      this.#options.progress.note(
        `${file.name}: what had come does not have the right hash; again from its beginning`,
      );
      this.#isSecond = true;
      await partial.restart();
    }
  }

  async #untilWhole(): Promise<void> {
    const { signal, progress, clock } = this.#options;
    let inVain = 0;
    for (let attempt = 1; this.#partial.bytes < this.#file.bytes; attempt++) {
      const before = this.#partial.bytes;
      try {
        await this.#attempt();
      } catch (thrown) {
        if (signal.aborted) throw stopped();
        const fault = toFault(thrown);
        const isRange = fault.reason === 'range';
        inVain = this.#partial.bytes > before ? 0 : inVain + 1;
        const isOver = inVain >= limit.hubTryMax || attempt >= limit.hubAttemptMax;
        if (isOver || !(isRange || fault.reason === 'network')) throw thrown;
        if (isRange) await this.#partial.restart();
        this.#partial.resumed();
        const delayMs = inVain === 0 ? 0 : pauseMs(inVain, fault.retryAfterS);
        progress.note(`${this.#file.name}: ${fault.message}; going on${inSeconds(delayMs)}`);
        if (delayMs > 0) await pause(clock, delayMs, signal);
        if (signal.aborted) throw stopped();
      }
    }
  }

  async #attempt(): Promise<void> {
    const [file, partial] = [this.#file, this.#partial];
    const { http, urlOf, clock, signal } = this.#options;
    const silence = new AbortController();
    const both = AbortSignal.any([signal, silence.signal]);
    const opened = await http.open(urlOf(file), file.name, partial.bytes, both);
    const body = opened.response.body?.getReader();
    try {
      await this.#place(opened);
      for (;;) {
        const timer = clock.after(limit.hubSilenceMs, () => silence.abort());
        const part = await body?.read().catch((cause: unknown) => {
          const how = silence.signal.aborted ? 'has fallen silent' : 'broke off';
          throw networkFault(
            `the connection ${how} at ${partial.bytes} of ${file.bytes} bytes`,
            cause,
          );
        });
        timer.cancel();
        if (part === undefined || part.done) break;
        if (partial.bytes + part.value.byteLength > file.bytes) {
          throw this.#wrongSize('more bytes than that come');
        }
        await partial.append(part.value);
        this.cameBytes += part.value.byteLength;
        this.#tell();
      }
    } finally {
      silence.abort(); // whatever is still to come is of no use
    }
    if (partial.bytes < file.bytes) {
      throw networkFault(`the connection ended at ${partial.bytes} of ${file.bytes} bytes`);
    }
  }

  /** Has the partial file stand where the answer begins, and refuses one of another file. */
  async #place({ response, linkedEtag, linkedSize }: Opened): Promise<void> {
    const [file, partial] = [this.#file, this.#partial];
    const { status, headers } = response;
    const etag = linkedEtag?.replace(/^W\//, '').replaceAll('"', '') ?? file.etag;
    if (etag !== file.etag) {
      const text = `${file.name}: the hub listed it as ${file.etag.slice(0, 12)} and gives ${etag.slice(0, 12)}`;
      throw new Fault('config', `${text}; try again later`, { reason: 'hash' });
    }
    if (linkedSize !== null && linkedSize !== file.bytes) {
      throw this.#wrongSize(`it gives ${linkedSize}`);
    }
    if (status === 206) {
      const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '');
      const isOurs = Number(range?.[1] ?? Number.NaN) === partial.bytes;
      const total = range?.[2] ?? '*';
      if (total !== '*' && Number(total) !== file.bytes) throw this.#wrongSize(`it gives ${total}`);
      if (!isOurs) throw networkFault(`another part came than from ${partial.bytes} on`);
      return;
    }
    // Packed in spite of what we asked for, it is unpacked on the way and counted as it comes.
    const isPacked = headers.has('content-encoding');
    const total = isPacked ? null : wholeNumber(headers.get('content-length'));
    if (total !== null && total !== file.bytes) throw this.#wrongSize(`it gives ${total}`);
    if (partial.bytes > 0) await partial.restart(); // who knows no ranges sends all of it
  }

  #wrongSize(found: string): Fault {
    const text = `${this.#file.name}: the hub listed ${this.#file.bytes} bytes, and ${found}`;
    return new Fault('config', `${text}; try again later`, { reason: 'size' });
  }

  #tell(): void {
    this.#options.progress.at(this.#file.name, this.#partial.bytes);
  }
}

function pauseMs(inVain: number, retryAfterS: number | undefined): number {
  const asked = (retryAfterS ?? 0) * 1000;
  const ours = limit.hubPauseMs * 2 ** (inVain - 1);
  return Math.min(limit.hubPauseMaxMs, Math.max(asked, ours));
}

function inSeconds(ms: number): string {
  return ms === 0 ? '' : ` in ${ms / 1000} s`;
}
