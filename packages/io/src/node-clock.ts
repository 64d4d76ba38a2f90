// Clock over performance.now(), setTimeout and setImmediate. Timers do not keep the process alive: the listening
// socket of a host does. A callback comes at or after its time, never before, however far away that is.

import { performance } from 'node:perf_hooks';
import type { Clock, Timer } from './world.ts';

/** The longest delay that setTimeout takes; a longer one would fire at once. */
const delayMsMax = 2 ** 31 - 1;

class NodeTimer implements Timer {
  readonly #dueMs: number;
  readonly #callback: () => void;
  #handle: NodeJS.Timeout;

  constructor(dueMs: number, callback: () => void) {
    this.#dueMs = dueMs;
    this.#callback = callback;
    this.#handle = this.#arm();
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }

  #arm(): NodeJS.Timeout {
    const delayMs = Math.max(0, Math.ceil(this.#dueMs - performance.now()));
    const handle = setTimeout(() => this.#onTimeout(), Math.min(delayMs, delayMsMax));
    handle.unref();
    return handle;
  }

  /** Node counts whole milliseconds from a rounded start and may be early by a part of one; nobody is called early. */
  #onTimeout(): void {
    if (performance.now() < this.#dueMs) this.#handle = this.#arm();
    else this.#callback();
  }
}

export class NodeClock implements Clock {
  monotonicMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  at(dueMs: number, callback: () => void): Timer {
    return new NodeTimer(dueMs, callback);
  }

  nextTurn(callback: () => void): void {
    setImmediate(callback);
  }
}
