// A thread that makes weights of a graph: it gets pieces of work, reads the checkpoint where the process
// has it mapped, and writes what comes out to its place in the data file.

import { openSync } from 'node:fs';
import { type Job, runJob } from '../model/weight-writer.ts';
import { type FaultCode, toFault } from '../std/fault.ts';

declare const self: Worker;

export type ToWeights =
  | { readonly type: 'open'; readonly path: string }
  | { readonly type: 'job'; readonly job: Job };

export type FromWeights = {
  readonly fault: { readonly code: FaultCode; readonly message: string } | null;
};

let fd: number | null = null;

self.onmessage = ({ data: message }: MessageEvent<ToWeights>) => {
  if (message.type === 'open') {
    fd = openSync(message.path, 'r+');
    return;
  }
  self.postMessage(attempt(message.job));
};

function attempt(job: Job): FromWeights {
  try {
    if (fd === null) throw new Error('no file was opened');
    runJob(job, fd);
    return { fault: null };
  } catch (thrown) {
    const { code, message } = toFault(thrown, 'config');
    return { fault: { code, message } };
  }
}
