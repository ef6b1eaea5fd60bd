// The Meter's body: prom-client, with a bound on the label sets of each metric, since a name that
// comes from outside (a model, a worker) must not fill our memory.

import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { type AnyRow, type Meter, type MetricName, metrics, type Process } from './metric.ts';

/** Label sets of one metric; what comes later is counted under `other`. */
const labelSetCountMax = 1000;

type Labels = Readonly<Record<string, string>>;

/** The metrics that this kind of process has. Feeding one that it has not does nothing. */
export function prometheusMeter(process: Process): Meter {
  const registry = new Registry();
  const refreshers: (() => void)[] = [];
  const counters = new Map<string, Counter>();
  const gauges = new Map<string, Gauge>();
  const histograms = new Map<string, Histogram>();
  const totals = new Map<string, number>();
  const bounds = new Map<string, LabelBound>();
  for (const [name, row] of rowsOf(process)) {
    const { help, labels: labelNames, kind } = row;
    const shape = { name, help, labelNames: [...labelNames], registers: [registry] };
    if (kind === 'counter') counters.set(name, new Counter(shape));
    else if (kind === 'gauge') gauges.set(name, new Gauge(shape));
    else histograms.set(name, new Histogram({ ...shape, buckets: [...row.buckets] }));
    if (labelNames.length > 0) bounds.set(name, new LabelBound());
  }
  const bounded = (name: string, labels: Labels): Labels => bounds.get(name)?.of(labels) ?? labels;
  return {
    count: (name, labels, by = 1) => counters.get(name)?.inc(bounded(name, labels), by),
    countTo: (name, labels, total) => {
      const key = `${name} ${keyOf(labels)}`;
      const more = total - (totals.get(key) ?? 0);
      if (more <= 0) return;
      totals.set(key, total);
      counters.get(name)?.inc(bounded(name, labels), more);
    },
    set: (name, labels, value) => gauges.get(name)?.set(bounded(name, labels), value),
    observe: (name, labels, valueS) => histograms.get(name)?.observe(bounded(name, labels), valueS),
    clear: (name) => {
      gauges.get(name)?.reset();
      if (bounds.has(name)) bounds.set(name, new LabelBound());
    },
    onRead: (refresh) => {
      refreshers.push(refresh);
    },
    read: () => {
      for (const refresh of refreshers) refresh();
      return registry.metrics();
    },
  };
}

function rowsOf(process: Process): (readonly [MetricName, AnyRow])[] {
  // Object.entries forgets the key type; the table is a literal, so its keys are exactly these.
  const rows = Object.entries(metrics) as [MetricName, AnyRow][];
  return rows.filter(([, row]) => row.on.includes(process));
}

class LabelBound {
  readonly #known = new Set<string>();

  of(labels: Labels): Labels {
    const key = keyOf(labels);
    if (key === '' || this.#known.has(key)) return labels;
    if (this.#known.size < labelSetCountMax) {
      this.#known.add(key);
      return labels;
    }
    return Object.fromEntries(Object.keys(labels).map((name) => [name, 'other']));
  }
}

function keyOf(labels: Labels): string {
  return Object.values(labels).join('\0');
}
