// The index of the whole log in memory: the group table, the runs of every group's entries and the terms they have.
// Recovery builds it from the records, the live log keeps it; both go through the same calls.
//
// Guarantees: indexes of a group are without holes, terms along them do not decrease, a find costs one line of memory for
// the newest run of a group, a few steps in its last chunk and one chunk walk elsewhere, and nothing here allocates per
// entry.

import { assert } from '@flotilla/io';
import type { SnapshotInfo, VoteIdentity, WalTermEnd } from './api.ts';
import { GroupTable, groupStatus, none } from './group-table.ts';
import {
  chunkHeadWords,
  chunkRuns,
  countOf,
  packLength,
  RunArena,
  recLenOf,
  runWords,
  withCount,
  withRecLen,
} from './run-arena.ts';
import {
  dropAllRuns,
  dropRunsBelow,
  findGap,
  insertRun,
  noteTail,
  type RunPlace,
  rebase,
  settle,
} from './run-edits.ts';
import { SegmentUse } from './segment-use.ts';
import { TermList } from './term-list.ts';

/** A group whose indexes are this far above their base counts from another one. */
const rebaseDistance: number = 2 ** 31;

export class LogIndex {
  readonly groups: GroupTable = new GroupTable();
  readonly runs: RunArena = new RunArena();
  readonly use: SegmentUse = new SegmentUse();
  readonly #terms: TermList = new TermList(this.groups);

  /** By slot: where recovery saw configuration entries, replaced ones included. Empty for nearly every group. */
  readonly #configurations: Map<number, Set<number>> = new Map();

  // Filled by find().
  foundFirst = 0;
  foundLast = 0;
  foundSegSlot = 0;
  /** Where what touchGroup() read goes, so that the reads are not optimised away. */
  touched = 0;
  foundOffset = 0;
  foundRecLen = 0;

  /** Chunk that find() ended in last, valid for #cursorSlot while no chunk was freed: readers go forward. */
  #cursorSlot = none;
  #cursorChunk = none;
  #cursorFreed = 0;
  #foundChunk = none;
  #foundRun = 0;

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
      if (last >= (groups.first[slot] as number)) this.#terms.push(slot, lastTerm, last);
      groups.lastTerm[slot] = term;
    }
    let chunk = groups.tailChunk[slot] as number;
    let used = groups.tailUsed[slot] as number;
    if (chunk === none || used === chunkRuns) {
      settle(this, slot);
      const added = this.runs.allocate(chunk);
      if (chunk === none) groups.headChunk[slot] = added;
      groups.tailChunk[slot] = added;
      chunk = added;
      used = 0;
    }
    groups.tailUsed[slot] = used + 1;
    const words = this.runs.page(chunk);
    const at = this.runs.baseOf(chunk) + chunkHeadWords + used * runWords;
    words[at] = relative;
    words[at + 1] = packLength(count, recLen);
    words[at + 2] = segSlot;
    words[at + 3] = offset / 8;
    groups.last[slot] = first + count - 1;
    this.use.addRun(segSlot, recLen);
  }

  /** Drops the entries from `from` on. */
  truncate(slot: number, from: number): void {
    const groups = this.groups;
    if (from > (groups.last[slot] as number)) return;
    assert(from >= (groups.first[slot] as number), 'a truncation before the first index');
    const relative = from - (groups.base[slot] as number);
    settle(this, slot);
    let chunk = groups.tailChunk[slot] as number;
    while (chunk !== none) {
      const words = this.runs.page(chunk);
      const base = this.runs.baseOf(chunk);
      let used = words[base + 2] as number;
      let at = base + chunkHeadWords + (used - 1) * runWords;
      while (used > 0 && (words[at] as number) >= relative) {
        this.use.dropRun(words[at + 2] as number, recLenOf(words[at + 1] as number));
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
      if (chunk === none) groups.headChunk[slot] = none;
    }
    noteTail(this, slot, chunk);
    const last = from - 1;
    groups.last[slot] = last;
    this.#terms.truncate(slot, last);
  }

  /**
   * Points the run at `index` to another place, where it still points to the old one. The record there may be another
   * length: with dropped entries cut off.
   */
  move(
    slot: number,
    index: number,
    from: { readonly segSlot: number; readonly offset: number },
    to: { readonly segSlot: number; readonly offset: number; readonly recLen?: number },
  ): boolean {
    if (!this.find(slot, index)) return false;
    if (this.foundSegSlot !== from.segSlot || this.foundOffset !== from.offset) return false;
    const recLen = to.recLen ?? this.foundRecLen;
    this.use.dropRun(from.segSlot, this.foundRecLen);
    this.use.addRun(to.segSlot, recLen);
    const words = this.runs.page(this.#foundChunk);
    const at = this.runs.baseOf(this.#foundChunk) + chunkHeadWords + this.#foundRun * runWords;
    words[at + 1] = withRecLen(words[at + 1] as number, recLen);
    words[at + 2] = to.segSlot;
    words[at + 3] = to.offset / 8;
    return true;
  }

  /** Drops the entries below `first`, which is at most last + 1; `prevTerm` is the term of the one before it. */
  compact(slot: number, first: number, prevTerm: number): void {
    const groups = this.groups;
    assert(first >= (groups.first[slot] as number), 'a compaction that goes back');
    dropRunsBelow(this, slot, first);
    groups.first[slot] = first;
    groups.prevTerm[slot] = prevTerm;
    if (first > (groups.last[slot] as number)) groups.last[slot] = first - 1;
    this.#terms.compact(slot, first);
    if (first - (groups.base[slot] as number) > rebaseDistance) rebase(this, slot, first);
  }

  /** Drops the whole log: it is empty behind `index`, whose term is `term`. */
  reset(slot: number, index: number, term: number): void {
    const groups = this.groups;
    dropAllRuns(this, slot);
    groups.first[slot] = index + 1;
    groups.base[slot] = index + 1;
    groups.last[slot] = index;
    groups.prevTerm[slot] = term;
    this.#terms.clear(slot);
  }

  /** The record that says what the group is now stands in the segment of this slot. */
  introduce(slot: number, segSlot: number, recLen: number): void {
    const groups = this.groups;
    const before = groups.stateSegment[slot] as number;
    if (before !== none) this.use.dropState(before, groups.stateBytes[slot] as number);
    this.use.addState(segSlot, recLen);
    groups.stateSegment[slot] = segSlot;
    groups.stateBytes[slot] = recLen;
    groups.status[slot] =
      (groups.status[slot] as number) | groupStatus.introduced | groupStatus.lastKnown;
  }

  /** The group is removed: what stays are generation, term and vote. */
  remove(slot: number, tombstone: { readonly term: number; readonly vote: VoteIdentity }): void {
    const groups = this.groups;
    this.reset(slot, 0, 0);
    groups.commit[slot] = 0;
    groups.commitDirty[slot] = 0;
    groups.config[slot] = new Uint8Array(0);
    groups.snapshot[slot] = null;
    this.setHardState(slot, tombstone.term, tombstone.vote, 0);
    groups.status[slot] = (groups.status[slot] as number) | groupStatus.removed;
  }

  /** A group that was removed begins again, with an empty log and the tombstone's term and vote. */
  reopen(slot: number, generation: number, replicaId: number, config: Uint8Array): void {
    const groups = this.groups;
    groups.generation[slot] = generation;
    groups.replicaId[slot] = replicaId;
    groups.config[slot] = config;
    groups.status[slot] = (groups.status[slot] as number) & ~groupStatus.removed;
  }

  /** Recovery saw a configuration entry. */
  noteConfiguration(slot: number, index: number): void {
    const known = this.#configurations.get(slot);
    if (known === undefined) this.#configurations.set(slot, new Set([index]));
    else known.add(index);
  }

  /** Where configuration entries may stand in the group's log, ascending. */
  configurationsAt(slot: number): number[] {
    const first = this.groups.first[slot] as number;
    const last = this.groups.last[slot] as number;
    const known = [...(this.#configurations.get(slot) ?? [])];
    return known.filter((index) => index >= first && index <= last).sort((a, b) => a - b);
  }

  noteSnapshot(slot: number, snapshot: SnapshotInfo): void {
    this.groups.snapshot[slot] = snapshot;
  }

  // --- Replay with gaps: what stood in segments that are gone -----------------------------------------------------------

  /** Lets the log end at `last`, although the entries in between are not known yet. */
  extend(slot: number, last: number): void {
    const groups = this.groups;
    const before = groups.last[slot] as number;
    if (last <= before) return;
    if (groups.tailChunk[slot] === none) {
      // Nothing is known: indexes count from near here, with room for lower ones.
      groups.base[slot] = Math.max(1, last - 2 ** 30);
    } else if (this.#knownEnd(slot) === before) {
      this.#terms.push(slot, groups.lastTerm[slot] as number, before);
    }
    groups.last[slot] = last;
    groups.status[slot] = (groups.status[slot] as number) | groupStatus.mayHaveGaps;
  }

  /** Entries of this term follow at the end: a gap before them counts as theirs until it is filled. */
  followGap(slot: number, term: number): void {
    const groups = this.groups;
    const last = groups.last[slot] as number;
    if (last < (groups.first[slot] as number) || this.#knownEnd(slot) === last) return;
    groups.lastTerm[slot] = term;
  }

  /** Last index that a run of the group holds, 0 where there is none. */
  #knownEnd(slot: number): number {
    const chunk = this.groups.tailChunk[slot] as number;
    if (chunk === none) return 0;
    const words = this.runs.page(chunk);
    const at = this.#newestAt(slot, chunk);
    const first = (words[at] as number) + (this.groups.base[slot] as number);
    return first + countOf(words[at + 1] as number) - 1;
  }

  /**
   * Live entries of one record that was written again: moves the run that has exactly them, or puts them into a gap.
   * False where the log has some of them, or others, there.
   */
  restore(slot: number, place: RunPlace, term: number): boolean {
    const groups = this.groups;
    const last = place.first + place.count - 1;
    groups.status[slot] = (groups.status[slot] as number) | groupStatus.mayHaveGaps;
    if (last > (groups.last[slot] as number)) this.extend(slot, last);
    if (insertRun(this, slot, place)) {
      this.#terms.insert(slot, last, term);
      return true;
    }
    if (!this.find(slot, place.first)) return false;
    if (this.foundFirst !== place.first || this.foundLast !== last) return false;
    if (this.termOf(slot, last) !== term) return false;
    const from = { segSlot: this.foundSegSlot, offset: this.foundOffset };
    return this.move(slot, place.first, from, place);
  }

  /** The first entry that is missing in a group that was replayed with gaps, or 0. */
  gapIn(slot: number): number {
    if (((this.groups.status[slot] as number) & groupStatus.mayHaveGaps) === 0) return 0;
    return findGap(this, slot);
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
    if (chunk === none) return false;
    let words = this.runs.page(chunk);
    let runs = this.runs.baseOf(chunk) + chunkHeadWords;
    // The last run whose first index is at or below; the newest one is asked for most.
    let low = (groups.tailUsed[slot] as number) - 1;
    if ((words[runs + low * runWords] as number) > relative) {
      let high = low;
      if ((words[runs] as number) > relative) {
        chunk = this.#chunkOf(slot, relative);
        words = this.runs.page(chunk);
        runs = this.runs.baseOf(chunk) + chunkHeadWords;
        high = this.runs.usedIn(chunk) - 1;
      }
      low = 0;
      while (low < high) {
        const middle = (low + high + 1) >>> 1;
        if ((words[runs + middle * runWords] as number) <= relative) low = middle;
        else high = middle - 1;
      }
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
    // False in a gap, which only a replay can have.
    return index >= this.foundFirst && index <= this.foundLast;
  }

  /** Reads the columns of a group that a step uses. */
  touchGroup(slot: number): void {
    const { base, commit, commitQueued, first, generation, groupId } = this.groups;
    const { last, lastTerm, status, tailChunk, tailUsed, term } = this.groups;
    this.touched =
      (base[slot] as number) +
      (commit[slot] as number) +
      (commitQueued[slot] as number) +
      (first[slot] as number) +
      (generation[slot] as number) +
      (groupId[slot] as number) +
      (last[slot] as number) +
      (lastTerm[slot] as number) +
      (status[slot] as number) +
      (tailChunk[slot] as number) +
      (tailUsed[slot] as number) +
      (term[slot] as number);
  }

  /** Where the newest record of a group stands: foundSegSlot and foundOffset; false where it has no entry. */
  findNewest(slot: number): boolean {
    const chunk = this.groups.tailChunk[slot] as number;
    if (chunk === none) return false;
    const words = this.runs.page(chunk);
    const at = this.#newestAt(slot, chunk);
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
    return this.#terms.termOf(slot, index);
  }

  /** The same where the log may have gaps: 0 for what is not known. */
  knownTermOf(slot: number, index: number): number {
    const status = this.groups.status[slot] as number;
    if ((status & groupStatus.mayHaveGaps) === 0) return this.#terms.termOf(slot, index);
    if (index < (this.groups.first[slot] as number)) return this.groups.prevTerm[slot] as number;
    if (!this.find(slot, index)) return 0;
    return this.#terms.termOf(slot, index);
  }

  /** The terms of the log, oldest first, each with its last index. */
  termEnds(slot: number): WalTermEnd[] {
    return this.#terms.ends(slot);
  }

  // --- Inside --------------------------------------------------------------------------------------------------------

  /** Words of the newest run, in the group's last chunk. */
  #newestAt(slot: number, chunk: number): number {
    const run = (this.groups.tailUsed[slot] as number) - 1;
    return this.runs.baseOf(chunk) + chunkHeadWords + run * runWords;
  }

  /** The chunk that holds `relative`, which is not in the tail chunk; from the cursor where it helps. */
  #chunkOf(slot: number, relative: number): number {
    const cursorHolds = this.#cursorSlot === slot && this.#cursorFreed === this.runs.freed;
    let chunk = cursorHolds ? this.#cursorChunk : (this.groups.headChunk[slot] as number);
    if (cursorHolds && this.#firstOf(chunk) > relative) {
      while (this.#firstOf(chunk) > relative) {
        const before = (this.runs.page(chunk)[this.runs.baseOf(chunk)] as number) - 1;
        // Below everything that is known, in a replay.
        if (before === none) break;
        chunk = before;
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
}
