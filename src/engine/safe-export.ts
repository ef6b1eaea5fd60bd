// An export that cannot hurt the engine: where staging throws, the request gets no ticket. That costs a
// prefill on the generate worker, which hears of it, and not this thread with everybody in it. What was
// thrown is told once, with the ticket that is missing.

import type { KvExport } from '../kv/transfer.ts';
import type { BlockRef, ShmTicket } from '../protocol/ticket.ts';
import { toFault } from '../std/fault.ts';

/** Plain data: it crosses to another thread. */
type PlainFault = { readonly code: string; readonly message: string };

export class SafeExport {
  readonly #inner: KvExport;
  /** What staging threw, by request. */
  readonly #faults = new Map<string, PlainFault>();

  constructor(inner: KvExport) {
    this.#inner = inner;
  }

  append(request: Parameters<KvExport['append']>[0]): readonly BlockRef[] {
    if (this.#faults.has(request.requestId)) return [];
    try {
      return this.#inner.append(request);
    } catch (thrown) {
      this.#inner.release(request.requestId);
      const { code, message } = toFault(thrown, 'transfer');
      this.#faults.set(request.requestId, { code, message });
      return [];
    }
  }

  /** Neither ticket nor fault: there was no room. */
  offer(
    requestId: string,
    leaseMs: number,
  ): { readonly ticket: ShmTicket | null; readonly fault?: PlainFault } {
    const fault = this.#faults.get(requestId);
    if (fault === undefined) return { ticket: this.#inner.offer(requestId, leaseMs) };
    this.#faults.delete(requestId);
    return { ticket: null, fault };
  }

  release(requestId: string): void {
    this.#faults.delete(requestId);
    this.#inner.release(requestId);
  }

  sweep(): string[] {
    return this.#inner.sweep();
  }
}
