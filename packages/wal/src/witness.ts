// Slot W of STORE: a lazy witness of what was acknowledged. Written with fdatasync once the log has been idle for a
// moment, and without one at most once a second under load. Recovery takes a good one as proof that the batches up to it
// were durable, so that damage to them is never taken for a torn tail.

import type { Clock, IoError, Timer } from '@flotilla/io';
import type { StoreFile } from './store-file.ts';

const idleDelayMs = 100;
const loadIntervalMs = 1000;

export class LazyWitness {
  readonly #clock: Clock;
  readonly #store: StoreFile;
  readonly #fail: (error: IoError) => void;
  #durableSeq = 0;
  /** Highest batch that a synced slot vouches for. */
  #syncedSeq: number;
  #writtenMs: number;
  #isWriting = false;
  #isStopped = false;
  #timer: Timer | null = null;
  /** Time of the last durable batch. */
  #activeMs = 0;

  constructor(clock: Clock, store: StoreFile, durableSeq: number, fail: (error: IoError) => void) {
    this.#clock = clock;
    this.#store = store;
    this.#syncedSeq = durableSeq;
    this.#writtenMs = clock.monotonicMs();
    this.#fail = fail;
  }

  /** A batch became durable. */
  note(durableSeq: number): void {
    const now = this.#clock.monotonicMs();
    this.#durableSeq = durableSeq;
    this.#activeMs = now;
    if (this.#isStopped) return;
    if (now - this.#writtenMs >= loadIntervalMs && !this.#isWriting) this.#write(false);
    if (this.#timer === null) this.#timer = this.#clock.at(now + idleDelayMs, this.#onTimer);
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#timer = null;
  }

  readonly #onTimer = (): void => {
    this.#timer = null;
    if (this.#isStopped) return;
    const due = this.#activeMs + idleDelayMs;
    // One timer a quiet period: as long as batches come it only looks whether it is quiet now.
    if (this.#isWriting || due > this.#clock.monotonicMs()) {
      this.#timer = this.#clock.at(Math.max(due, this.#clock.monotonicMs() + 1), this.#onTimer);
    } else if (this.#durableSeq > this.#syncedSeq) {
      this.#write(true);
    }
  };

  #write(sync: boolean): void {
    const seq = this.#durableSeq;
    this.#isWriting = true;
    this.#writtenMs = this.#clock.monotonicMs();
    this.#store.witness(seq, sync, (error) => {
      this.#isWriting = false;
      if (error !== null) this.#fail(error);
      else if (sync) this.#syncedSeq = seq;
    });
  }
}
