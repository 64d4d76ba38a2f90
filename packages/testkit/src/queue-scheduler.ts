// A scheduler without time, for a SimDisk that is used alone: completions run in the order they were asked for, when
// the test drains them.

import type { DiskScheduler } from './sim-disk.ts';

export class QueueScheduler implements DiskScheduler {
  #waiting: (() => void)[] = [];
  #next = 0;

  after(_delayUs: number, _label: string, run: () => void): void {
    this.#waiting.push(run);
  }

  fold(_word: number): void {}

  nowUs(): number {
    return 0;
  }

  drainOne(): boolean {
    const run = this.#waiting[this.#next];
    if (run === undefined) return false;
    this.#next += 1;
    if (this.#next === this.#waiting.length) {
      this.#waiting = [];
      this.#next = 0;
    }
    run();
    return true;
  }

  drain(): number {
    let count = 0;
    while (this.drainOne()) count += 1;
    return count;
  }
}
