// The one table of metrics, and the port through which they are fed. Names are what dashboards are
// built on: they do not change. Labels take only values of which there are few; a request's own text
// never becomes one.

/** From a millisecond to the longest wait that a gateway allows, in seconds. */
const seconds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160,
];
/** A token and a hand-over take less. */
const shortSeconds = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
];

const api = ['api'] as const;
const worker = ['worker'] as const;
const both = ['api', 'worker'] as const;

export const metrics = {
  tdist_requests_total: counter(api, 'Completion requests by HTTP status', [
    'model',
    'route',
    'code',
  ]),
  tdist_running_requests: gauge(both, 'Requests that have begun and not ended'),
  tdist_waiting_requests: gauge(both, 'Requests that wait for their turn'),
  tdist_paused_requests: gauge(worker, 'Requests that rest until their clients have read on'),
  tdist_queue_seconds: histogram(api, 'Waiting for workers, before the prefill', seconds),
  tdist_prefill_seconds: histogram(worker, 'Computing a prompt', seconds),
  tdist_time_to_first_token_seconds: histogram(api, 'From arrival to the first token', seconds),
  tdist_inter_token_latency_seconds: histogram(
    api,
    'Between two tokens as they were sent',
    shortSeconds,
  ),
  tdist_e2e_request_latency_seconds: histogram(api, 'From arrival to the last token', seconds),
  tdist_prompt_tokens_total: counter(api, 'Prompt tokens of requests that began'),
  tdist_generation_tokens_total: counter(both, 'Tokens generated'),
  tdist_cached_tokens_total: counter(api, 'Prompt tokens whose KV was there already'),
  tdist_kv_transfer_bytes_total: counter(worker, 'KV taken over from other workers', ['path']),
  tdist_kv_transfer_saved_bytes_total: counter(
    worker,
    'KV that did not travel: held by the reader, or stored in the bucket already',
    ['reason'],
  ),
  tdist_kv_transfer_seconds: histogram(worker, 'Export and import of one hand-over', shortSeconds, [
    'path',
  ]),
  tdist_kv_transfer_failures_total: counter(worker, 'Hand-overs whose KV could not be used', [
    'path',
    'reason',
  ]),
  tdist_kv_blocks: gauge(worker, 'Blocks of the KV arena: free, held, leased, cached', ['state']),
  tdist_preemptions_total: counter(worker, 'Running sequences that had to give their room back'),
  tdist_slot_moves_total: counter(worker, 'Copies of a sequence from one slot to another'),
  tdist_migrations_total: counter(both, 'Running requests moved to another worker'),
  tdist_recomputes_total: counter(worker, 'Prefills that had to be done here instead', ['reason']),
  tdist_cancellations_total: counter(api, 'Requests whose client left: queue, stream', ['phase']),
  tdist_key_requests_total: counter(api, 'Completion requests by API key', ['key', 'code']),
  tdist_key_tokens_total: counter(api, 'Tokens by API key: prompt, completion', ['key', 'kind']),
  tdist_rejections_total: counter(api, 'Requests refused before their first token', ['reason']),
  tdist_worker_up: gauge(api, '1: takes requests; 0: alive, but starting or draining', [
    'role',
    'worker',
    'model',
  ]),
  tdist_process_resident_bytes: gauge(both, 'Resident memory of this process'),
};

export type Process = 'api' | 'worker';
type Table = typeof metrics;
export type MetricName = keyof Table;
type NamesOf<K> = {
  [N in MetricName]: Table[N] extends { readonly kind: K } ? N : never;
}[MetricName];
export type LabelsOf<N extends MetricName> = {
  readonly [L in Table[N]['labels'][number]]: string;
};

/** What code that is measured gets. */
export type Meter = {
  /** `by` more. */
  count<N extends NamesOf<'counter'>>(name: N, labels: LabelsOf<N>, by?: number): void;
  /** `total` in all: for a sum that is kept elsewhere. It never falls. */
  countTo<N extends NamesOf<'counter'>>(name: N, labels: LabelsOf<N>, total: number): void;
  set<N extends NamesOf<'gauge'>>(name: N, labels: LabelsOf<N>, value: number): void;
  observe<N extends NamesOf<'histogram'>>(name: N, labels: LabelsOf<N>, valueS: number): void;
  /** Forgets all its label sets; for gauges of things that come and go. */
  clear(name: NamesOf<'gauge'>): void;
  /** Called before each reading: for values that are only worth looking at then. */
  onRead(refresh: () => void): void;
  /** All of it in Prometheus' text format. */
  read(): Promise<string>;
};

export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8';

export const noMeter: Meter = {
  count: () => undefined,
  countTo: () => undefined,
  set: () => undefined,
  observe: () => undefined,
  clear: () => undefined,
  onRead: () => undefined,
  read: async () => '',
};

type Row<K extends string, L extends string> = {
  readonly kind: K;
  /** Which processes have it. */
  readonly on: readonly Process[];
  readonly help: string;
  readonly labels: readonly L[];
  /** Upper bounds of a histogram. */
  readonly buckets: readonly number[];
};
export type AnyRow = Row<'counter' | 'gauge' | 'histogram', string>;

function counter<L extends string = never>(
  on: readonly Process[],
  help: string,
  labels: readonly L[] = [],
): Row<'counter', L> {
  return { kind: 'counter', on, help, labels, buckets: [] };
}

function gauge<L extends string = never>(
  on: readonly Process[],
  help: string,
  labels: readonly L[] = [],
): Row<'gauge', L> {
  return { kind: 'gauge', on, help, labels, buckets: [] };
}

function histogram<L extends string = never>(
  on: readonly Process[],
  help: string,
  buckets: readonly number[],
  labels: readonly L[] = [],
): Row<'histogram', L> {
  return { kind: 'histogram', on, help, labels, buckets };
}
