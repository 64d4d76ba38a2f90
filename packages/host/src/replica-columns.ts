// What every proposal, append and commit of a replica reads and writes, as columns by handle number.
//
// With thousands of groups each piece of memory that a step touches first costs as much as a hundred instructions. Here
// neighbours share a cache line, and an index, which may be above 2^31, is no object of its own.

const initialRows = 64;

function grown<T extends Float64Array | Int32Array>(column: T, to: T): T {
  to.set(column);
  return to;
}

export class ReplicaColumns {
  /** Calls of a turn, a chain through the batch: the first and the last one, -1 = none. */
  chainHead: Int32Array = new Int32Array(initialRows).fill(-1);
  chainTail: Int32Array = new Int32Array(initialRows).fill(-1);
  appliedIndex: Float64Array = new Float64Array(initialRows);
  /** Entries from waitFirst on that somebody may wait for, one behind the other. */
  waitCount: Int32Array = new Int32Array(initialRows);
  waitFirst: Float64Array = new Float64Array(initialRows);
  /** Who waits for the first of them. */
  waitTicket: Int32Array = new Int32Array(initialRows);

  /** Makes room for replica `number`. */
  reach(number: number): void {
    while (number >= this.chainHead.length) {
      const rows = this.chainHead.length * 2;
      this.chainHead = grown(this.chainHead, new Int32Array(rows).fill(-1));
      this.chainTail = grown(this.chainTail, new Int32Array(rows).fill(-1));
      this.appliedIndex = grown(this.appliedIndex, new Float64Array(rows));
      this.waitCount = grown(this.waitCount, new Int32Array(rows));
      this.waitFirst = grown(this.waitFirst, new Float64Array(rows));
      this.waitTicket = grown(this.waitTicket, new Int32Array(rows));
    }
  }
}
