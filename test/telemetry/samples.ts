// Prometheus' text format, read back: sample → value. A line that is none is an error.

const sample = /^([a-z_][a-z0-9_]*)(?:\{(.*)\})? ([-+0-9.eE]+|NaN|[+-]Inf)$/;

export function samplesOf(text: string): ReadonlyMap<string, number> {
  const samples = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || /^# (HELP|TYPE) [a-z0-9_]+ /.test(line)) continue;
    const [, name, labels, value] = sample.exec(line) ?? [];
    if (name === undefined) throw new Error(`no sample: ${line}`);
    const key = labels === undefined ? name : `${name}{${labels}}`;
    if (samples.has(key)) throw new Error(`twice: ${key}`);
    samples.set(key, Number(value));
  }
  return samples;
}
