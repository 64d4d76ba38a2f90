// Empties one old segment: what is still needed in it is laid again at the end of the log, groups as GROUP_STATE (or their
// tombstone), entries as ENTRIES with REWRITE. Groups that have more there than is worth writing again are named instead,
// unless they were asked before and did not compact. What is longer than a segment of today holds (segments were larger
// once) stays where it is; its group is named each time.
//
// First one pass over the groups, in slices, gathers what stands there; then the records are read back in order of their
// place, a window at a time, verified, and laid where the index still points to the old place. A window waits until the
// one before it is durable, so that rewriting never has more than its share of a batch.

import {
  blockCount,
  blockFirstIndex,
  entriesFlagRewrite,
  recordHeadBytes,
  sliceBlock,
  slicedBlockBytes,
} from '@flotilla/codec';
import type { Clock, Disk, File, FlotillaError, IoError } from '@flotilla/io';
import type { WalCounters } from './api.ts';
import { readFully } from './disk-steps.ts';
import { pathIn, segmentName } from './format.ts';
import type { LogIndex } from './log-index.ts';
import { damageOf, recordDamaged, recordUnreadable } from './read-back.ts';
import { entriesRecordBytes, putEntriesHead } from './records.ts';
import { recLenOf } from './run-arena.ts';
import { eachRun } from './run-edits.ts';
import type { SegmentState } from './segment-set.ts';
import type { Stager } from './stager.ts';
import type { StateRecords } from './state-records.ts';

/** A group with more than this in the segment is asked to compact. */
export const smallGroupBytes: number = 256 * 1024;
/** Runs looked at before others get their turn. */
const runsPerSlice = 16_384;
const groupsPerSlice = 1024;
const restatesPerSlice = 256;
/** Read and laid at once. */
const windowBytes: number = 512 * 1024;
/** Places closer than this are read with what stands between them. */
const readGapBytes: number = 64 * 1024;

export interface CleanerOwner {
  /** Runs what lays records, between two turns of the host, and ends a turn after it. Answers nothing once the log ended. */
  betweenTurns(lay: () => void): void;
  /** Calls back once everything laid so far is durable; never once the log ended. */
  whenDurable(callback: () => void): void;
  /** The record reserved last stands in memory. */
  laid(recLen: number): void;
  onGroupDamaged(slot: number, error: FlotillaError): void;
}

export class Cleaner {
  readonly #world: { readonly clock: Clock; readonly disk: Disk };
  readonly #directory: string;
  readonly #index: LogIndex;
  readonly #stager: Stager;
  readonly #states: StateRecords;
  readonly #counters: WalCounters;
  readonly #recordBytesMax: number;
  readonly #owner: CleanerOwner;
  #isStopped = false;

  // The pass under way.
  #segment: SegmentState | null = null;
  #isForced = false;
  #done: ((heavy: readonly number[]) => void) | null = null;
  #heavy: number[] = [];
  /** Group slot that the gathering pass comes to next. */
  #cursor = 0;
  // Places to be laid again: group slot, first index, offset, length.
  #slots: number[] = [];
  #firsts: number[] = [];
  #offsets: number[] = [];
  #lengths: number[] = [];
  /** Order of the places by offset, and where in it the next window begins. */
  #order: Uint32Array = new Uint32Array(0);
  #next = 0;

  constructor(
    world: { readonly clock: Clock; readonly disk: Disk },
    parts: {
      readonly directory: string;
      readonly index: LogIndex;
      readonly stager: Stager;
      readonly states: StateRecords;
      readonly counters: WalCounters;
      /** Longest record that a new segment holds. */
      readonly recordBytesMax: number;
    },
    owner: CleanerOwner,
  ) {
    this.#world = world;
    this.#directory = parts.directory;
    this.#index = parts.index;
    this.#stager = parts.stager;
    this.#states = parts.states;
    this.#counters = parts.counters;
    this.#recordBytesMax = parts.recordBytesMax;
    this.#owner = owner;
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Lays again what stands in the segment. `done` names the groups (slots) that were left out as too heavy. */
  run(segment: SegmentState, isForced: boolean, done: (heavy: readonly number[]) => void): void {
    this.#segment = segment;
    this.#isForced = isForced;
    this.#done = done;
    this.#heavy = [];
    this.#cursor = 0;
    this.#slots = [];
    this.#firsts = [];
    this.#offsets = [];
    this.#lengths = [];
    this.#later(() => this.#owner.betweenTurns(this.#gather));
  }

  #later(step: () => void): void {
    this.#world.clock.nextTurn(() => {
      if (!this.#isStopped) step();
    });
  }

  // --- Gathering -----------------------------------------------------------------------------------------------------

  /** One slice of the pass over the groups; it lays restatements, so it runs between turns. */
  readonly #gather = (): void => {
    if (this.#isStopped) return;
    const { groups, use } = this.#index;
    const segSlot = (this.#segment as SegmentState).slot;
    let runs = 0;
    let restates = 0;
    const end = Math.min(groups.size, this.#cursor + groupsPerSlice);
    while (this.#cursor < end && runs < runsPerSlice && restates < restatesPerSlice) {
      if (use.runsIn(segSlot) === 0 && use.statesIn(segSlot) === 0) {
        this.#cursor = groups.size;
        break;
      }
      const slot = this.#cursor++;
      if (groups.stateSegment[slot] === segSlot) {
        this.#restate(slot);
        restates++;
      }
      runs += this.#gatherRuns(slot, segSlot);
    }
    if (this.#cursor < groups.size) {
      return this.#owner.whenDurable(() =>
        this.#later(() => this.#owner.betweenTurns(this.#gather)),
      );
    }
    this.#sort();
    this.#later(() => this.#window());
  };

  #restate(slot: number): void {
    const { groups } = this.#index;
    if (!groups.isRemoved(slot) && this.#states.stateBytes(slot) > this.#recordBytesMax) {
      this.#heavy.push(slot);
      return;
    }
    const recLen = groups.isRemoved(slot)
      ? this.#states.layRemove(slot)
      : this.#states.layState(slot);
    this.#index.introduce(slot, this.#stager.segment.slot, recLen);
    this.#counters.restatedGroups++;
  }

  /** Notes the group's runs in the segment; answers how many runs were looked at. */
  #gatherRuns(slot: number, segSlot: number): number {
    const base = this.#index.groups.base[slot] as number;
    const start = this.#slots.length;
    let looked = 0;
    let bytes = 0;
    eachRun(this.#index, slot, (words, at) => {
      looked++;
      if (words[at + 2] !== segSlot) return;
      const recLen = recLenOf(words[at + 1] as number);
      this.#slots.push(slot);
      this.#firsts.push((words[at] as number) + base);
      this.#offsets.push((words[at + 3] as number) * 8);
      this.#lengths.push(recLen);
      bytes += recLen;
    });
    if (bytes > smallGroupBytes && !this.#isForced) {
      this.#heavy.push(slot);
      for (const column of [this.#slots, this.#firsts, this.#offsets, this.#lengths]) {
        column.length = start;
      }
    }
    return looked;
  }

  #sort(): void {
    const offsets = this.#offsets;
    this.#order = Uint32Array.from(offsets, (_, i) => i);
    this.#order.sort((a, b) => (offsets[a] as number) - (offsets[b] as number));
    this.#next = 0;
  }

  // --- Windows -------------------------------------------------------------------------------------------------------

  /** Reads the next places that stand close together, lays them, and goes on when that is durable. */
  #window(): void {
    const order = this.#order;
    const first = order[this.#next];
    if (first === undefined) return this.#finish();
    const from = this.#offsets[first] as number;
    let to = from + (this.#lengths[first] as number);
    let end = this.#next + 1;
    for (; end < order.length; end++) {
      const place = order[end] as number;
      const offset = this.#offsets[place] as number;
      const placeEnd = offset + (this.#lengths[place] as number);
      if (offset - to > readGapBytes || placeEnd - from > windowBytes) break;
      to = Math.max(to, placeEnd);
    }
    const begin = this.#next;
    this.#next = end;
    this.#read(from, to, (error, bytes) => {
      if (this.#isStopped) return;
      this.#owner.betweenTurns(() => {
        if (this.#isStopped) return;
        for (let i = begin; i < end; i++) this.#again(order[i] as number, bytes, from, error);
        this.#owner.whenDurable(() => this.#later(() => this.#window()));
      });
    });
  }

  #read(
    from: number,
    to: number,
    callback: (error: IoError | null, bytes: Uint8Array) => void,
  ): void {
    const { disk } = this.#world;
    const segment = this.#segment as SegmentState;
    const bytes = new Uint8Array(to - from);
    segment.readers++;
    const finish = (error: IoError | null): void => {
      segment.readers--;
      callback(error, bytes);
    };
    const read = (file: File, close: (done: () => void) => void): void =>
      readFully(disk, file, bytes, from, (error) => close(() => finish(error)));
    if (segment.file !== null) return read(segment.file, (done) => done());
    const path = pathIn(this.#directory, segmentName(segment.segId));
    disk.open(path, 'read', (error, file) => {
      if (error !== null) return finish(error);
      read(file, (done) => disk.close(file, () => done()));
    });
  }

  /** Lays one place again, unless its group has given it up meanwhile. */
  #again(place: number, bytes: Uint8Array, from: number, error: IoError | null): void {
    const slot = this.#slots[place] as number;
    const offset = this.#offsets[place] as number;
    const segment = this.#segment as SegmentState;
    const index = this.#index;
    const { groups } = index;
    // A compaction may have cut the run; a truncation too; or the group is another one by now.
    const first = Math.max(this.#firsts[place] as number, groups.first[slot] as number);
    if (!index.find(slot, first)) return;
    if (index.foundSegSlot !== segment.slot || index.foundOffset !== offset) return;
    const { foundFirst, foundLast, foundRecLen: recLen } = index;
    const claim = {
      path: pathIn(this.#directory, segmentName(segment.segId)),
      segment,
      offset,
      recLen,
      groupId: groups.groupId[slot] as number,
      firstIndex: foundFirst,
      lastIndex: foundLast,
    };
    if (error !== null) return this.#owner.onGroupDamaged(slot, recordUnreadable(claim, error));
    const at = offset - from;
    const damage = damageOf(claim, bytes.subarray(at, at + recLen));
    if (damage !== null) return this.#owner.onGroupDamaged(slot, recordDamaged(claim, damage));
    this.#lay(slot, bytes, at, recLen, { first: foundFirst, last: foundLast, offset });
  }

  #lay(
    slot: number,
    bytes: Uint8Array,
    at: number,
    recLen: number,
    run: { readonly first: number; readonly last: number; readonly offset: number },
  ): void {
    const stager = this.#stager;
    const { groups } = this.#index;
    const block = at + recordHeadBytes;
    const isWhole =
      blockFirstIndex(bytes, block) === run.first &&
      blockCount(bytes, block) === run.last - run.first + 1;
    const newLen = isWhole
      ? recLen
      : entriesRecordBytes(slicedBlockBytes(bytes, block, run.first, run.last));
    if (newLen > this.#recordBytesMax) {
      if (!this.#heavy.includes(slot)) this.#heavy.push(slot);
      return;
    }
    stager.reserve(newLen);
    const target = stager.bytes;
    const to = stager.at;
    const groupId = groups.groupId[slot] as number;
    putEntriesHead(stager.words, to, newLen, groups.generation[slot] as number, groupId);
    target[to + 1] = entriesFlagRewrite;
    if (isWhole) {
      target.set(bytes.subarray(block, at + recLen), to + recordHeadBytes);
    } else {
      target.fill(0, to + newLen - 8, to + newLen);
      sliceBlock(bytes, block, run.first, run.last, target, to + recordHeadBytes);
    }
    const isMoved = this.#index.move(
      slot,
      run.first,
      { segSlot: (this.#segment as SegmentState).slot, offset: run.offset },
      { segSlot: stager.segment.slot, offset: stager.tail, recLen: newLen },
    );
    if (!isMoved) return;
    this.#owner.laid(newLen);
    this.#counters.rewrittenBytes += newLen;
  }

  #finish(): void {
    const done = this.#done;
    this.#done = null;
    this.#segment = null;
    this.#slots = [];
    this.#firsts = [];
    this.#offsets = [];
    this.#lengths = [];
    this.#order = new Uint32Array(0);
    done?.(this.#heavy);
  }
}
