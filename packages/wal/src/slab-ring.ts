// The tail of the log in memory. A slab is the image of one aligned unit of a segment file (of several, where one record
// needs them); slabs stand in a ring in stream order, first as staging, then as cache.
//
// Guarantees: a slab leaves the ring only after all of it is durable and never while code that might hold a view of it
// is on the stack (trim runs from disk completions only); its memory is used again only when nobody has it pinned.

import { assert, type Disk } from '@flotilla/io';
import type { SegmentState } from './segment-set.ts';
import { SlabMemory } from './slab-memory.ts';

export class Slab {
  readonly memory: SlabMemory;
  readonly bytes: Uint8Array;
  readonly segment: SegmentState;
  /** File offset of byte 0. */
  readonly fileStart: number;
  /** Bytes that the segment has room for here. */
  readonly limit: number;
  /** File offset from which on the memory is the file's image: after an open the first slab begins in the middle. */
  readonly validFrom: number;
  /** Stream position of validFrom. */
  readonly streamStart: number;
  /** Stream position where the next slab begins; known once there is one. */
  streamEnd: number = Number.MAX_SAFE_INTEGER;
  pins = 0;
  inRing = true;

  constructor(
    memory: SlabMemory,
    segment: SegmentState,
    fileStart: number,
    limit: number,
    validFrom: number,
  ) {
    this.memory = memory;
    this.bytes = memory.bytes;
    this.segment = segment;
    this.fileStart = fileStart;
    this.limit = limit;
    this.validFrom = validFrom;
    this.streamStart = segment.streamBase + validFrom;
  }
}

export class SlabRing {
  readonly slabBytes: number;
  readonly #cacheBytes: number;
  /** Whom to ask for aligned memory. Null: any will do, or there was no other: each attempt costs a collection of garbage. */
  #disk: Pick<Disk, 'alignedMemory'> | null;
  /** In stream order from #head on. */
  #slabs: Slab[] = [];
  #head = 0;
  #bytes = 0;
  /** Memory of departed slabs, to be used again. */
  readonly #pool: SlabMemory[] = [];
  /** Slabs that left the ring while somebody had them pinned. */
  readonly #departed: Slab[] = [];

  /** `disk`: slabs are to be aligned. */
  constructor(slabBytes: number, cacheBytes: number, disk: Pick<Disk, 'alignedMemory'> | null) {
    this.slabBytes = slabBytes;
    this.#cacheBytes = cacheBytes;
    this.#disk = disk;
  }

  /** Bytes of the slabs in the ring. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Memory for the units of `segment` from the one that holds file offset `from` on, with room for `needed` bytes after it. */
  add(segment: SegmentState, from: number, needed: number): Slab {
    const unit = Math.floor(from / this.slabBytes);
    const fileStart = unit * this.slabBytes;
    const left = segment.capacityBytes - fileStart;
    let units = Math.ceil((from - fileStart + needed) / this.slabBytes);
    // Never leave 8 bytes at the end: a filler record needs 16.
    if (units * this.slabBytes - (from - fileStart + needed) === 8) units++;
    const limit = Math.min(units * this.slabBytes, left);
    assert(from - fileStart + needed <= limit, 'a slab beyond the end of its segment');
    const pooled = units === 1 ? this.#pool.pop() : undefined;
    const memory = pooled ?? this.#make(units);
    const slab = new Slab(memory, segment, fileStart, limit, from);
    for (let i = 0; i < units && unit + i < segment.slabs.length; i++) {
      assert(segment.slabs[unit + i] === null, 'two slabs for one unit');
      segment.slabs[unit + i] = slab;
    }
    const previous = this.#slabs.at(-1);
    if (previous !== undefined) previous.streamEnd = slab.streamStart;
    this.#slabs.push(slab);
    this.#bytes += memory.bytes.length;
    return slab;
  }

  #make(units: number): SlabMemory {
    const bytes = units * this.slabBytes;
    const aligned = this.#disk === null ? null : SlabMemory.aligned(this.#disk, bytes);
    if (units === 1 && aligned === null) this.#disk = null;
    return aligned ?? SlabMemory.plain(bytes);
  }

  /** Lets durable slabs go until the ring is within its bound. Only from a disk completion. */
  trim(durablePosition: number): void {
    while (this.#bytes > this.#cacheBytes) {
      const oldest = this.#slabs[this.#head];
      if (oldest === undefined || oldest.streamEnd > durablePosition) break;
      this.#slabs[this.#head++] = undefined as never;
      this.#bytes -= oldest.bytes.length;
      this.#forget(oldest);
    }
    if (this.#head > 64 && this.#head * 2 > this.#slabs.length) {
      this.#slabs = this.#slabs.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Fills `ranges` with the memory of the stream from `from` to `to`; false where a part of it has left the ring. */
  ranges(from: number, to: number, ranges: Uint8Array[]): boolean {
    ranges.length = 0;
    let at = this.#indexOf(from);
    if (at < 0) return false;
    let position = from;
    while (position < to) {
      const slab = this.#slabs[at++];
      if (slab === undefined) return false;
      const end = Math.min(to, slab.streamEnd);
      const origin = slab.segment.streamBase + slab.fileStart;
      ranges.push(slab.bytes.subarray(position - origin, end - origin));
      position = end;
    }
    return true;
  }

  /** Adds `by` (1 or -1) to the pins of the slabs that hold the stream from `from` to `to`. */
  addPins(from: number, to: number, by: number): void {
    for (let i = this.#departed.length - 1; i >= 0; i--) {
      const slab = this.#departed[i] as Slab;
      if (slab.streamStart >= to || slab.streamEnd <= from) continue;
      assert(by < 0, 'a pin of memory that has left the ring');
      slab.pins += by;
      // A pinned slab is dropped rather than used again: it was replaced when it left.
      if (slab.pins === 0) this.#departed.splice(i, 1);
    }
    let at = Math.max(this.#indexOf(from), this.#head);
    for (; at < this.#slabs.length; at++) {
      const slab = this.#slabs[at] as Slab;
      if (slab.streamStart >= to) break;
      if (slab.streamEnd <= from) continue;
      slab.pins += by;
      assert(slab.pins >= 0, 'an unpin without its pin');
    }
  }

  /** Index in #slabs of the slab that holds the stream position, or -1. */
  #indexOf(position: number): number {
    let low = this.#head;
    let high = this.#slabs.length - 1;
    if (high < low || (this.#slabs[low] as Slab).streamStart > position) return -1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#slabs[middle] as Slab).streamStart <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #forget(slab: Slab): void {
    slab.inRing = false;
    const { slabs } = slab.segment;
    const unit = slab.fileStart / this.slabBytes;
    const units = slab.bytes.length / this.slabBytes;
    for (let i = 0; i < units && unit + i < slabs.length; i++) slabs[unit + i] = null;
    if (slab.pins > 0) this.#departed.push(slab);
    else if (slab.bytes.length === this.slabBytes && this.#pool.length < 8 && this.#isWanted(slab))
      this.#pool.push(slab.memory);
  }

  /** Whether its memory is as good as any that would be made in its place. */
  #isWanted(slab: Slab): boolean {
    return this.#disk === null || slab.memory.isAligned;
  }
}
