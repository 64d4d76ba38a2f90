// Everything the open log answers about entries it has: lookups in memory, loads from disk, sizes from the index.

import { blockTerm, recordHeadBytes } from '@flotilla/codec';
import type { Clock, Disk, FlotillaError } from '@flotilla/io';
import type { RecordRef, WalCounters } from './api.ts';
import { pathIn, segmentName } from './format.ts';
import type { LogIndex } from './log-index.ts';
import { loadRecord } from './read-back.ts';
import { ReadWindows } from './read-windows.ts';
import type { SegmentSet, SegmentState } from './segment-set.ts';
import type { Slab } from './slab-ring.ts';

export class LogReader {
  readonly #world: { readonly clock: Clock; readonly disk: Disk };
  readonly #directory: string;
  readonly #index: LogIndex;
  readonly #segments: SegmentSet;
  readonly #counters: WalCounters;
  readonly #windows: ReadWindows;
  /** What touch() found on one level of memory and asks for on the next. */
  readonly #touched: { segSlots: number[]; offsets: number[] } = {
    segSlots: [],
    offsets: [],
  };

  constructor(
    world: { readonly clock: Clock; readonly disk: Disk },
    directory: string,
    index: LogIndex,
    segments: SegmentSet,
    counters: WalCounters,
  ) {
    this.#world = world;
    this.#directory = directory;
    this.#index = index;
    this.#segments = segments;
    this.#counters = counters;
    this.#windows = new ReadWindows(world.disk, segments.slabBytes);
  }

  lookup(slot: number, index: number, ref: RecordRef): boolean {
    const found = this.#index;
    if (!found.find(slot, index)) throw noSuchIndex(index);
    ref.recLen = found.foundRecLen;
    ref.firstIndex = found.foundFirst;
    ref.lastIndex = found.foundLast;
    const offset = found.foundOffset;
    const slab = this.#slabAt(this.#segments.at(found.foundSegSlot), offset);
    if (slab === null || offset < slab.validFrom) return false;
    ref.bytes = slab.bytes;
    ref.at = offset - slab.fileStart;
    ref.term = blockTerm(slab.bytes, ref.at + recordHeadBytes);
    return true;
  }

  /** Reads a few bytes of the groups' newest records and of their indexes; see Wal.touch. */
  touch(slots: readonly number[], count: number, withRecords: boolean): number {
    const { segSlots, offsets } = this.#touched;
    const found = this.#index;
    let sum = 0;
    for (let i = 0; i < count; i++) found.touchGroup(slots[i] as number);
    for (let i = 0; i < count; i++) {
      offsets[i] = -1;
      if (!found.findNewest(slots[i] as number)) continue;
      segSlots[i] = found.foundSegSlot;
      offsets[i] = found.foundOffset;
    }
    if (!withRecords) return sum;
    for (let i = 0; i < count; i++) {
      const offset = offsets[i] as number;
      if (offset < 0) continue;
      const slab = this.#slabAt(this.#segments.at(segSlots[i] as number), offset);
      if (slab === null) continue;
      const { bytes } = slab;
      const at = offset - slab.fileStart;
      sum += (bytes[at] as number) + (bytes[at + 64] ?? 0) + (bytes[at + 128] ?? 0);
    }
    return sum;
  }

  load(
    slot: number,
    index: number,
    callback: (error: FlotillaError | null, ref: RecordRef) => void,
  ): void {
    const found = this.#index;
    if (!found.find(slot, index)) throw noSuchIndex(index);
    const segment = this.#segments.at(found.foundSegSlot);
    const place = {
      path: pathIn(this.#directory, segmentName(segment.segId)),
      segment,
      slab: this.#slabAt(segment, found.foundOffset),
      offset: found.foundOffset,
      recLen: found.foundRecLen,
      groupId: found.groups.groupId[slot] as number,
      firstIndex: found.foundFirst,
      lastIndex: found.foundLast,
    };
    loadRecord(this.#world, place, this.#windows, this.#counters, callback);
  }

  lastIndexWithin(slot: number, first: number, last: number, bytesMax: number): number {
    const found = this.#index;
    if (!found.find(slot, first)) throw noSuchIndex(first);
    let bytes = found.foundRecLen;
    let end = found.foundLast;
    while (end < last && found.findNext(slot)) {
      bytes += found.foundRecLen;
      if (bytes > bytesMax) break;
      end = found.foundLast;
    }
    return Math.min(end, last);
  }

  bytesBetween(slot: number, first: number, last: number): number {
    const found = this.#index;
    if (first > last) return 0;
    if (!found.find(slot, first)) throw noSuchIndex(first);
    let bytes = found.foundRecLen;
    while (found.foundLast < last && found.findNext(slot)) bytes += found.foundRecLen;
    return bytes;
  }

  #slabAt(segment: SegmentState, offset: number): Slab | null {
    return segment.slabs[Math.floor(offset / this.#segments.slabBytes)] ?? null;
  }
}

function noSuchIndex(index: number): RangeError {
  return new RangeError(`the log has no index ${index}`);
}
