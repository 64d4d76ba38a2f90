// Terms of the transcripts and terms of our cores. A transcript begins in a state that no replica ever has: term 0 beside
// a snapshot whose last entry is of term 1. Our cores refuse that, and rightly: so they count terms one higher, while the
// entries up to the snapshot keep their term 1. The order of any two logs stays what it was: an entry of the first term
// there is newer than the snapshot here too, by its term instead of its index alone.

export class Terms {
  /** Index of the snapshot that the cluster begins with, 0 = none. */
  readonly #base: number;

  constructor(base: number) {
    this.#base = base;
  }

  /** A replica's term as the transcript counts it. */
  toGolden(term: number): number {
    return term - 1;
  }

  /** The term of the entry at `index` as the transcript counts it. */
  ofEntry(index: number, term: number): number {
    if (index === 0 || term === 0) return 0;
    return index <= this.#base ? term : term - 1;
  }
}
