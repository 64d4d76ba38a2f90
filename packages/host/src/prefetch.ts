// Fetches the memory of the next few replicas side by side, before they are stepped one by one.
//
// With thousands of groups each step begins with memory that is in no cache. Reading a little of several replicas in a row
// lets the processor wait for all of them at once. Nothing depends on what is read; callers ask every `prefetchCount`
// replicas.

import type { Wal } from '@flotilla/wal';
import type { Replica } from './replica.ts';
import type { ReplicaTable } from './replica-table.ts';
import { messageBytesAt, messageGroupId } from './wire.ts';

/** Replicas whose memory is fetched together. */
export const prefetchCount = 16;

export class Prefetch {
  /** Where what was read goes, so that the reads are not optimised away. */
  sum = 0;
  readonly #wal: Wal;
  readonly #replicas: ReplicaTable;

  constructor(wal: Wal, replicas: ReplicaTable) {
    this.#wal = wal;
    this.#replicas = replicas;
  }

  /** What the steps of the replicas from `from` on need (RaftCore.touch). */
  replicas(list: readonly Replica[], from: number, end: number = list.length): void {
    let sum = 0;
    for (let i = from; i < from + prefetchCount && i < end; i++) {
      sum += this.#touch(list[i] as Replica);
    }
    this.sum = sum;
  }

  /** The same for the replicas that the next records of a frame are for. */
  records(bytes: Uint8Array, from: number, end: number): void {
    let sum = 0;
    let at = from;
    for (let i = 0; i < prefetchCount && at < end; i++) {
      const recordBytes = messageBytesAt(bytes, at, end);
      if (recordBytes === 0) break;
      const replica = this.#replicas.find(messageGroupId(bytes, at));
      if (replica !== undefined) sum += this.#touch(replica);
      at += recordBytes;
    }
    this.sum = sum;
  }

  #touch(replica: Replica): number {
    const { core, slot, stateMachine, waits, waitsEnd, wheelDueMs } = replica;
    return (
      core.touch() +
      this.#wal.touch(slot) +
      waits.length +
      waitsEnd +
      wheelDueMs +
      stateMachine.apply.length
    );
  }
}
