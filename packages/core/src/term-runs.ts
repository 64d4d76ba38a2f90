// The terms of the log, by runs: for each term present its last index, and nothing per entry. Terms never fall along a
// log, so one term is one run, and every question the protocol asks about terms is answered by a search over the runs;
// nearly always the last one is meant, which stands in fields. A log of one term needs no array at all.
//
// Invariants:
// 1. Terms and ends ascend strictly; the first run begins at `firstIndex`.
// 2. `lastIndex` is the end of the last run, or firstIndex - 1 in an empty log; `lastTerm` is its term.
// 3. `prevTerm` is the term of the entry before `firstIndex` (0 where firstIndex is 1): compacted, hence committed.

import { assert } from './assert.ts';
import type { TermEnd } from './config.ts';

const noRuns: readonly number[] = [];

export class TermRuns {
  firstIndex: number;
  prevTerm: number;
  lastIndex: number;
  lastTerm: number;
  /** First index of the last run; lastIndex + 1 in an empty log. Nearly every question ends here, without the array. */
  #lastRunFirst: number;
  /** The runs before the last one: term and last index of each, by turns. Replaced whole, so that it has no slack. */
  #older: readonly number[] = noRuns;

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
    const older: number[] = [];
    for (const { term, lastIndex } of termEnds) {
      const isFirst = this.lastIndex < firstIndex;
      if (!(Number.isSafeInteger(term) && term >= 1 && term >= prevTerm)) {
        throw new RangeError(`termEnds: terms do not ascend at ${term}`);
      }
      if (!isFirst && term <= this.lastTerm) {
        throw new RangeError(`termEnds: terms do not ascend at ${term}`);
      }
      if (!(Number.isSafeInteger(lastIndex) && lastIndex > this.lastIndex)) {
        throw new RangeError(`termEnds: indexes do not ascend at ${lastIndex}`);
      }
      if (!isFirst) older.push(this.lastTerm, this.lastIndex);
      this.#lastRunFirst = this.lastIndex + 1;
      this.lastIndex = lastIndex;
      this.lastTerm = term;
    }
    if (older.length > 0) this.#older = older.slice();
  }

  /** Number of terms present. */
  get count(): number {
    return this.#older.length / 2 + (this.lastIndex >= this.#lastRunFirst ? 1 : 0);
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
    return this.#older[2 * this.#olderRunOf(index)] as number;
  }

  /** Last index of the run that holds `index`, which is in the log. */
  runEnd(index: number): number {
    assert(index >= this.firstIndex && index <= this.lastIndex, 'runEnd of an index in the log');
    if (index >= this.#lastRunFirst) return this.lastIndex;
    return this.#older[2 * this.#olderRunOf(index) + 1] as number;
  }

  /** Adds the entries lastIndex+1..last, all of `term`. */
  append(last: number, term: number): void {
    assert(last > this.lastIndex && term >= this.lastTerm, 'a log grows, and its terms never fall');
    if (term !== this.lastTerm) {
      if (this.lastIndex >= this.#lastRunFirst) {
        const ended = [this.lastTerm, this.lastIndex];
        this.#older = this.#older.length === 0 ? ended : this.#older.concat(ended);
      }
      this.#lastRunFirst = this.lastIndex + 1;
      this.lastTerm = term;
    }
    this.lastIndex = last;
  }

  /** Drops all entries after `last`. */
  truncate(last: number): void {
    assert(last >= this.firstIndex - 1 && last < this.lastIndex, 'truncation keeps a prefix');
    this.lastIndex = last;
    if (last >= this.#lastRunFirst) return;
    const older = this.#older;
    let count = older.length / 2;
    while (count > 0 && this.#firstOfOlder(count - 1) > last) count--;
    if (count === 0) {
      this.lastTerm = this.prevTerm;
      this.#lastRunFirst = this.firstIndex;
      this.#older = noRuns;
      return;
    }
    this.lastTerm = older[2 * count - 2] as number;
    this.#lastRunFirst = this.#firstOfOlder(count - 1);
    this.#older = count === 1 ? noRuns : older.slice(0, 2 * count - 2);
  }

  /** Drops all entries up to `index`, whose term stays known. */
  compact(index: number): void {
    assert(index >= this.firstIndex && index <= this.lastIndex, 'compaction drops entries present');
    const prevTerm = this.termAt(index);
    const older = this.#older;
    let from = 0;
    while (from < older.length && (older[from + 1] as number) <= index) from += 2;
    this.#older = from === older.length ? noRuns : from === 0 ? older : older.slice(from);
    if (this.#lastRunFirst <= index) this.#lastRunFirst = index + 1;
    this.firstIndex = index + 1;
    this.prevTerm = prevTerm;
  }

  /** An empty log behind a snapshot that ends with the entry at `index`, of `term`. */
  reset(index: number, term: number): void {
    assert(index >= this.firstIndex - 1, 'a snapshot never brings compacted entries back');
    this.firstIndex = index + 1;
    this.prevTerm = term;
    this.lastIndex = index;
    this.lastTerm = term;
    this.#lastRunFirst = index + 1;
    this.#older = noRuns;
  }

  /**
   * The greatest index <= `index` whose term is not above `term`; firstIndex - 1 where the log has none. Both sides use
   * it to skip a whole term of disagreement in one exchange (Raft §5.3, last paragraph).
   */
  lastIndexNotAbove(index: number, term: number): number {
    const result = Math.min(index, this.lastIndex);
    if (result < this.firstIndex) return this.firstIndex - 1;
    if (this.termAt(result) <= term) return result;
    let run = result >= this.#lastRunFirst ? this.#older.length / 2 : this.#olderRunOf(result);
    while (run > 0 && (this.#older[2 * run - 2] as number) > term) run--;
    return run === 0 ? this.firstIndex - 1 : (this.#older[2 * run - 1] as number);
  }

  #firstOfOlder(run: number): number {
    return run === 0 ? this.firstIndex : (this.#older[2 * run - 1] as number) + 1;
  }

  /** Position among the older runs of the one that holds `index`, which is in the log before the last run. */
  #olderRunOf(index: number): number {
    let low = 0;
    let high = this.#older.length / 2 - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#older[2 * middle + 1] as number) < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
