// The threads that check windows of a log, and the memory in which they and the replaying thread speak. Windows are jobs
// numbered from 0; job n has window n modulo the number of windows. The replaying thread posts jobs in order, threads
// claim them in order, and each job is claimed by one side only.
//
//   word 0    jobs posted; idle threads wait on it
//   word 1    jobs claimed, by threads or by the replaying one
//   word 2    threads that came up
//   then for each window
//   word 0    bytes to check, from the window's start
//   word 1    job that was checked last there, plus one
//   word 2    bytes of it that hold
//
// A window's memory belongs to the replaying thread but from the posting of its job until that is answered or was
// claimed here. A thread reads the windows and writes nothing but its claims and answers, so a thread that dies takes
// nothing with it: what it had not answered is checked again by the thread that replays.

import { wordsOf } from '@flotilla/codec';
import type { IoError, Workers, WorkerThread } from '@flotilla/io';
import { verifiedBatchesEnd } from './verify-batches.ts';

const postedAt = 0;
const claimedAt = 1;
const onlineAt = 2;
const headWords = 3;
const windowWords = 3;

/** The shared memory of a team as its members see it. */
class TeamMemory {
  readonly windows: number;
  readonly windowBytes: number;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly control: Int32Array;

  constructor(control: SharedArrayBuffer, bytes: SharedArrayBuffer) {
    this.control = new Int32Array(control);
    this.bytes = new Uint8Array(bytes);
    this.words = wordsOf(this.bytes);
    this.windows = (this.control.length - headWords) / windowWords;
    this.windowBytes = this.bytes.length / this.windows;
  }

  wordOf(job: number): number {
    return headWords + windowWords * (job % this.windows);
  }

  claim(job: number): boolean {
    return Atomics.compareExchange(this.control, claimedAt, job, job + 1) === job;
  }

  /** Claims the next job; -1 where none waits, or somebody else was faster. */
  tryClaim(): number {
    const job = Atomics.load(this.control, claimedAt);
    return job < Atomics.load(this.control, postedAt) && this.claim(job) ? job : -1;
  }

  /** What is to be checked for a job that was claimed: nobody changes it before the answer. */
  bytesOf(job: number): Uint8Array {
    const start = (job % this.windows) * this.windowBytes;
    return this.bytes.subarray(start, start + Atomics.load(this.control, this.wordOf(job)));
  }

  /** Checks the window of a job that was claimed, and answers. */
  work(job: number): void {
    const word = this.wordOf(job);
    const { byteOffset: start, length } = this.bytesOf(job);
    const end = verifiedBatchesEnd(this.bytes, this.words, start, start + length);
    Atomics.store(this.control, word + 2, end - start);
    Atomics.store(this.control, word + 1, job + 1);
  }
}

/** A thread of the team, from inside. */
export class TeamMember extends TeamMemory {
  constructor(shared: readonly SharedArrayBuffer[]) {
    const [control, bytes] = shared as [SharedArrayBuffer, SharedArrayBuffer];
    super(control, bytes);
    Atomics.add(this.control, onlineAt, 1);
  }

  /** Sleeps until a job may wait. */
  sleep(): void {
    const { control } = this;
    const posted = Atomics.load(control, postedAt);
    if (Atomics.load(control, claimedAt) === posted) Atomics.wait(control, postedAt, posted);
  }

  /** What a thread does for as long as it lives; `tell` says that a job was answered. */
  serve(tell: () => void): never {
    for (;;) {
      const job = this.tryClaim();
      if (job < 0) this.sleep();
      else {
        this.work(job);
        tell();
      }
    }
  }
}

export class ScanTeam {
  readonly memory: TeamMemory;
  readonly #threads: WorkerThread[] = [];
  #living: number;
  #isLost = false;
  #ended: (() => void) | null = null;

  /** `onTold`: jobs may have been answered; `onLost`: a thread ended by itself, and no job is answered from now on. */
  constructor(
    workers: Workers,
    entry: string,
    size: { readonly threads: number; readonly windows: number; readonly windowBytes: number },
    on: { readonly told: () => void; readonly lost: (error: IoError) => void },
  ) {
    const controlBytes = 4 * (headWords + windowWords * size.windows);
    const shared = [
      new SharedArrayBuffer(controlBytes),
      new SharedArrayBuffer(size.windows * size.windowBytes),
    ] as const;
    this.memory = new TeamMemory(...shared);
    this.#living = size.threads;
    const handlers = {
      onTold: () => {
        if (this.#ended === null) on.told();
      },
      onEnd: (error: IoError | null) => {
        this.#living--;
        if (this.#ended !== null) return this.#settle();
        if (this.#isLost) return;
        this.#isLost = true;
        on.lost(error ?? new Error('it was ended'));
      },
    };
    for (let i = 0; i < size.threads; i++) {
      this.#threads.push(workers.start(entry, shared, handlers));
    }
  }

  /** No thread died. */
  get isWhole(): boolean {
    return !this.#isLost;
  }

  /** A thread came up: what is posted will be answered. Before that nobody should wait. */
  get isOnline(): boolean {
    return Atomics.load(this.memory.control, onlineAt) > 0;
  }

  post(job: number, bytes: number): void {
    const { control } = this.memory;
    Atomics.store(control, this.memory.wordOf(job), bytes);
    Atomics.store(control, postedAt, job + 1);
    Atomics.notify(control, postedAt, 1);
  }

  /** Takes the job back where no thread has claimed it; all before it must have been claimed. */
  tryClaim(job: number): boolean {
    return this.memory.claim(job);
  }

  /** Bytes of the job's window that hold, -1 = not answered. */
  answerTo(job: number): number {
    const { control } = this.memory;
    const word = this.memory.wordOf(job);
    return Atomics.load(control, word + 1) === job + 1 ? Atomics.load(control, word + 2) : -1;
  }

  /** Ends the threads; `done` is called once, later, when all are gone. */
  end(later: (run: () => void) => void, done: () => void): void {
    this.#ended = done;
    for (const thread of this.#threads) thread.end();
    later(() => this.#settle());
  }

  #settle(): void {
    if (this.#living > 0) return;
    const done = this.#ended;
    this.#ended = () => {};
    done?.();
  }
}
