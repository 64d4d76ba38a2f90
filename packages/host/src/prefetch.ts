// Fetches the memory of the next few replicas side by side, before they are stepped one by one.
//
// With thousands of groups each step begins with memory that is in no cache. Reading a little of several replicas in a row
// lets the processor wait for all of them at once. Nothing depends on what is read; callers ask every `prefetchCount`
// replicas.

import { messageKinds, RaftCore, type SteadyRows } from '@flotilla/core';
import type { Wal } from '@flotilla/wal';
import type { Replica } from './replica.ts';
import type { ReplicaTable } from './replica-table.ts';
import { answerIndex, messageBytesAt, messageGroupId, messageKindAt } from './wire.ts';

/** Replicas whose memory is fetched together. */
export const prefetchCount = 32;

export class Prefetch {
  /** Where what was read goes, so that the reads are not optimised away. */
  sum = 0;
  readonly #wal: Wal;
  readonly #table: ReplicaTable;
  readonly #rows: SteadyRows;
  // What was found on one level of memory and is asked for on the next.
  readonly #numbers: number[] = [];
  readonly #recordsAt: number[] = [];
  readonly #found: number[] = [];
  readonly #cores: RaftCore[] = [];
  readonly #slots: number[] = [];

  constructor(wal: Wal, table: ReplicaTable, rows: SteadyRows) {
    this.#wal = wal;
    this.#table = table;
    this.#rows = rows;
  }

  /**
   * What the replicas with the handle numbers from `from` on need for a proposal or, `withRecords`, for a commit, which
   * applies their newest records.
   */
  numbers(list: readonly number[], from: number, withRecords: boolean): void {
    let count = 0;
    for (let i = from; i < from + prefetchCount && i < list.length; i++) {
      this.#found[count++] = list[i] as number;
    }
    this.#rows.touchAll(this.#found, 0, count);
    this.#touch(count, withRecords);
  }

  /** What the replicas need that the next records of a frame from the peer are for. */
  records(words: Int32Array, from: number, end: number): void {
    let count = 0;
    let records = 0;
    let sum = 0;
    let at = from;
    for (let i = 0; i < prefetchCount && at < end; i++) {
      const recordBytes = messageBytesAt(words, at, end);
      if (recordBytes === 0) break;
      const number = this.#table.numberOf(messageGroupId(words, at));
      this.#numbers[i] = number;
      this.#recordsAt[i] = at;
      if (number >= 0) sum += this.#rows.touch(number);
      records++;
      at += recordBytes;
    }
    this.sum = sum;
    for (let i = 0; i < records; i++) {
      const number = this.#numbers[i] as number;
      const recordAt = this.#recordsAt[i] as number;
      const isCore =
        number >= 0 &&
        (messageKindAt(words, recordAt) !== messageKinds.appendAnswer ||
          this.#needsReplica(number, answerIndex(words, recordAt)));
      if (isCore) this.#found[count++] = number;
    }
    this.#touch(count, true);
  }

  /** Whether an answer for `index` needs more than the replica's row. */
  #needsReplica(number: number, index: number): boolean {
    return !this.#rows.isLeader(number) || this.#rows.commitsWith(number, index);
  }

  /** What is found of the replicas whose rows were touched. */
  #touch(count: number, withRecords: boolean): void {
    const cores = this.#cores;
    const slots = this.#slots;
    const { all, columns } = this.#table;
    let sum = 0;
    let stepped = 0;
    for (let i = 0; i < count; i++) {
      const number = this.#found[i] as number;
      sum += columns.touch(number) + (all[number] as Replica).number;
      slots[i] = columns.slot[number] as number;
    }
    // Only read: a reference that is stored costs memory of its own.
    for (let i = 0; i < count; i++) {
      const number = this.#found[i] as number;
      const replica = all[number] as Replica;
      if (!this.#rows.isLent(number)) cores[stepped++] = replica.core;
      if (replica.stateMachine.close !== undefined) sum++;
    }
    this.sum = sum + RaftCore.touch(cores, stepped) + this.#wal.touch(slots, count, withRecords);
  }
}
