// Where the next record goes. The stager lays batches back to back into slabs, one open at a time, fills slab ends with
// filler records so that no record crosses a slab, and moves to the next segment when the current one is full. It knows
// memory and places; the bytes of records are its callers' and the disk is the flusher's.
//
//   | batch header | record | record | PAD || record | record | zeros |   next batch ...
//   ^ page                             slab end                  ^ page
//
// Guarantees: reserve() answers memory that is the image of the place the record will have on disk; what is committed
// never moves; a closed batch ends at a page and is followed directly by the next one, in this segment or on page 1 of
// the next.

import { assert } from '@flotilla/io';
import { alignUp, type BlockCrc, recordHeadBytes } from '@flotilla/codec';
import { batchBodyBytesMax, batchHeaderBytes, pageBytes } from './format.ts';
import { putPad } from './records.ts';
import type { SegmentState } from './segment-set.ts';
import type { Slab, SlabRing } from './slab-ring.ts';

export class Batch {
  readonly segment: SegmentState;
  /** File offsets: of the header, after the last record, and of the page end after it. */
  readonly start: number;
  end = 0;
  pageEnd = 0;
  recordCount = 0;
  /** CRC of the body up to this file offset: it grows while the batch waits. */
  bodyCrc = 0;
  digestedEnd: number;

  constructor(segment: SegmentState, start: number) {
    this.segment = segment;
    this.start = start;
    this.digestedEnd = start + batchHeaderBytes;
  }

  get bodyLen(): number {
    return this.end - this.start - batchHeaderBytes;
  }

  get streamEnd(): number {
    return this.segment.streamBase + this.pageEnd;
  }
}

/** Makes the segment after the newest one; its stream continues at `position` on its page 1. */
export type StageNext = (position: number) => SegmentState;

export class Stager {
  readonly #ring: SlabRing;
  readonly #stageNext: StageNext;
  #segment: SegmentState;
  /** File offset in #segment where the next byte goes. */
  #tail: number;
  #slab: Slab | null = null;
  #open: Batch | null = null;
  readonly #closed: Batch[] = [];

  /** After reserve(): the memory of the slab, as words too, what computes its CRCs, and where in it the record goes. */
  bytes: Uint8Array = new Uint8Array(0);
  words: Int32Array = new Int32Array(0);
  blockCrc: BlockCrc | null = null;
  at = 0;

  constructor(ring: SlabRing, segment: SegmentState, tail: number, stageNext: StageNext) {
    assert(tail % pageBytes === 0 && tail >= pageBytes, 'a log that ends inside a page');
    this.#ring = ring;
    this.#segment = segment;
    this.#tail = tail;
    this.#stageNext = stageNext;
  }

  get segment(): SegmentState {
    return this.#segment;
  }

  /** File offset of the next byte in `segment`. After reserve() the place of the record. */
  get tail(): number {
    return this.#tail;
  }

  /** Stream position after everything laid. */
  get end(): number {
    return this.#segment.streamBase + this.#tail;
  }

  /** Bytes in the open batch so far. */
  get openBytes(): number {
    return this.#open === null ? 0 : this.#tail - this.#open.start;
  }

  get open(): Batch | null {
    return this.#open;
  }

  get hasClosed(): boolean {
    return this.#closed.length > 0;
  }

  /** Makes room for a record of `recLen` bytes (a multiple of 8, at least 16) and sets `bytes` and `at`. */
  reserve(recLen: number): void {
    const slab = this.#slab;
    if (this.#open !== null && slab !== null) {
      const at = this.#tail - slab.fileStart;
      const left = slab.limit - at - recLen;
      if ((left >= recordHeadBytes || left === 0) && this.#hasRoom(recLen)) {
        this.at = at;
        return;
      }
    }
    this.#makeRoom(recLen);
  }

  /** The record in the memory of the last reserve() is laid. */
  commit(recLen: number): void {
    const open = this.#open;
    assert(open !== null, 'a record outside a batch');
    open.recordCount++;
    this.#tail += recLen;
  }

  /** Ends the open batch, if any: it waits to be taken. */
  closeOpen(): void {
    const open = this.#open;
    const slab = this.#slab;
    if (open === null || slab === null) return;
    assert(open.recordCount > 0, 'an empty batch');
    open.end = this.#tail;
    open.pageEnd = alignUp(this.#tail, pageBytes);
    slab.bytes.fill(0, open.end - slab.fileStart, open.pageEnd - slab.fileStart);
    this.#tail = open.pageEnd;
    this.#open = null;
    this.#closed.push(open);
  }

  /** The oldest closed batch, which the caller now writes. */
  takeClosed(): Batch | null {
    return this.#closed.shift() ?? null;
  }

  /** Calls `visit` with each slab's part of the segment's bytes [from, to), in order. */
  visit(
    segment: SegmentState,
    from: number,
    to: number,
    visit: (slab: Slab, start: number, end: number) => void,
  ): void {
    for (let offset = from; offset < to; ) {
      const slab = segment.slabs[Math.floor(offset / this.#ring.slabBytes)];
      assert(slab !== null && slab !== undefined, 'staged bytes that are not in memory');
      const end = Math.min(to, slab.fileStart + slab.limit);
      visit(slab, offset - slab.fileStart, end - slab.fileStart);
      offset = end;
    }
  }

  /** Ends the current segment: what is laid next begins another one. */
  endSegment(): void {
    this.closeOpen();
    this.#nextSegment();
  }

  #hasRoom(recLen: number): boolean {
    return this.openBytes + recLen <= batchBodyBytesMax;
  }

  #makeRoom(recLen: number): void {
    const largest = this.#segment.capacityBytes;
    assert(recLen >= recordHeadBytes && recLen % 8 === 0, 'a record of a broken length');
    for (let attempt = 0; ; attempt++) {
      assert(
        attempt < 8,
        () => `a record of ${recLen} bytes has no room in a segment of ${largest}`,
      );
      if (this.#open === null) {
        if (!this.#tryOpen(recLen)) this.#nextSegment();
        continue;
      }
      const slab = this.#slab as Slab;
      const at = this.#tail - slab.fileStart;
      const left = slab.limit - at;
      if ((left === recLen || left - recLen >= recordHeadBytes) && this.#hasRoom(recLen)) {
        this.at = at;
        return;
      }
      const slabEnd = slab.fileStart + slab.limit;
      const fitsAfter =
        this.#fits(slabEnd, recLen) && this.openBytes + left + recLen <= batchBodyBytesMax;
      if (fitsAfter && (left === 0 || left >= recordHeadBytes)) {
        if (left > 0) {
          putPad(slab.bytes, at, left);
          this.#open.recordCount++;
          this.#tail = slabEnd;
        }
        this.#enter(this.#ring.add(this.#segment, slabEnd, recLen));
      } else {
        this.closeOpen();
      }
    }
  }

  /** Whether the segment has room for `needed` bytes from file offset `from` on, and no gap of 8 bytes after them. */
  #fits(from: number, needed: number): boolean {
    const left = this.#segment.capacityBytes - from - needed;
    return left === 0 || left >= recordHeadBytes;
  }

  /** Opens a batch at the tail, where the segment has room for one with such a record. */
  #tryOpen(recLen: number): boolean {
    const needed = batchHeaderBytes + recLen;
    const slab = this.#slab;
    const slabEnd = slab === null ? 0 : slab.fileStart + slab.limit;
    const isNewSlab = slab === null || this.#tail === slabEnd;
    // A record that does not fit into the rest of the slab goes into the next one, behind a filler.
    const inSlab =
      isNewSlab ||
      slabEnd - this.#tail === needed ||
      slabEnd - this.#tail - needed >= recordHeadBytes;
    if (!(inSlab ? this.#fits(this.#tail, needed) : this.#fits(slabEnd, recLen))) return false;
    if (isNewSlab) this.#enter(this.#ring.add(this.#segment, this.#tail, needed));
    this.#open = new Batch(this.#segment, this.#tail);
    this.#tail += batchHeaderBytes;
    return true;
  }

  /** Not once a record: a reference that is stored costs as much as all the rest of reserve(). */
  #enter(slab: Slab): void {
    this.#slab = slab;
    this.bytes = slab.bytes;
    this.words = slab.memory.words;
    this.blockCrc = slab.memory.blockCrc;
  }

  #nextSegment(): void {
    const segment = this.#stageNext(this.end);
    assert(segment.streamBase + pageBytes === this.end, 'a stream that does not continue');
    this.#segment = segment;
    this.#tail = pageBytes;
    this.#slab = null;
  }
}
