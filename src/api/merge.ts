// Several streams as one, in the order in which their values come. Each is asked for its next value
// only when its last one was taken, so whoever reads slowly slows all of them down and fills no memory.

/** Fails with the first that fails. Those that have not ended are their owner's to cancel. */
export async function* merged<T>(sources: readonly AsyncIterator<T>[]): AsyncGenerator<T, void> {
  const ready: { readonly next: IteratorResult<T>; readonly source: AsyncIterator<T> }[] = [];
  const failures: unknown[] = [];
  let wake = (): void => undefined;
  const ask = (source: AsyncIterator<T>): void => {
    source.next().then(
      (next) => {
        ready.push({ next, source });
        wake();
      },
      (thrown: unknown) => {
        failures.push(thrown);
        wake();
      },
    );
  };
  for (const source of sources) ask(source);
  let open = sources.length;
  while (open > 0) {
    const arrived = ready.shift();
    if (arrived === undefined) {
      if (failures.length > 0) throw failures[0];
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    } else if (arrived.next.done === true) {
      open--;
    } else {
      yield arrived.next.value;
      ask(arrived.source);
    }
  }
}
