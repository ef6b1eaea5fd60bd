// What an answer cost: OpenAI's `usage`, and inside it, for those who ask with `x-tdist-timing: 1`,
// where the time went. Durations begin when the request reached this gateway, by one clock.

import type { KvPath, KvPathReason, Route, RouteReason, Timing } from '../protocol/request.ts';

export type TimingReport = {
  readonly request_id: string;
  readonly route: Route;
  readonly route_reason: RouteReason;
  readonly context_worker: string | null;
  readonly generate_worker: string | null;
  readonly kv_path: KvPath;
  readonly kv_path_reason: KvPathReason | null;
  readonly kv_bytes: number;
  readonly cached_tokens: number;
  readonly queue_ms: number;
  readonly prefill_ms: number;
  readonly transfer_ms: number;
  readonly ttft_ms: number;
  readonly total_ms: number;
  /** How often another worker had to go on with it; absent: never. */
  readonly migrations?: number;
  /** Of several choices each: where it was computed, and how much of its prompt was not. */
  readonly choices?: readonly ChoiceReport[];
};

export type ChoiceReport = {
  readonly route: Route;
  readonly context_worker: string | null;
  readonly generate_worker: string | null;
  readonly cached_tokens: number;
  readonly prefill_ms: number;
};

export type Usage = {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
  readonly completion_tokens_details: { readonly reasoning_tokens: number };
  readonly tdist?: TimingReport;
};

export function usageOf(
  promptTokens: number,
  completionTokens: number,
  cachedTokens: number,
  reasoningTokens = 0,
): Usage {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
  };
}

export function timingReport(
  requestId: string,
  timing: Timing,
  gateway: { readonly arrivedMs: number; readonly firstMs: number; readonly nowMs: number },
): TimingReport {
  return {
    request_id: requestId,
    route: timing.route,
    route_reason: timing.reason,
    context_worker: timing.contextWorker,
    generate_worker: timing.generateWorker,
    kv_path: timing.kvPath,
    kv_path_reason: timing.kvPathReason,
    kv_bytes: timing.kvBytes,
    cached_tokens: timing.cachedTokens,
    queue_ms: roundMs(timing.queueMs),
    prefill_ms: roundMs(timing.prefillMs),
    transfer_ms: roundMs(timing.transferMs),
    ttft_ms: roundMs(gateway.firstMs - gateway.arrivedMs),
    total_ms: roundMs(gateway.nowMs - gateway.arrivedMs),
    ...(timing.migrations === undefined ? {} : { migrations: timing.migrations }),
  };
}

/** Null where it has not begun. */
export function choiceReport(timing: Timing | null): ChoiceReport | null {
  if (timing === null) return null;
  return {
    route: timing.route,
    context_worker: timing.contextWorker,
    generate_worker: timing.generateWorker,
    cached_tokens: timing.cachedTokens,
    prefill_ms: roundMs(timing.prefillMs),
  };
}

/** To the microsecond; what is below is noise. */
function roundMs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
