// The segments of an open log: where each stands on disk and in memory. Slots are numbers that the index stores; they only
// grow, and segments go from the oldest on.
// The newest segment may be staged, that is, have records in memory before its file stands under its name.

import { assert, type File } from '@flotilla/io';
import { pageBytes } from './format.ts';
import type { Slab } from './slab-ring.ts';

export class SegmentState {
  readonly slot: number;
  readonly segId: number;
  readonly salt: number;
  readonly capacityBytes: number;
  /** Stream position minus file offset, for what this opening laid in it. */
  readonly streamBase: number;
  /** Unit of the file to the slab that is its image, or null. */
  readonly slabs: (Slab | null)[];
  /** Opened for writing (the active segment) or, on demand, for reading. */
  file: File | null = null;
  /** The active segment where a batch is durable as soon as it is written: what its batches are written to. */
  writer: File | null = null;
  /** The file stands under its name, with its header, and STORE says so. */
  isOnDisk: boolean;
  /** Reads under way: the file is not given up before they end. */
  readers = 0;
  /** Where the log ends in it, once a later segment says so: file offset, last batch and the CRC of its header. */
  end = 0;
  lastSeq = 0;
  lastHdrCrc = 0;

  constructor(place: {
    readonly slot: number;
    readonly segId: number;
    readonly salt: number;
    readonly capacityBytes: number;
    readonly streamBase: number;
    readonly units: number;
    readonly isOnDisk: boolean;
  }) {
    this.slot = place.slot;
    this.segId = place.segId;
    this.salt = place.salt;
    this.capacityBytes = place.capacityBytes;
    this.streamBase = place.streamBase;
    this.slabs = new Array<Slab | null>(place.units).fill(null);
    this.isOnDisk = place.isOnDisk;
  }
}

export class SegmentSet {
  readonly slabBytes: number;
  #segments: SegmentState[] = [];
  /** Slot of the oldest. */
  #firstSlot = 0;
  #nextSlot = 0;
  /** Capacity of all segments but the newest. */
  sealedBytes = 0;

  constructor(slabBytes: number) {
    this.slabBytes = slabBytes;
  }

  /** All of them, oldest first. */
  get all(): readonly SegmentState[] {
    return this.#segments;
  }

  at(slot: number): SegmentState {
    const segment = this.#segments[slot - this.#firstSlot];
    assert(segment !== undefined, () => `no segment in slot ${slot}`);
    return segment;
  }

  get newest(): SegmentState {
    return this.at(this.#nextSlot - 1);
  }

  get oldest(): SegmentState {
    return this.at(this.#firstSlot);
  }

  get count(): number {
    return this.#segments.length;
  }

  /** The segment after this one, or null. */
  after(segment: SegmentState): SegmentState | null {
    return this.#segments[segment.slot + 1 - this.#firstSlot] ?? null;
  }

  /** Capacity of all that have files. */
  get diskBytes(): number {
    let sum = 0;
    for (const segment of this.#segments) if (segment.isOnDisk) sum += segment.capacityBytes;
    return sum;
  }

  /** Forgets the oldest one, which is not the newest. */
  dropOldest(): SegmentState {
    assert(this.#segments.length > 1, 'a log without a segment');
    const dropped = this.#segments.shift() as SegmentState;
    this.#firstSlot++;
    this.sealedBytes -= dropped.capacityBytes;
    return dropped;
  }

  add(place: {
    readonly segId: number;
    readonly salt: number;
    readonly capacityBytes: number;
    readonly streamBase: number;
    readonly isOnDisk: boolean;
  }): SegmentState {
    const previous = this.#segments.at(-1);
    assert(previous === undefined || place.segId === previous.segId + 1, 'segments out of order');
    assert(place.capacityBytes % pageBytes === 0, 'a segment of broken pages');
    if (previous !== undefined) this.sealedBytes += previous.capacityBytes;
    const units = Math.ceil(place.capacityBytes / this.slabBytes);
    const segment = new SegmentState({ ...place, slot: this.#nextSlot++, units });
    this.#segments.push(segment);
    return segment;
  }
}
