import { type Clock, createNodeWorld } from '@flotilla/io';
import { describe, expect, it } from 'vitest';
import { createLog, openLog, tempDir } from './harness.ts';

describe('a close', () => {
  it('waits for no timer: a process that has nothing else to do would end before it', async () => {
    const world = createNodeWorld();
    let timers = 0;
    const clock: Clock = {
      monotonicMs: () => world.clock.monotonicMs(),
      wallMs: () => world.clock.wallMs(),
      nextTurn: (callback) => world.clock.nextTurn(callback),
      at: () => {
        timers++;
        return { cancel() {} };
      },
    };
    const directory = tempDir();
    const options = { segmentBytes: 8 * 1024 * 1024, slabBytes: 64 * 1024 };
    // Its spare is filled in many steps with a pause after each: the first one never ends.
    const log = await createLog(directory, options, { ...world, clock });
    const slot = log.group(1);
    log.append(slot, 1, ['x']);
    await log.sync();
    while (timers === 0) await new Promise((resolve) => setImmediate(resolve));
    await log.close();
    const again = await openLog({ ...options, directory });
    expect(again.wal.report.verdict).toBe('clean');
    await again.close();
  });
});
