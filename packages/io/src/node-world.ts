// The world as Node.js gives it.

import { NodeClock } from './node-clock.ts';
import { NodeDisk } from './node-disk.ts';
import { NodeNet } from './node-net.ts';
import { NodeRng } from './node-rng.ts';
import { NodeWorkers } from './node-workers.ts';
import type { World } from './world.ts';

export function createNodeWorld(): World {
  return {
    clock: new NodeClock(),
    rng: new NodeRng(),
    disk: new NodeDisk(),
    net: new NodeNet(),
    workers: new NodeWorkers(),
  };
}
