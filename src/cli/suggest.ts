// The nearest known word to a mistyped one, for error messages.

/** `the nearest known one is X`, or where none is near what to say instead. */
export function hintFor(word: string, candidates: readonly string[], otherwise: string): string {
  const found = nearest(word, candidates);
  return found === undefined ? otherwise : `the nearest known one is ${found}`;
}

/** Edits that are still a slip of the fingers; with more it is another word. */
function slipMax(word: string): number {
  return Math.max(1, Math.floor(word.length / 3));
}

/** The candidate with the fewest edits to `word`, the first one among equals; none that is far off. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const wanted = word.toLowerCase().replaceAll('_', '-');
  let best: string | undefined;
  let bestEdits = slipMax(wanted) + 1;
  for (const candidate of candidates) {
    const edits = editCount(wanted, candidate);
    if (edits < bestEdits) {
      best = candidate;
      bestEdits = edits;
    }
  }
  return best;
}

/** Optimal string alignment: insert, delete, replace, and swap of neighbours cost one each. */
export function editCount(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let edits = Math.min(
        (previous[j] ?? 0) + 1,
        (current[j - 1] ?? 0) + 1,
        (previous[j - 1] ?? 0) + (same ? 0 : 1),
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        edits = Math.min(edits, (before[j - 2] ?? 0) + 1);
      }
      current.push(edits);
    }
    before = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}
