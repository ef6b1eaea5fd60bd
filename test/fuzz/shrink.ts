// Inputs with less in them, the smallest first: halves, then smaller pieces left out.

export function* smaller(input: unknown): Generator<unknown> {
  if (typeof input === 'string') {
    yield* pieces(input.length, (from, to) => input.slice(0, from) + input.slice(to));
  } else if (input instanceof Uint8Array) {
    yield* pieces(input.length, (from, to) =>
      Uint8Array.from([...input.subarray(0, from), ...input.subarray(to)]),
    );
  } else if (Array.isArray(input)) {
    yield* pieces(input.length, (from, to) => input.toSpliced(from, to - from));
    for (const [at, entry] of input.entries()) {
      for (const less of smaller(entry)) yield input.with(at, less);
    }
  } else if (typeof input === 'object' && input !== null) {
    const entries = Object.entries(input);
    for (const at of entries.keys()) yield Object.fromEntries(entries.toSpliced(at, 1));
    for (const [at, [name, entry]] of entries.entries()) {
      for (const less of smaller(entry)) yield Object.fromEntries(entries.with(at, [name, less]));
    }
  }
}

function* pieces<T>(length: number, without: (from: number, to: number) => T): Generator<T> {
  for (let size = Math.ceil(length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 4)) {
    for (let from = 0; from < length; from += size)
      yield without(from, Math.min(length, from + size));
  }
}
