// What the log knows of each group, as columns over dense slots: about 130 bytes a group and no object per group beyond
// its configuration bytes. A slot is given once per group and stays while the log is open.
//
// Invariants (checked by log-index.ts where the columns change):
// 1. first <= last + 1; last + 1 is where the next entry goes.
// 2. lastTerm is the term of `last`, or prevTerm where the log is empty.
// 3. commit <= last, and neither commit nor term ever goes back.
// 4. A removed group keeps its slot: generation, term and vote are its tombstone, and its log is empty.
// 5. tailUsed counts the runs in tailChunk, 0 where there is none.

import { assert } from '@flotilla/io';
import type { SnapshotInfo } from './api.ts';

const initialSlots = 64;
/** Marks the end of a linked list in an Int32Array column. */
export const none = -1;

/** Bits of the `status` column. */
export const groupStatus = {
  /** GROUP_OPEN, GROUP_STATE or GROUP_REMOVE was seen: always, but while the log is replayed. */
  introduced: 1,
  /** The last index is known, and not only that of some entries. */
  lastKnown: 2,
  /** The runs may have gaps, to be looked for at the end of a replay. */
  mayHaveGaps: 4,
  removed: 8,
} as const;

function grown<T extends Float64Array | Int32Array | Uint8Array>(column: T, to: T): T {
  to.set(column);
  return to;
}

export class GroupTable {
  /** Slots in use are 0..size-1. */
  size = 0;
  #capacity = initialSlots;
  readonly #slotOf: Map<number, number> = new Map();

  groupId: Float64Array = new Float64Array(initialSlots);
  generation: Float64Array = new Float64Array(initialSlots);
  replicaId: Float64Array = new Float64Array(initialSlots);
  first: Float64Array = new Float64Array(initialSlots);
  last: Float64Array = new Float64Array(initialSlots);
  /** What relative indexes in the group's runs count from. */
  base: Float64Array = new Float64Array(initialSlots);
  commit: Float64Array = new Float64Array(initialSlots);
  term: Float64Array = new Float64Array(initialSlots);
  voteNode: Float64Array = new Float64Array(initialSlots);
  voteGeneration: Float64Array = new Float64Array(initialSlots);
  voteInstance: Float64Array = new Float64Array(initialSlots);
  /** Term of the entry before `first`. */
  prevTerm: Float64Array = new Float64Array(initialSlots);
  lastTerm: Float64Array = new Float64Array(initialSlots);
  headChunk: Int32Array = new Int32Array(initialSlots);
  tailChunk: Int32Array = new Int32Array(initialSlots);
  /** Runs in the last chunk: its own count is behind this one (run-arena.ts). */
  tailUsed: Uint8Array = new Uint8Array(initialSlots);
  termNode: Int32Array = new Int32Array(initialSlots);
  /** 1 = the commit column is ahead of what is laid. */
  commitDirty: Uint8Array = new Uint8Array(initialSlots);
  /** 1 = the slot stands in the queue of dirty commits. */
  commitQueued: Uint8Array = new Uint8Array(initialSlots);
  status: Uint8Array = new Uint8Array(initialSlots);
  /** Segment slot of the record that introduced the group, `none` before that. */
  stateSegment: Int32Array = new Int32Array(initialSlots);
  /** Length of that record. */
  stateBytes: Int32Array = new Int32Array(initialSlots);
  readonly config: Uint8Array[] = [];
  /** The newest snapshot, or null. */
  readonly snapshot: (SnapshotInfo | null)[] = [];

  /** The group's slot, or -1. */
  slotOf(groupId: number): number {
    return this.#slotOf.get(groupId) ?? none;
  }

  isRemoved(slot: number): boolean {
    return ((this.status[slot] as number) & groupStatus.removed) !== 0;
  }

  isIntroduced(slot: number): boolean {
    return ((this.status[slot] as number) & groupStatus.introduced) !== 0;
  }

  /** Adds a group with an empty log that starts at index 1; who adds it introduces it (LogIndex.introduce). */
  add(groupId: number, generation: number, replicaId: number, config: Uint8Array): number {
    assert(!this.#slotOf.has(groupId), () => `group ${groupId} has a slot already`);
    const slot = this.size++;
    if (slot === this.#capacity) this.#grow();
    this.#slotOf.set(groupId, slot);
    this.groupId[slot] = groupId;
    this.generation[slot] = generation;
    this.replicaId[slot] = replicaId;
    this.first[slot] = 1;
    this.base[slot] = 1;
    this.headChunk[slot] = none;
    this.tailChunk[slot] = none;
    this.termNode[slot] = none;
    this.status[slot] = 0;
    this.stateSegment[slot] = none;
    this.config.push(config);
    this.snapshot.push(null);
    return slot;
  }

  #grow(): void {
    const capacity = this.#capacity * 2;
    this.#capacity = capacity;
    this.groupId = grown(this.groupId, new Float64Array(capacity));
    this.generation = grown(this.generation, new Float64Array(capacity));
    this.replicaId = grown(this.replicaId, new Float64Array(capacity));
    this.first = grown(this.first, new Float64Array(capacity));
    this.last = grown(this.last, new Float64Array(capacity));
    this.base = grown(this.base, new Float64Array(capacity));
    this.commit = grown(this.commit, new Float64Array(capacity));
    this.term = grown(this.term, new Float64Array(capacity));
    this.voteNode = grown(this.voteNode, new Float64Array(capacity));
    this.voteGeneration = grown(this.voteGeneration, new Float64Array(capacity));
    this.voteInstance = grown(this.voteInstance, new Float64Array(capacity));
    this.prevTerm = grown(this.prevTerm, new Float64Array(capacity));
    this.lastTerm = grown(this.lastTerm, new Float64Array(capacity));
    this.headChunk = grown(this.headChunk, new Int32Array(capacity));
    this.tailChunk = grown(this.tailChunk, new Int32Array(capacity));
    this.tailUsed = grown(this.tailUsed, new Uint8Array(capacity));
    this.termNode = grown(this.termNode, new Int32Array(capacity));
    this.commitDirty = grown(this.commitDirty, new Uint8Array(capacity));
    this.status = grown(this.status, new Uint8Array(capacity));
    this.stateBytes = grown(this.stateBytes, new Int32Array(capacity));
    this.stateSegment = grown(this.stateSegment, new Int32Array(capacity));
    this.commitQueued = grown(this.commitQueued, new Uint8Array(capacity));
  }
}
