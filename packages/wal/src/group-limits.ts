// Which groups hold more of the log than a group may. Sizes are summed in slices after a rotation, and only where the
// whole log is large enough for one group to be over the limit; a group over it is looked at again when it compacts.

import type { Clock } from '@flotilla/io';
import { recLenOf } from './run-arena.ts';
import type { LogIndex } from './log-index.ts';
import { eachRun } from './run-edits.ts';

const groupsPerSlice = 1024;

export class GroupLimits {
  readonly #clock: Clock;
  readonly #index: LogIndex;
  readonly #bytesMax: number;
  readonly #full: Set<number> = new Set();
  #isRunning = false;

  constructor(clock: Clock, index: LogIndex, bytesMax: number) {
    this.#clock = clock;
    this.#index = index;
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#full.size;
  }

  isFull(slot: number): boolean {
    return this.#full.has(slot);
  }

  /** Looks at all groups, a slice a turn of the event loop. */
  refresh(): void {
    const canBeFull = this.#index.use.totalBytes > this.#bytesMax || this.#full.size > 0;
    if (this.#isRunning || !canBeFull) return;
    this.#isRunning = true;
    const slice = (from: number): void => {
      const end = Math.min(this.#index.groups.size, from + groupsPerSlice);
      for (let slot = from; slot < end; slot++) this.#judge(slot);
      if (end < this.#index.groups.size) this.#clock.nextTurn(() => slice(end));
      else this.#isRunning = false;
    };
    slice(0);
  }

  /** The group gave up entries. */
  recheck(slot: number): void {
    if (this.#full.has(slot)) this.#judge(slot);
  }

  #judge(slot: number): void {
    let bytes = 0;
    eachRun(this.#index, slot, (words, at) => {
      bytes += recLenOf(words[at + 1] as number);
    });
    if (bytes > this.#bytesMax) this.#full.add(slot);
    else this.#full.delete(slot);
  }
}
