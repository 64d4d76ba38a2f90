// Threads of Node.js. One starts with a module and shared memory, tells this thread that there is something to look at
// there, and ends when it is told to; what they say to each other stands in the memory.

import { availableParallelism } from 'node:os';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { assert } from './assert.ts';
import type { IoError, WorkerHandlers, Workers, WorkerThread } from './world.ts';

/** A thread works on shared memory: its own heap stays small, and several of them do not weigh on the process. */
const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 32, stackSizeMb: 1 };

export class NodeWorkers implements Workers {
  readonly cores: number = availableParallelism();

  start(
    entry: string,
    shared: readonly SharedArrayBuffer[],
    handlers: WorkerHandlers,
  ): WorkerThread {
    let worker: Worker;
    try {
      // Not the options of this process: a profile or a script for the command line is not the thread's business.
      worker = new Worker(new URL(entry), { workerData: shared, execArgv: [], resourceLimits });
    } catch (error) {
      setImmediate(() => handlers.onEnd(error as IoError));
      return { end() {} };
    }
    let isEnding = false;
    let failure: IoError | null = null;
    worker.on('message', () => handlers.onTold());
    worker.on('error', (error) => {
      failure = error;
    });
    worker.on('exit', (code) => {
      if (isEnding) return handlers.onEnd(null);
      handlers.onEnd(failure ?? new Error(`the thread ended with code ${code}`));
    });
    return {
      end: () => {
        isEnding = true;
        void worker.terminate();
      },
    };
  }
}

/** What a thread that was started so has. */
export interface WorkerSide {
  readonly shared: readonly SharedArrayBuffer[];
  /** Calls onTold in the thread that started this one. */
  tell(): void;
}

/** For the module that a thread was started with. */
export function workerSide(): WorkerSide {
  const port = parentPort;
  assert(port !== null, 'not in a thread that was started with memory');
  return {
    shared: workerData as readonly SharedArrayBuffer[],
    tell: () => port.postMessage(null),
  };
}
