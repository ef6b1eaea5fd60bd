// The main thread's end of an encoder thread. Started at the first long text, since most gateways never
// see one; a thread that dies takes its jobs with it, and the next text starts another.

import type { TextAssets } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import type { LongEncoder } from '../text/text-model.ts';
import type { FromEncoder, ToEncoder } from './encoder-thread.ts';

/** In the executable all entry points lie under one root; from sources the thread is a neighbour. */
const threadUrl = import.meta.url.includes('/$bunfs/')
  ? new URL('./role/encoder-thread.ts', import.meta.url).href
  : new URL('./encoder-thread.ts', import.meta.url).href;

type Job = PromiseWithResolvers<number[]>;

export function openEncoder(assets: TextAssets): LongEncoder {
  const jobs = new Map<number, Job>();
  let thread: Worker | null = null;
  let jobCount = 0;
  const end = (why: string): void => {
    thread?.terminate();
    thread = null;
    for (const job of jobs.values()) job.reject(new Fault('internal', why));
    jobs.clear();
  };
  const start = (): Worker => {
    const started = new Worker(threadUrl);
    started.unref();
    started.onerror = (event) => {
      if (started === thread) end(event.message || 'the encoder thread failed');
    };
    started.onmessage = ({ data: { job: number, ids } }: MessageEvent<FromEncoder>) => {
      const job = jobs.get(number);
      jobs.delete(number);
      if (ids === null) job?.reject(new Fault('internal', 'the encoder thread has no tokenizer'));
      else job?.resolve(Array.from(ids));
    };
    const open: ToEncoder = { type: 'open', ...assets };
    started.postMessage(open);
    return started;
  };
  return {
    encode(parts, options) {
      thread ??= start();
      const job: Job = Promise.withResolvers();
      const message: ToEncoder = { type: 'encode', job: jobCount, parts, options };
      jobs.set(jobCount++, job);
      thread.postMessage(message);
      return job.promise;
    },
    stop: () => end('the encoder was stopped'),
  };
}
