// Clock over performance.now(), setTimeout and setImmediate. Timers do not keep the process alive: the listening
// socket of a host does.

import { performance } from 'node:perf_hooks';
import type { Clock, Timer } from './world.ts';

class NodeTimer implements Timer {
  readonly #handle: NodeJS.Timeout;

  constructor(handle: NodeJS.Timeout) {
    this.#handle = handle;
  }

  cancel(): void {
    clearTimeout(this.#handle);
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
    const delayMs = Math.max(0, Math.ceil(dueMs - performance.now()));
    const handle = setTimeout(callback, Math.min(delayMs, 2 ** 31 - 1));
    handle.unref();
    return new NodeTimer(handle);
  }

  nextTurn(callback: () => void): void {
    setImmediate(callback);
  }
}
