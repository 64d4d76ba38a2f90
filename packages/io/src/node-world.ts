// The world as Node.js gives it.

import { IoThread } from './io-thread.ts';
import { NodeClock } from './node-clock.ts';
import { NodeDisk } from './node-disk.ts';
import { NodeNet } from './node-net.ts';
import { NodeRng } from './node-rng.ts';
import { NodeWorkers } from './node-workers.ts';
import type { World } from './world.ts';

export interface NodeWorldOptions {
  /** A thread of its own for the log's writes, and an event loop that looks for their ends (io-thread.ts). */
  readonly ioThread?: boolean | undefined;
}

export interface NodeWorld extends World {
  /** Gives its threads back, once nothing uses it any more. */
  end(): void;
}

export function createNodeWorld(options: NodeWorldOptions = {}): NodeWorld {
  const thread = options.ioThread === true ? new IoThread() : null;
  return {
    clock: new NodeClock(),
    rng: new NodeRng(),
    disk: new NodeDisk(thread),
    net: new NodeNet(),
    workers: new NodeWorkers(),
    end: () => thread?.end(),
  };
}
