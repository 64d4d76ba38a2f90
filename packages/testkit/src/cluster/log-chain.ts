// What is known of the logs of one group without holding them: for each term the index at which its run of entries
// begins and the term of the entry before. By log matching (Raft §5.3) that is the same in every log that has entries of
// the term, so (index, term) names a whole prefix, and two facts that disagree are a violation of S3.

interface TermStart {
  readonly first: number;
  readonly prevTerm: number;
}

export class LogChain {
  readonly #starts: Map<number, TermStart> = new Map();

  /** In some log the run of `term` begins at `first`, behind an entry of `prevTerm`. Answers what disagrees, or null. */
  addStart(term: number, first: number, prevTerm: number): string | null {
    const known = this.#starts.get(term);
    if (known === undefined) {
      this.#starts.set(term, { first, prevTerm });
      return null;
    }
    if (known.first === first && known.prevTerm === prevTerm) return null;
    return `entries of term ${term} begin at ${first} behind term ${prevTerm}, elsewhere at ${known.first} behind term ${known.prevTerm}`;
  }

  firstOf(term: number): number | null {
    return this.#starts.get(term)?.first ?? null;
  }

  /** Term of the entry at `index` in the logs that hold (last, lastTerm); null where nothing is known. */
  termAt(index: number, last: number, lastTerm: number): number | null {
    if (index > last) return null;
    let term = lastTerm;
    while (index > 0) {
      const start = this.#starts.get(term);
      if (start === undefined) return null;
      if (index >= start.first) return term;
      term = start.prevTerm;
    }
    return 0;
  }
}
