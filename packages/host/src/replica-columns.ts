// What every proposal, append and commit of a replica reads and writes, as columns by handle number.
//
// With thousands of groups each piece of memory that a step touches first costs as much as a hundred instructions. Here
// neighbours share a cache line, and an index, which may be above 2^31, is no object of its own.

const initialRows = 64;

function grown<T extends Float64Array | Int32Array | Uint8Array | Uint32Array>(
  column: T,
  to: T,
): T {
  to.set(column);
  return to;
}

export class ReplicaColumns {
  /** Calls of a turn, a chain through the batch: the first and the last one, -1 = none. */
  chainHead: Int32Array = new Int32Array(initialRows).fill(-1);
  chainTail: Int32Array = new Int32Array(initialRows).fill(-1);
  /** Slot in the log. */
  slot: Int32Array = new Int32Array(initialRows);
  groupId: Float64Array = new Float64Array(initialRows);
  generation: Uint32Array = new Uint32Array(initialRows);
  appliedIndex: Float64Array = new Float64Array(initialRows);
  /** Appends of the group in peers' queues, all peers together. */
  queuedAppends: Int32Array = new Int32Array(initialRows);
  /** Term in which a proposeMany was cut, 0 = none. */
  cutTerm: Float64Array = new Float64Array(initialRows);
  /** 1 = failed, removed, or its host is closed. */
  isEnded: Uint8Array = new Uint8Array(initialRows);
  /** 1 = a record that is to be applied is being read from disk. */
  isLoading: Uint8Array = new Uint8Array(initialRows);
  /** 1 = messages of the replica are held against the instances that its configuration names. */
  isGuarded: Uint8Array = new Uint8Array(initialRows);
  /** Entries from waitFirst on that somebody may wait for, one behind the other. */
  waitCount: Int32Array = new Int32Array(initialRows);
  waitFirst: Float64Array = new Float64Array(initialRows);
  /** Who waits for the first of them. */
  waitTicket: Int32Array = new Int32Array(initialRows);

  /** Reads a little of what steps of replica `number` need, so that its memory is near; the sum means nothing. */
  touch(number: number): number {
    return (
      (this.slot[number] as number) +
      (this.groupId[number] as number) +
      (this.generation[number] as number) +
      (this.appliedIndex[number] as number) +
      (this.queuedAppends[number] as number) +
      (this.cutTerm[number] as number) +
      (this.isEnded[number] as number) +
      (this.isLoading[number] as number) +
      (this.waitCount[number] as number) +
      (this.waitFirst[number] as number)
    );
  }

  /** Makes room for replica `number`. */
  reach(number: number): void {
    while (number >= this.chainHead.length) {
      const rows = this.chainHead.length * 2;
      this.chainHead = grown(this.chainHead, new Int32Array(rows).fill(-1));
      this.chainTail = grown(this.chainTail, new Int32Array(rows).fill(-1));
      this.slot = grown(this.slot, new Int32Array(rows));
      this.groupId = grown(this.groupId, new Float64Array(rows));
      this.generation = grown(this.generation, new Uint32Array(rows));
      this.queuedAppends = grown(this.queuedAppends, new Int32Array(rows));
      this.cutTerm = grown(this.cutTerm, new Float64Array(rows));
      this.isEnded = grown(this.isEnded, new Uint8Array(rows));
      this.isLoading = grown(this.isLoading, new Uint8Array(rows));
      this.isGuarded = grown(this.isGuarded, new Uint8Array(rows));
      this.appliedIndex = grown(this.appliedIndex, new Float64Array(rows));
      this.waitCount = grown(this.waitCount, new Int32Array(rows));
      this.waitFirst = grown(this.waitFirst, new Float64Array(rows));
      this.waitTicket = grown(this.waitTicket, new Int32Array(rows));
    }
  }
}
