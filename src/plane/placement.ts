// Where a prompt is computed: by a context worker, or by the generate worker itself. No state, no
// hysteresis: the cheaper way by today's estimates, or what the user's threshold says.
//
//   measured           the estimates were compared
//   cached             local only because most of the prompt is cached
//   threshold          --local-prefill-tokens N, N above 0: compared with the tokens not cached
//   forced             --local-prefill-tokens 0: always a context worker
//   no_context_worker  none is ready that shares a host with a generate worker
//   context_refused    there are some, but all have refused or failed this request
//   aggregated_only    no generate worker could take it, a baseline worker does both

import type { RouteReason } from '../protocol/request.ts';

/** Estimated cost of both ways (plane/cost.ts), as it is and as if nothing were cached. */
export type Estimate = {
  readonly disaggregatedMs: number;
  readonly localMs: number;
  readonly uncachedDisaggregatedMs: number;
  readonly uncachedLocalMs: number;
};

export type Placement = {
  readonly route: 'disaggregated' | 'local';
  readonly reason: RouteReason;
};

export function placePrompt(
  /** Null: compare the estimates. */
  localPrefillTokens: number | null,
  prompt: { readonly tokens: number; readonly cachedTokens: number },
  estimate: () => Estimate,
): Placement {
  if (localPrefillTokens === 0) return { route: 'disaggregated', reason: 'forced' };
  if (localPrefillTokens !== null) {
    if (prompt.tokens - prompt.cachedTokens >= localPrefillTokens) {
      return { route: 'disaggregated', reason: 'threshold' };
    }
    const reason = prompt.tokens >= localPrefillTokens ? 'cached' : 'threshold';
    return { route: 'local', reason };
  }
  const { disaggregatedMs, localMs, uncachedDisaggregatedMs, uncachedLocalMs } = estimate();
  if (disaggregatedMs < localMs) return { route: 'disaggregated', reason: 'measured' };
  const reason = uncachedDisaggregatedMs < uncachedLocalMs ? 'cached' : 'measured';
  return { route: 'local', reason };
}
