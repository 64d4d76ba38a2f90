// The index of the whole log in memory: the group table, the runs of every group's entries and the terms they have.
// Recovery builds it from the records, the live log keeps it; both go through the same calls.
//
// Guarantees: indexes of a group are without holes, terms along them do not decrease, a find costs a few steps at the
// tail of the log and one chunk walk elsewhere, and nothing here allocates per entry.

import { assert } from '@flotilla/io';
import type { VoteIdentity, WalTermEnd } from './api.ts';
import { GroupTable, none } from './group-table.ts';
import {
  chunkHeadWords,
  chunkRuns,
  countOf,
  packLength,
  RunArena,
  recLenOf,
  runWords,
  withCount,
} from './run-arena.ts';

/** Words of a closed term: term, last index, previous node. */
const termWords = 3;

export class LogIndex {
  readonly groups: GroupTable = new GroupTable();
  readonly runs: RunArena = new RunArena();

  // Filled by find().
  foundFirst = 0;
  foundLast = 0;
  foundSegSlot = 0;
  foundOffset = 0;
  foundRecLen = 0;

  /** Chunk that find() ended in last, valid for #cursorSlot while no chunk was freed: readers go forward. */
  #cursorSlot = none;
  #cursorChunk = none;
  #cursorFreed = 0;
  #foundChunk = none;
  #foundRun = 0;

  #terms: Float64Array = new Float64Array(64 * termWords);
  #termsHigh = 0;
  #termsFree = none;

  // --- Changing ------------------------------------------------------------------------------------------------------

  setHardState(slot: number, term: number, vote: VoteIdentity, commit: number): void {
    const groups = this.groups;
    groups.term[slot] = term;
    groups.voteNode[slot] = vote.nodeId;
    groups.voteGeneration[slot] = vote.generation;
    groups.voteInstance[slot] = vote.instance;
    if (commit > (groups.commit[slot] as number)) groups.commit[slot] = commit;
  }

  /** Adds the entries first..first+count-1 of one term that stand in one record. The suffix from `first` on is gone already. */
  append(
    slot: number,
    first: number,
    count: number,
    term: number,
    segSlot: number,
    offset: number,
    recLen: number,
  ): void {
    const groups = this.groups;
    const last = groups.last[slot] as number;
    const lastTerm = groups.lastTerm[slot] as number;
    assert(first === last + 1 && term >= lastTerm, 'an append that does not follow the log');
    const relative = first - (groups.base[slot] as number);
    assert(relative >= 0 && relative <= 0xffff_ffff, 'an index out of the reach of its base');
    if (term !== lastTerm) {
      if (last >= (groups.first[slot] as number)) this.#pushTerm(slot, lastTerm, last);
      groups.lastTerm[slot] = term;
    }
    let chunk = groups.tailChunk[slot] as number;
    let words: Uint32Array;
    let base: number;
    let used: number;
    if (chunk === none) {
      chunk = this.runs.allocate(none);
      groups.headChunk[slot] = chunk;
      groups.tailChunk[slot] = chunk;
      words = this.runs.page(chunk);
      base = this.runs.baseOf(chunk);
      used = 0;
    } else {
      words = this.runs.page(chunk);
      base = this.runs.baseOf(chunk);
      used = words[base + 2] as number;
      if (used === chunkRuns) {
        chunk = this.runs.allocate(chunk);
        groups.tailChunk[slot] = chunk;
        words = this.runs.page(chunk);
        base = this.runs.baseOf(chunk);
        used = 0;
      }
    }
    words[base + 2] = used + 1;
    const at = base + chunkHeadWords + used * runWords;
    words[at] = relative;
    words[at + 1] = packLength(count, recLen);
    words[at + 2] = segSlot;
    words[at + 3] = offset / 8;
    groups.last[slot] = first + count - 1;
  }

  /** Drops the entries from `from` on. */
  truncate(slot: number, from: number): void {
    const groups = this.groups;
    if (from > (groups.last[slot] as number)) return;
    assert(from >= (groups.first[slot] as number), 'a truncation before the first index');
    const relative = from - (groups.base[slot] as number);
    let chunk = groups.tailChunk[slot] as number;
    while (chunk !== none) {
      const words = this.runs.page(chunk);
      const base = this.runs.baseOf(chunk);
      let used = words[base + 2] as number;
      let at = base + chunkHeadWords + (used - 1) * runWords;
      while (used > 0 && (words[at] as number) >= relative) {
        used--;
        at -= runWords;
      }
      words[base + 2] = used;
      if (used > 0) {
        const first = words[at] as number;
        const length = words[at + 1] as number;
        if (first + countOf(length) > relative) words[at + 1] = withCount(length, relative - first);
        break;
      }
      chunk = this.runs.freeTail(chunk);
      groups.tailChunk[slot] = chunk;
      if (chunk === none) groups.headChunk[slot] = none;
    }
    const last = from - 1;
    groups.last[slot] = last;
    this.#truncateTerms(slot, last);
  }

  /** Points the run at `index` to another place, where it still points to the old one. */
  move(
    slot: number,
    index: number,
    from: { readonly segSlot: number; readonly offset: number },
    to: { readonly segSlot: number; readonly offset: number },
  ): boolean {
    if (!this.find(slot, index)) return false;
    if (this.foundSegSlot !== from.segSlot || this.foundOffset !== from.offset) return false;
    const words = this.runs.page(this.#foundChunk);
    const at = this.runs.baseOf(this.#foundChunk) + chunkHeadWords + this.#foundRun * runWords;
    words[at + 2] = to.segSlot;
    words[at + 3] = to.offset / 8;
    return true;
  }

  // --- Asking --------------------------------------------------------------------------------------------------------

  /** Finds the run that holds `index` and fills the found* fields; false where the log has no such index. */
  find(slot: number, index: number): boolean {
    const groups = this.groups;
    if (!(index >= (groups.first[slot] as number) && index <= (groups.last[slot] as number))) {
      return false;
    }
    const groupBase = groups.base[slot] as number;
    const relative = index - groupBase;
    let chunk = groups.tailChunk[slot] as number;
    let words = this.runs.page(chunk);
    let base = this.runs.baseOf(chunk);
    if ((words[base + chunkHeadWords] as number) > relative) {
      chunk = this.#chunkOf(slot, relative);
      words = this.runs.page(chunk);
      base = this.runs.baseOf(chunk);
    }
    const runs = base + chunkHeadWords;
    // The last run whose first index is at or below; the newest runs are asked for most.
    let low = 0;
    let high = (words[base + 2] as number) - 1;
    if ((words[runs + high * runWords] as number) <= relative) low = high;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((words[runs + middle * runWords] as number) <= relative) low = middle;
      else high = middle - 1;
    }
    const at = runs + low * runWords;
    const length = words[at + 1] as number;
    this.foundFirst = (words[at] as number) + groupBase;
    this.foundLast = this.foundFirst + countOf(length) - 1;
    this.foundSegSlot = words[at + 2] as number;
    this.foundOffset = (words[at + 3] as number) * 8;
    this.foundRecLen = recLenOf(length);
    this.#foundChunk = chunk;
    this.#foundRun = low;
    assert(index <= this.foundLast, 'a hole in the index');
    return true;
  }

  /**
   * Fills foundSegSlot and foundOffset with the place of the group's last run; false where it has none. Cheaper than
   * find(), for who wants the memory and not the entry.
   */
  findTail(slot: number): boolean {
    const chunk = this.groups.tailChunk[slot] as number;
    if (chunk === none) return false;
    const words = this.runs.page(chunk);
    const base = this.runs.baseOf(chunk);
    const at = base + chunkHeadWords + ((words[base + 2] as number) - 1) * runWords;
    this.foundSegSlot = words[at + 2] as number;
    this.foundOffset = (words[at + 3] as number) * 8;
    return true;
  }

  /** After a successful find(): the same for the next run of the group; false at the end of its log. */
  findNext(slot: number): boolean {
    const last = this.groups.last[slot] as number;
    return this.foundLast < last && this.find(slot, this.foundLast + 1);
  }

  /** Term of the entry at `index`, which must be in the log (or be the one before its first). */
  termOf(slot: number, index: number): number {
    const groups = this.groups;
    if (index < (groups.first[slot] as number)) return groups.prevTerm[slot] as number;
    let term = groups.lastTerm[slot] as number;
    for (let node = groups.termNode[slot] as number; node !== none; ) {
      if ((this.#terms[node + 1] as number) < index) break;
      term = this.#terms[node] as number;
      node = this.#terms[node + 2] as number;
    }
    return term;
  }

  /** The terms of the log, oldest first, each with its last index. */
  termEnds(slot: number): WalTermEnd[] {
    const groups = this.groups;
    const ends: WalTermEnd[] = [];
    const lastIndex = groups.last[slot] as number;
    if (lastIndex < (groups.first[slot] as number)) return ends;
    ends.push({ term: groups.lastTerm[slot] as number, lastIndex });
    for (let node = groups.termNode[slot] as number; node !== none; ) {
      ends.push({ term: this.#terms[node] as number, lastIndex: this.#terms[node + 1] as number });
      node = this.#terms[node + 2] as number;
    }
    return ends.reverse();
  }

  // --- Inside --------------------------------------------------------------------------------------------------------

  /** The chunk that holds `relative`, which is not in the tail chunk; from the cursor where it helps. */
  #chunkOf(slot: number, relative: number): number {
    const cursorHolds = this.#cursorSlot === slot && this.#cursorFreed === this.runs.freed;
    let chunk = cursorHolds ? this.#cursorChunk : (this.groups.headChunk[slot] as number);
    if (cursorHolds && this.#firstOf(chunk) > relative) {
      while (this.#firstOf(chunk) > relative) {
        chunk = (this.runs.page(chunk)[this.runs.baseOf(chunk)] as number) - 1;
      }
    } else {
      for (;;) {
        const next = (this.runs.page(chunk)[this.runs.baseOf(chunk) + 1] as number) - 1;
        if (next === none || this.#firstOf(next) > relative) break;
        chunk = next;
      }
    }
    this.#cursorSlot = slot;
    this.#cursorChunk = chunk;
    this.#cursorFreed = this.runs.freed;
    return chunk;
  }

  #firstOf(chunk: number): number {
    return this.runs.page(chunk)[this.runs.baseOf(chunk) + chunkHeadWords] as number;
  }

  #pushTerm(slot: number, term: number, lastIndex: number): void {
    let node = this.#termsFree;
    if (node !== none) {
      this.#termsFree = this.#terms[node + 2] as number;
    } else {
      node = this.#termsHigh;
      this.#termsHigh += termWords;
      if (this.#termsHigh > this.#terms.length) {
        const larger = new Float64Array(this.#terms.length * 2);
        larger.set(this.#terms);
        this.#terms = larger;
      }
    }
    this.#terms[node] = term;
    this.#terms[node + 1] = lastIndex;
    this.#terms[node + 2] = this.groups.termNode[slot] as number;
    this.groups.termNode[slot] = node;
  }

  #truncateTerms(slot: number, last: number): void {
    const groups = this.groups;
    for (;;) {
      const node = groups.termNode[slot] as number;
      if (node === none || (this.#terms[node + 1] as number) < last) break;
      groups.lastTerm[slot] = this.#terms[node] as number;
      groups.termNode[slot] = this.#terms[node + 2] as number;
      this.#terms[node + 2] = this.#termsFree;
      this.#termsFree = node;
    }
    if (last < (groups.first[slot] as number)) {
      groups.lastTerm[slot] = groups.prevTerm[slot] as number;
    }
  }
}
