// The terms of the log, by runs: for each term present its last index, and nothing per entry. Terms never fall along a
// log, so one term is one run, and every question the protocol asks about terms is answered by a search over the runs;
// nearly always the last one is meant.
//
// Invariants:
// 1. Terms and ends ascend strictly; the first run begins at `firstIndex`.
// 2. `lastIndex` is the end of the last run, or firstIndex - 1 in an empty log; `lastTerm` is its term.
// 3. `prevTerm` is the term of the entry before `firstIndex` (0 where firstIndex is 1): compacted, hence committed.

import { assert } from './assert.ts';
import type { TermEnd } from './config.ts';

export class TermRuns {
  readonly firstIndex: number;
  readonly prevTerm: number;
  lastIndex: number;
  lastTerm: number;
  /** First index of the last run; lastIndex + 1 in an empty log. Nearly every question ends here, without the arrays. */
  #lastRunFirst: number;
  readonly #terms: number[] = [];
  /** The last run's end is `lastIndex`, and is written here only when the next run begins. */
  readonly #ends: number[] = [];

  /** Throws RangeError where the runs do not ascend: a log that was recovered wrongly must not start. */
  constructor(firstIndex: number, prevTerm: number, termEnds: readonly TermEnd[]) {
    if (!(Number.isSafeInteger(firstIndex) && firstIndex >= 1)) {
      throw new RangeError(`firstIndex is not an index: ${firstIndex}`);
    }
    if (!(Number.isSafeInteger(prevTerm) && prevTerm >= 0 && (firstIndex > 1 || prevTerm === 0))) {
      throw new RangeError(`prevTerm does not fit firstIndex ${firstIndex}: ${prevTerm}`);
    }
    this.firstIndex = firstIndex;
    this.prevTerm = prevTerm;
    this.lastIndex = firstIndex - 1;
    this.lastTerm = prevTerm;
    this.#lastRunFirst = firstIndex;
    for (const { term, lastIndex } of termEnds) {
      const isTermOk = term > this.lastTerm || (term === prevTerm && this.#terms.length === 0);
      if (!(Number.isSafeInteger(term) && term >= 1 && isTermOk)) {
        throw new RangeError(`termEnds: terms do not ascend at ${term}`);
      }
      if (!(Number.isSafeInteger(lastIndex) && lastIndex > this.lastIndex)) {
        throw new RangeError(`termEnds: indexes do not ascend at ${lastIndex}`);
      }
      this.append(lastIndex, term);
    }
  }

  /** Number of terms present. */
  get count(): number {
    return this.#terms.length;
  }

  /** Whether the term of `index` is known: it is in the log, or the last one before it. */
  isKnown(index: number): boolean {
    return index >= this.firstIndex - 1 && index <= this.lastIndex;
  }

  /** Term of the entry at `index`; 0 for index 0 and for any index whose term is not known. */
  termAt(index: number): number {
    if (index === this.lastIndex) return this.lastTerm;
    if (index < this.firstIndex) return index === this.firstIndex - 1 ? this.prevTerm : 0;
    if (index > this.lastIndex) return 0;
    if (index >= this.#lastRunFirst) return this.lastTerm;
    return this.#terms[this.#runOf(index)] as number;
  }

  /** Last index of the run that holds `index`, which is in the log. */
  runEnd(index: number): number {
    assert(index >= this.firstIndex && index <= this.lastIndex, 'runEnd of an index in the log');
    if (index >= this.#lastRunFirst) return this.lastIndex;
    return this.#ends[this.#runOf(index)] as number;
  }

  /** Adds the entries lastIndex+1..last, all of `term`. */
  append(last: number, term: number): void {
    assert(last > this.lastIndex && term >= this.lastTerm, 'a log grows, and its terms never fall');
    if (term !== this.lastTerm || this.lastIndex < this.#lastRunFirst) {
      const newest = this.#terms.length - 1;
      if (newest >= 0) this.#ends[newest] = this.lastIndex;
      this.#terms.push(term);
      this.#ends.push(last);
      this.#lastRunFirst = this.lastIndex + 1;
    }
    this.lastIndex = last;
    this.lastTerm = term;
  }

  /** Drops all entries after `last`. */
  truncate(last: number): void {
    assert(last >= this.firstIndex - 1 && last < this.lastIndex, 'truncation keeps a prefix');
    let count = this.#terms.length;
    while (count > 0 && this.#firstOfRun(count - 1) > last) count--;
    this.#terms.length = count;
    this.#ends.length = count;
    this.lastIndex = last;
    this.lastTerm = count > 0 ? (this.#terms[count - 1] as number) : this.prevTerm;
    this.#lastRunFirst = count > 0 ? this.#firstOfRun(count - 1) : this.firstIndex;
  }

  /**
   * The greatest index <= `index` whose term is not above `term`; firstIndex - 1 where the log has none. Both sides use
   * it to skip a whole term of disagreement in one exchange (Raft §5.3, last paragraph).
   */
  lastIndexNotAbove(index: number, term: number): number {
    let result = Math.min(index, this.lastIndex);
    if (result < this.firstIndex) return this.firstIndex - 1;
    let run = this.#runOf(result);
    while (run >= 0 && (this.#terms[run] as number) > term) {
      result = this.#firstOfRun(run) - 1;
      run--;
    }
    return result;
  }

  #firstOfRun(run: number): number {
    return run === 0 ? this.firstIndex : (this.#ends[run - 1] as number) + 1;
  }

  /** Position of the run that holds `index`, which is in the log. */
  #runOf(index: number): number {
    let low = 0;
    let high = this.#ends.length - 1;
    if (index >= this.#lastRunFirst) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] as number) < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
