// Makes a failing list small: faults of a schedule, operations of a client. Delta debugging: leave out large pieces as
// long as the rest still fails, then smaller ones, down to single items; the result fails, and no single item of it can
// be left out.

export interface ShrinkResult<T> {
  readonly items: readonly T[];
  /** Runs it took. */
  readonly tries: number;
}

/** `fails` runs with a list and tells whether the failure is still there; `triesMax` bounds the runs, default 500. */
export function shrinkList<T>(
  all: readonly T[],
  fails: (items: readonly T[]) => boolean,
  triesMax = 500,
): ShrinkResult<T> {
  let items = [...all];
  let tries = 0;
  let size = Math.ceil(items.length / 2);
  while (size >= 1 && items.length > 0) {
    let shrunk = false;
    for (let at = 0; at < items.length; ) {
      if (tries >= triesMax) return { items, tries };
      const without = [...items.slice(0, at), ...items.slice(at + size)];
      tries += 1;
      if (fails(without)) {
        items = without;
        shrunk = true;
      } else {
        at += size;
      }
    }
    if (size === 1 && !shrunk) break;
    if (!shrunk || size > items.length) size = Math.max(1, Math.floor(size / 2));
  }
  return { items, tries };
}
