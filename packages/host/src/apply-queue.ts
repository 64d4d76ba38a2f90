// Which replicas have committed entries to apply, and applying them: from memory at once, else after a read from disk,
// in bounded pieces, so that a group with a long backlog holds up neither the others nor the event loop.

import type { Clock } from '@flotilla/io';
import { RecordRef, type Wal } from '@flotilla/wal';
import { Applier } from './applier.ts';
import type { EngineCounters } from './metrics.ts';
import type { CompletionBatch } from './port.ts';
import type { ReadDesk } from './read-desk.ts';
import type { Replica } from './replica.ts';

/** Application of queued entries yields to the event loop after this long. */
const applyMsMax = 10;
/** Bytes of one group's log that are applied before it is the next group's turn. */
const applyBytesMax = 1 << 20;

export interface ApplyEvents {
  /** Something was queued: a turn should come. */
  wake(): void;
  /** The state machine threw, or the log cannot be read. */
  failReplica(replica: Replica, cause: unknown): void;
}

export class ApplyQueue {
  readonly #wal: Wal;
  readonly #clock: Clock;
  readonly #counters: EngineCounters;
  readonly #completions: CompletionBatch;
  readonly #reads: ReadDesk;
  readonly #events: ApplyEvents;
  readonly #applier: Applier = new Applier();
  readonly #ref: RecordRef = new RecordRef();
  /** Two lists that take turns; a list keeps its memory, what counts is the number beside it. */
  #queue: Replica[] = [];
  #queued = 0;
  #spare: Replica[] = [];

  constructor(
    wal: Wal,
    clock: Clock,
    counters: EngineCounters,
    completions: CompletionBatch,
    reads: ReadDesk,
    events: ApplyEvents,
  ) {
    this.#wal = wal;
    this.#clock = clock;
    this.#counters = counters;
    this.#completions = completions;
    this.#reads = reads;
    this.#events = events;
  }

  /** Has the replica looked at when the queue is worked off next. */
  add(replica: Replica): void {
    if (replica.isQueuedToApply) return;
    replica.isQueuedToApply = true;
    this.#queue[this.#queued++] = replica;
    this.#events.wake();
  }

  /** Works the queue off, or as much of it as fits into the time a turn has. */
  run(turnStartMs: number): void {
    const due = this.#queue;
    const count = this.#queued;
    if (count === 0) return;
    this.#queue = this.#spare;
    this.#queued = 0;
    this.#spare = due;
    for (let i = 0; i < count; i++) {
      const replica = due[i] as Replica;
      replica.isQueuedToApply = false;
      this.apply(replica, replica.core.commitIndex);
      if ((i & 31) === 31 && this.#clock.monotonicMs() - turnStartMs > applyMsMax) {
        // The rest has not been asked for again meanwhile: it is still marked as queued.
        for (let j = i + 1; j < count; j++) this.#queue[this.#queued++] = due[j] as Replica;
        this.#events.wake();
        return;
      }
    }
  }

  /** Applies what is committed and in memory; what is more comes later by itself. */
  apply(replica: Replica, commitIndex: number): void {
    const ref = this.#ref;
    let bytes = 0;
    while (replica.appliedIndex < commitIndex && !replica.isLoading && !replica.isEnded) {
      const next = replica.appliedIndex + 1;
      if (!this.#wal.lookup(replica.slot, next, ref)) {
        this.#load(replica, next);
        break;
      }
      this.#applyRecord(replica, ref, commitIndex);
      bytes += ref.recLen;
      if (bytes > applyBytesMax && replica.appliedIndex < commitIndex) {
        this.add(replica);
        break;
      }
    }
    if (replica.readsConfirmed.length > 0) this.#reads.applied(replica);
  }

  #applyRecord(replica: Replica, ref: RecordRef, upTo: number): void {
    try {
      this.#counters.entriesApplied += this.#applier.apply(replica, ref, upTo, this.#completions);
    } catch (error) {
      this.#events.failReplica(replica, error);
    }
  }

  #load(replica: Replica, index: number): void {
    replica.isLoading = true;
    this.#wal.load(replica.slot, index, (error, ref) => {
      replica.isLoading = false;
      if (replica.isEnded) return;
      if (error !== null) this.#events.failReplica(replica, error);
      else this.#applyRecord(replica, ref, replica.core.commitIndex);
      this.add(replica);
    });
  }
}
