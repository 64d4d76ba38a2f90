// Threads of Node.js: they share memory, tell, and end when told to or by themselves, which is always heard of once.

import { describe, expect, it } from 'vitest';
import { NodeWorkers } from '../src/node-workers.ts';
import type { IoError } from '../src/world.ts';

const wait = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);';

function moduleOf(source: string): string {
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

interface Ended {
  readonly told: number;
  readonly error: IoError | null;
}

/** Runs a thread until it ended; it is ended when it tells for the first time. */
function run(entry: string, shared: readonly SharedArrayBuffer[] = []): Promise<Ended> {
  return new Promise((resolve, reject) => {
    let told = 0;
    let isOver = false;
    const thread = new NodeWorkers().start(entry, shared, {
      onTold: () => {
        told++;
        thread.end();
      },
      onEnd: (error) => {
        if (isOver) reject(new Error('it ended twice'));
        isOver = true;
        setImmediate(() => resolve({ told, error }));
      },
    });
  });
}

describe('a thread', () => {
  it('works on the memory it was started with, tells, and ends where it stands when it is told to', async () => {
    const shared = new SharedArrayBuffer(4);
    const source =
      "import { parentPort, workerData } from 'node:worker_threads';" +
      `new Int32Array(workerData[0])[0] = 7; parentPort.postMessage(null); ${wait}`;
    expect(await run(moduleOf(source), [shared])).toEqual({ told: 1, error: null });
    expect(new Int32Array(shared)[0]).toBe(7);
  });

  it('that throws, leaves, or cannot be loaded ends with an error', async () => {
    const thrown = await run(moduleOf("throw new Error('out of order');"));
    expect(thrown.error?.message).toBe('out of order');
    const left = await run(moduleOf('process.exit(3);'));
    expect(left.error?.message).toBe('the thread ended with code 3');
    const absent = await run(new URL('./absent.js', import.meta.url).href);
    expect(absent.error?.message).toContain('absent.js');
    const nonsense = await run('no address at all');
    expect(nonsense.error?.message).toContain('Invalid URL');
  });

  it('has no more processors than there are', () => {
    expect(new NodeWorkers().cores).toBeGreaterThanOrEqual(1);
  });
});
