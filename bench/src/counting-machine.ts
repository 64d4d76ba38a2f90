// The state machine of the cluster suites: counts commands and keeps a rolling hash of their order and bytes, so that
// replicas that applied something else, or in another order, are found out at the end of a run.

import type { ApplyBatch, StateMachine } from '@flotilla/host';

/** Bytes of a command that go into the hash; the rest is stood for by the length. */
const hashedBytesMax = 16;

export class CountingMachine implements StateMachine {
  count = 0;
  /** Signed: larger numbers are objects of their own to V8, which thousands of machines would have to fetch. */
  #hash = 0x811c9dc5 | 0;

  apply(batch: ApplyBatch): void {
    let hash = this.#hash;
    for (let i = 0; i < batch.count; i++) {
      const bytes = batch.bytesOf(i);
      const start = batch.startOf(i);
      const end = batch.endOf(i);
      hash = Math.imul(hash ^ (end - start), 0x01000193);
      for (let at = start; at < end && at < start + hashedBytesMax; at++) {
        hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
      }
    }
    this.#hash = hash;
    this.count += batch.count;
  }

  stateHash(): number {
    return this.#hash >>> 0;
  }
}
