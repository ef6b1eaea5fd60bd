// Waits until a gateway says that it could serve a request now.

import { realClock } from '../std/clock.ts';

const askEveryMs = 20;

/** @param url `http://host:port`. Rejects with the signal's reason when it fires first. */
export async function waitUntilReady(url: string, signal: AbortSignal): Promise<void> {
  while (!(await isReady(url))) {
    signal.throwIfAborted();
    await new Promise<void>((resolve) => realClock.after(askEveryMs, resolve));
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    // Our own child, whatever name its certificate bears.
    const response = await fetch(`${url}/health`, { tls: { rejectUnauthorized: false } });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false; // nobody listens yet
  }
}
