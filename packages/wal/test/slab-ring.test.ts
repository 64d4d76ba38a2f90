import { describe, expect, it } from 'vitest';
import { append, openGroup, SimLogHost } from './sim-harness.ts';
import { RecordRef } from '../src/api.ts';

describe('the memory of the stream', () => {
  it('is kept for who pinned it after it left the ring, and never written to again', () => {
    const host = new SimLogHost();
    const log = host.open({ cacheBytes: 0 });
    const slot = openGroup(log, 1);
    const from = log.wal.position;
    append(log, slot, 1, ['pinned'.repeat(1000)]);
    const to = log.wal.position;
    const ranges: Uint8Array[] = [];
    expect(log.wal.rangesBetween(from, to, ranges)).toBe(true);
    log.wal.pin(from, to);
    const before = ranges.map((range) => range.slice());
    for (let index = 2; index <= 40; index++) {
      append(log, slot, index, ['x'.repeat(7000)]);
      host.sync(log);
    }
    expect(log.wal.lookup(slot, 1, new RecordRef())).toBe(false);
    expect(ranges).toEqual(before);
    expect(log.wal.rangesBetween(from, to, [])).toBe(false);
    log.wal.unpin(from, to);
    expect(() => log.wal.rangesBetween(to, from, [])).toThrow(RangeError);
  });

  it('stays where a lookup found it until the caller returns to the event loop', () => {
    const host = new SimLogHost();
    const log = host.open({ cacheBytes: 0 });
    const slot = openGroup(log, 1);
    append(log, slot, 1, ['a'.repeat(9000)]);
    host.sync(log);
    append(log, slot, 2, ['b'.repeat(9000)]);
    host.sync(log);
    const ref = new RecordRef();
    expect(log.wal.lookup(slot, 2, ref)).toBe(true);
    const before = ref.bytes.slice();
    for (let index = 3; index < 12; index++) append(log, slot, index, ['c'.repeat(9000)]);
    expect(ref.bytes.slice(ref.at, ref.at + ref.recLen)).toEqual(
      before.slice(ref.at, ref.at + ref.recLen),
    );
    host.sync(log);
  });

  it('is bounded by the option once what it holds is durable', () => {
    const host = new SimLogHost();
    const log = host.open({ cacheBytes: 64 * 1024 });
    const slot = openGroup(log, 1);
    for (let index = 1; index <= 100; index++) {
      append(log, slot, index, ['x'.repeat(7000)]);
      host.sync(log);
    }
    const ref = new RecordRef();
    const inMemory = Array.from({ length: 100 }, (_, i) => log.wal.lookup(slot, i + 1, ref)).filter(
      Boolean,
    );
    expect(inMemory.length).toBeGreaterThan(4);
    expect(inMemory.length).toBeLessThan(12);
    expect(log.wal.pendingBytes).toBe(0);
  });
});
