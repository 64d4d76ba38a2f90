// A log that is opened again with smaller limits than it was written with: what is there stays readable, and what no
// segment of the new size can hold stays where it is.

import { describe, expect, it } from 'vitest';
import { payloadIn } from './harness.ts';
import { append, lastIndexes, openGroup, SimLogHost } from './sim-harness.ts';

const large = { segmentBytes: 512 * 1024, entryBytesMax: 200 * 1024 } as const;
const lowered = { segmentBytes: 128 * 1024, entryBytesMax: 32 * 1024 } as const;

describe('a log that is opened with smaller segments', () => {
  it('keeps an entry that fits none of them where it stands, and gives it up once it is compacted', () => {
    const host = new SimLogHost();
    const before = host.open(large);
    const big = openGroup(before, 1);
    openGroup(before, 2);
    append(before, big, 1, ['x'.repeat(180 * 1024)]);
    before.wal.noteCommit(big, 1);
    host.sync(before);
    host.close(before);

    const log = host.open({ ...lowered, cacheBytes: 0 });
    const busy = 1;
    let last = 0;
    const write = (rotations: number): void => {
      const goal = log.wal.counters.rotations + rotations;
      while (log.wal.counters.rotations < goal) {
        append(log, busy, ++last, ['y'.repeat(6000)]);
        log.wal.noteCommit(busy, last);
        if (last > 4) log.wal.layCompact(busy, last - 4);
        host.sync(log);
        host.runMs(5);
      }
    };
    write(8);
    expect(log.poison).toEqual([]);
    expect(log.wal.counters.segmentsFreed).toBe(0);
    let text = '';
    log.wal.load(big, 1, (error, ref) => {
      text = error === null ? payloadIn(ref, 1) : error.message;
    });
    host.run(() => text !== '');
    expect(text).toBe('x'.repeat(180 * 1024));
    log.wal.layCompact(big, 1);
    host.sync(log);
    write(2);
    expect(log.wal.counters.segmentsFreed).toBeGreaterThan(0);
    host.powerCut();
    expect(lastIndexes(host.open(lowered))).toEqual({ 1: 1, 2: last });
  });
});
