// Fetches the memory of the next few replicas side by side, before they are stepped one by one.
//
// With thousands of groups each step begins with memory that is in no cache. Reading a little of several replicas in a row
// lets the processor wait for all of them at once. Nothing depends on what is read; callers ask every `prefetchCount`
// replicas.

import type { Wal } from '@flotilla/wal';
import type { DeferredSteps } from './deferred-steps.ts';
import type { Replica } from './replica.ts';
import type { ReplicaTable } from './replica-table.ts';
import {
  answerIndex,
  isAppendAnswer,
  messageBytesAt,
  messageGroupId,
  messageTerm,
} from './wire.ts';

/** Replicas whose memory is fetched together. */
export const prefetchCount = 16;

export class Prefetch {
  /** Where what was read goes, so that the reads are not optimised away. */
  sum = 0;
  readonly #wal: Wal;
  readonly #replicas: ReplicaTable;
  readonly #deferred: DeferredSteps;

  constructor(wal: Wal, replicas: ReplicaTable, deferred: DeferredSteps) {
    this.#wal = wal;
    this.#replicas = replicas;
    this.#deferred = deferred;
  }

  /** What the steps of the replicas from `from` on need (RaftCore.touch). */
  replicas(list: readonly Replica[], from: number, end: number = list.length): void {
    let sum = 0;
    for (let i = from; i < from + prefetchCount && i < end; i++) {
      sum += this.#touch(list[i] as Replica);
    }
    this.sum = sum;
  }

  /** The same for replicas by handle number. */
  numbers(list: readonly number[], from: number): void {
    let sum = 0;
    for (let i = from; i < from + prefetchCount && i < list.length; i++) {
      sum += this.#touch(this.#replicas.all[list[i] as number] as Replica);
    }
    this.sum = sum;
  }

  /** The same for the replicas that the next records of a frame are for. */
  records(bytes: Uint8Array, from: number, end: number, place: number): void {
    let sum = 0;
    let at = from;
    for (let i = 0; i < prefetchCount && at < end; i++) {
      const recordBytes = messageBytesAt(bytes, at, end);
      if (recordBytes === 0) break;
      const number = this.#replicas.numberOf(messageGroupId(bytes, at));
      const isDeferred =
        isAppendAnswer(bytes, at) &&
        this.#deferred.canTakeAnswer(number, place, messageTerm(bytes, at), answerIndex(bytes, at));
      if (number >= 0 && !isDeferred) sum += this.#touch(this.#replicas.all[number] as Replica);
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
      (stateMachine.close === undefined ? 0 : 1)
    );
  }
}
