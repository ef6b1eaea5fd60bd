// An export that cannot hurt the engine: where staging throws, the request gets no ticket. That costs a
// prefill on the generate worker, which hears of it, and not this thread with everybody in it.

import type { KvExport } from '../kv/transfer.ts';
import type { BlockRef, ShmTicket } from '../protocol/ticket.ts';

export class SafeExport implements KvExport {
  readonly #inner: KvExport;
  /** Whose staging has failed. */
  readonly #failed = new Set<string>();

  constructor(inner: KvExport) {
    this.#inner = inner;
  }

  append(request: Parameters<KvExport['append']>[0]): readonly BlockRef[] {
    if (this.#failed.has(request.requestId)) return [];
    try {
      return this.#inner.append(request);
    } catch {
      this.#inner.release(request.requestId);
      this.#failed.add(request.requestId);
      return [];
    }
  }

  offer(requestId: string, leaseMs: number): ShmTicket | null {
    return this.#failed.delete(requestId) ? null : this.#inner.offer(requestId, leaseMs);
  }

  release(requestId: string): void {
    this.#failed.delete(requestId);
    this.#inner.release(requestId);
  }

  sweep(): string[] {
    return this.#inner.sweep();
  }
}
