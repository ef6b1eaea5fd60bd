// KV that comes from elsewhere into the slot of a sequence that waits for it: at once out of an arena
// (`shm`), or block by block, in order, while the prompt's rest is still being computed (`object`).
// Whatever does not arrive is prefilled here, from the position up to which the slot is filled. One
// that waits rides in the decode batch as a passenger: its dummy row falls on the first position that
// is still missing, which the next block overwrites.

import type { EngineCommand, Refusal, StepTiming } from '../protocol/engine.ts';
import type { Ticket } from '../protocol/ticket.ts';
import { Fault, toFault } from '../std/fault.ts';
import { askNext } from './constraint.ts';
import type { EngineParts } from './parts.ts';
import type { Scheduler } from './scheduler.ts';
import type { Sequence } from './sequence.ts';
import type { MemoryUse } from './slot-memory.ts';

type ImportCommand = Extract<EngineCommand, { type: 'import' }>;

export type ImportsPorts = {
  readonly parts: Pick<EngineParts, 'kvImport' | 'clock' | 'emit' | 'runner'>;
  readonly scheduler: Scheduler;
  readonly memory: MemoryUse;
  /** Known KV behind what is in the sequence's slot; returns how many tokens are there then. */
  readonly restore: (sequence: Sequence) => number;
  /** Ends the sequence with this. */
  readonly fail: (sequence: Sequence, fault: Fault) => void;
  /** To be said with the request's next tokens. */
  readonly note: (requestId: string, timing: StepTiming) => void;
};

export class Imports {
  /** Prompts prefilled here because their KV did not come. */
  recomputeCount = 0;
  readonly #ports: ImportsPorts;

  constructor(ports: ImportsPorts) {
    this.#ports = ports;
  }

  /** The block after the last one; a refused one is told of, and the import then knows what misses. */
  block(requestId: string, frame: Uint8Array<ArrayBuffer>): void {
    const { parts, scheduler, memory } = this.#ports;
    const { kvImport, emit } = parts;
    const sequence = scheduler.find(requestId);
    if (sequence?.slot == null || !sequence.awaitsImport || kvImport === null) return;
    try {
      memory.note(sequence.slot, sequence.givenLength);
      const { ids, salt, slot, computed: from } = sequence;
      sequence.computed += kvImport.put({ frame, ids, salt, slot, from });
      sequence.importedBytes += frame.byteLength;
      emit({ type: 'placed', requestId, computed: sequence.computed, refusal: null });
    } catch (thrown) {
      const refusal = refusalOf(toFault(thrown, 'transfer'));
      emit({ type: 'placed', requestId, computed: sequence.computed, refusal });
    }
  }

  import(command: ImportCommand): void {
    const { parts, scheduler } = this.#ports;
    const { requestId, firstToken } = command;
    const sequence = scheduler.find(requestId);
    if (sequence?.slot == null || !sequence.awaitsImport) {
      const text = `request ${requestId} does not wait for KV here`;
      return this.#answer(command, new Fault('cancelled', text));
    }
    if (firstToken >= parts.runner.vocabSize) {
      // Fed to the model it would fail the whole batch.
      const fault = new Fault(
        'mismatch',
        `first token ${firstToken} of the hand-over is outside this model's vocabulary; start both workers with the same model`,
      );
      this.#answer(command, fault);
      return this.#ports.fail(sequence, fault);
    }
    const startMs = parts.clock.nowMs();
    const flaw = this.#complete(sequence, command);
    sequence.ids.push(firstToken);
    askNext(sequence); // the step after this says what comes of it
    sequence.awaitsImport = false;
    if (flaw === null && command.ticket !== null) {
      sequence.startedMs = startMs;
      this.#noteTransfer(sequence, command.ticket, startMs - (command.waitedMs ?? 0));
    }
    // Without a ticket a prefill is what was asked for: whoever asked must not take it for a failure.
    this.#answer(command, flaw);
    // KV of another model means a wrong pairing; anything else costs a prefill of what is missing.
    if (flaw?.code === 'mismatch') return this.#ports.fail(sequence, flaw);
    if (flaw !== null || command.ticket === null) this.#prefillRest(sequence);
  }

  /** Makes the slot hold all that was given; null when it does (or when nothing was promised). */
  #complete(sequence: Sequence, { ticket, refusal }: ImportCommand): Fault | null {
    const { kvImport } = this.#ports.parts;
    const { givenLength, slot } = sequence;
    if (refusal !== undefined) {
      const { message, reason } = refusal;
      return new Fault('transfer', message, reason === undefined ? {} : { reason });
    }
    if (ticket === null || slot === null) return null;
    if (kvImport === null) {
      return new Fault('transfer', 'this worker cannot copy KV in; the prompt is prefilled here');
    }
    if (ticket.kind === 'object') {
      if (sequence.computed === givenLength) return null;
      const text = `KV of ${sequence.computed} of ${givenLength} tokens has arrived`;
      return new Fault('transfer', text, { reason: 'truncated' });
    }
    try {
      this.#ports.memory.note(slot, givenLength);
      const { ids, salt, computed: from } = sequence;
      const prompt = { ids: ids.slice(), salt, slot };
      sequence.importedBytes = kvImport.fetch({ ...prompt, ticket, from });
      sequence.computed = givenLength;
      return null;
    } catch (thrown) {
      return toFault(thrown, 'transfer');
    }
  }

  #noteTransfer(sequence: Sequence, ticket: Ticket, sinceMs: number): void {
    const { kvImport, clock } = this.#ports.parts;
    this.#ports.note(sequence.requestId, {
      kvPath: ticket.kind,
      kvBytes: sequence.importedBytes,
      kvSavedBytes: kvImport?.bytesOf(sequence.cachedTokens) ?? 0,
      transferMs: ticket.exportMs + clock.nowMs() - sinceMs,
    });
  }

  #prefillRest(sequence: Sequence): void {
    this.recomputeCount++;
    const { computed, givenLength } = sequence;
    // The context worker may have left in an arena of the host what it could not hand over.
    if (givenLength - computed > 1) sequence.computed = this.#ports.restore(sequence);
    this.#ports.note(sequence.requestId, { kvPath: 'none', kvBytes: 0 });
  }

  #answer({ requestId, ticket, refusal: lost }: ImportCommand, fault: Fault | null): void {
    const refusal = fault === null ? null : refusalOf(fault);
    const path = ticket?.kind ?? (lost === undefined ? 'shm' : 'object');
    this.#ports.parts.emit({ type: 'imported', requestId, path, refusal });
  }
}

function refusalOf({ code, message, reason }: Fault): Refusal {
  return { v: 1, ok: false, code, message, ...(reason === undefined ? {} : { reason }) };
}
