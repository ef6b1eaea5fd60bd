// A worker's metrics: counted from what passes between the message room and the engine, which
// neither of them has to know, and from the engine's load when somebody reads them.

import type { KvPaths } from '../kv/transfer.ts';
import type { EngineCommand, EngineEvent, EnginePort, StepTiming } from '../protocol/engine.ts';
import type { Meter } from '../telemetry/metric.ts';

/** The same engine, counted. */
export function meteredEngine(engine: EnginePort, meter: Meter): EnginePort {
  /** Answers that others have begun and that wait for a slot here. */
  const moving = new Set<string>();
  const onCommand = (command: EngineCommand): void => {
    if (command.type === 'abort') moving.delete(command.requestId);
    if (command.type !== 'generate' || (command.emittedIds ?? []).length === 0) return;
    moving.add(command.requestId);
  };
  const onEvent = (event: EngineEvent): void => {
    if (event.type === 'tokens') {
      meter.count('tdist_generation_tokens_total', {}, event.ids.length);
      if (event.timing !== undefined) onTiming(meter, event.timing);
    } else if (event.type === 'admitted' || event.type === 'refused') {
      const isMoved = moving.delete(event.requestId) && event.type === 'admitted';
      // Counted by who takes over: whoever lost it may be dead.
      if (isMoved) meter.count('tdist_migrations_total', {});
    } else if (event.type === 'prefilled' && event.ticket === null) {
      const why =
        event.fault === undefined
          ? { path: 'none', reason: 'no_room' }
          : { path: 'shm', reason: 'export' };
      meter.count('tdist_kv_transfer_failures_total', why);
    } else if (event.type === 'imported') {
      if (event.refusal === null || event.refusal.code === 'cancelled') return;
      const { code, reason = code } = event.refusal;
      meter.count('tdist_kv_transfer_failures_total', { path: event.path, reason });
    }
  };
  measureLoad(engine, meter);
  return {
    submit: (command) => {
      onCommand(command);
      engine.submit(command);
    },
    listen: (handler) =>
      engine.listen((event) => {
        onEvent(event);
        handler(event);
      }),
    load: () => engine.load(),
  };
}

/** What did not have to be sent is known only to who would have sent it. */
export function countSaved(meter: Meter, { send }: KvPaths): void {
  const labels = { reason: 'stored' };
  meter.onRead(() => {
    meter.countTo('tdist_kv_transfer_saved_bytes_total', labels, send.object.savedBytes());
  });
}

function onTiming(meter: Meter, timing: StepTiming): void {
  const { prefillMs, transferMs, kvPath, kvBytes, kvSavedBytes } = timing;
  if (prefillMs !== undefined) meter.observe('tdist_prefill_seconds', {}, prefillMs / 1000);
  if (transferMs === undefined || kvPath === undefined || kvPath === 'none') return;
  meter.observe('tdist_kv_transfer_seconds', { path: kvPath }, transferMs / 1000);
  meter.count('tdist_kv_transfer_bytes_total', { path: kvPath }, kvBytes ?? 0);
  meter.count('tdist_kv_transfer_saved_bytes_total', { reason: 'held' }, kvSavedBytes ?? 0);
}

function measureLoad(engine: EnginePort, meter: Meter): void {
  meter.onRead(() => {
    const { running, waiting, paused = 0, counters } = engine.load();
    meter.set('tdist_running_requests', {}, running);
    meter.set('tdist_waiting_requests', {}, waiting);
    meter.set('tdist_paused_requests', {}, paused);
    meter.set('tdist_process_resident_bytes', {}, process.memoryUsage.rss());
    if (counters === undefined) return;
    meter.countTo('tdist_preemptions_total', {}, counters.preemptions);
    meter.countTo('tdist_slot_moves_total', {}, counters.moves);
    for (const [reason, total] of Object.entries(counters.recomputes)) {
      meter.countTo('tdist_recomputes_total', { reason }, total);
    }
    for (const [state, count] of Object.entries(counters.kvBlocks ?? {})) {
      meter.set('tdist_kv_blocks', { state }, count);
    }
  });
}
