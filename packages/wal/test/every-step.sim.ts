// WF28: the machine stops at each single disk operation of creating, opening, rotating and closing in turn; whatever a
// power cut then leaves of the unsynced rest, the next opening finds what was acknowledged.

import { loseEverything, randomCrash } from '@flotilla/testkit';
import { describe, expect, it } from 'vitest';
import { append, directory, lastIndexes, openGroup, SimLogHost, storeWith } from './sim-harness.ts';

/** Opens up to the n-th disk operation, then cuts the power; false where that takes fewer operations. */
function cutAt(host: SimLogHost, n: number): boolean {
  const wasReached = host.stopsAt(n);
  host.powerCut(randomCrash());
  return wasReached;
}

describe('WF28: a stop at every disk operation', () => {
  it('of creating a store leaves something that can be created or opened', () => {
    for (let seed = 1; seed <= 12; seed++) {
      for (let n = 1; ; n++) {
        const host = new SimLogHost(seed * 1000 + n);
        if (!cutAt(host, n)) break;
        // A second cut, in the middle of cleaning up after the first.
        cutAt(host, 1 + ((n * 7 + seed) % 20));
        const log = host.open();
        openGroup(log, 1);
        host.close(log);
        expect(lastIndexes(host.open())).toEqual({ 1: 0 });
      }
    }
  });

  it('of creating a store that is then used: what was acknowledged survives a power cut', () => {
    // A process that dies leaves names that only the system knows; the next one must make them durable.
    for (const isMade of [true, false]) {
      for (let n = 1; ; n++) {
        const host = new SimLogHost(n);
        if (!isMade) host.disk.surgery.remove(directory);
        if (!host.stopsAt(n)) break;
        host.kill();
        const log = host.open();
        const slot = openGroup(log, 1);
        append(log, slot, 1, ['one']);
        host.sync(log);
        host.powerCut(loseEverything);
        expect(lastIndexes(host.open({ create: false }))).toEqual({ 1: 1 });
      }
    }
  });

  it('of recovering a log loses nothing that was acknowledged, three times over', () => {
    const { host: base } = storeWith(4);
    let reached = 0;
    for (let n = 1; n < 200; n++) {
      const host = base.fork(n);
      if (!cutAt(host, n)) break;
      reached = n;
      cutAt(host, 1 + ((n * 5) % 30));
      cutAt(host, 1 + ((n * 11) % 30));
      const log = host.open();
      expect(lastIndexes(log)).toEqual({ 1: 3 });
      append(log, 0, 4, ['four']);
      host.sync(log);
      host.powerCut(randomCrash());
      expect(lastIndexes(host.open())).toEqual({ 1: 4 });
    }
    expect(reached).toBeGreaterThan(20);
  });

  it('of a rotation and of a close loses nothing that was acknowledged', () => {
    for (let n = 1; n < 120; n++) {
      // Each step both ways: a sync after each batch, and a second descriptor past the page cache.
      const host = new SimLogHost(n);
      const log = host.open({ syncMethod: n % 2 === 0 ? 'direct' : 'fdatasync' });
      const slot = openGroup(log, 1);
      host.sync(log);
      let acked = 0;
      const write = (): void => {
        append(log, slot, acked + 1, ['x'.repeat(7000)]);
        const position = log.wal.endTurn();
        host.runMs(20);
        if (log.wal.durablePosition >= position) acked++;
      };
      // Then the segment is nearly full: the next turns rotate.
      while (acked < 13) write();
      host.stopsAt(Math.ceil(n / 2), () => {
        while (log.wal.counters.rotations === 0 && !host.disk.isStopped) write();
        if (!host.disk.isStopped) host.close(log);
      });
      host.powerCut(randomCrash());
      const found = lastIndexes(host.open())[1] as number;
      expect(found).toBeGreaterThanOrEqual(acked);
      expect(found).toBeLessThanOrEqual(acked + 1);
    }
  });
});

it('a segment with batches is never taken for the rest of a creation', () => {
  const { host } = storeWith(3);
  host.disk.surgery.rename(`${directory}/STORE`, `${directory}/STORE.new`);
  const before = host.disk.image();
  expect(host.refusal({ create: true }).code).toBe('WAL_NOT_EMPTY');
  expect(host.disk.image().differences(before)).toEqual([]);
});

describe('after opening', () => {
  it('a carried batch is read from its new place', () => {
    const { host, batches } = storeWith(4);
    const log = host.open();
    const old = batches[3] as (typeof batches)[number];
    host.disk.surgery.zero(old.path, old.offset, old.length);
    let answer = '';
    log.wal.load(0, 3, (error) => {
      answer = error === null ? 'read' : error.message;
    });
    host.run(() => answer !== '');
    expect(answer).toBe('read');
  });

  it('the store is not clean any more', () => {
    const { host } = storeWith(3, { closed: true });
    const log = host.open();
    const slots = host.fork().inspect().survey?.store;
    expect(slots?.current).toMatchObject({ cleanSeq: 0, epoch: 2, durableSeq: 3 });
    host.close(log);
  });

  it('padding on disk is zero, also in memory that was used before', () => {
    const host = new SimLogHost();
    const log = host.open({ cacheBytes: 0 });
    const slot = openGroup(log, 1);
    for (let index = 1; index <= 20; index++) {
      append(log, slot, index, ['x'.repeat(index % 3 === 0 ? 10 : 15_000)]);
      host.sync(log);
    }
    host.close(log);
    const isPadded = { seen: 0 };
    for (const name of host.disk.surgery.list(directory).filter((each) => /^0.*seg$/.test(each))) {
      const bytes = host.disk.surgery.read(`${directory}/${name}`);
      for (let at = 4096; at < bytes.length; at += 4096) {
        const view = new DataView(bytes.buffer, bytes.byteOffset + at, 64);
        if (view.getUint32(0, true) !== 0x4257_4c46) continue;
        const end = at + 64 + view.getUint32(32, true);
        isPadded.seen++;
        expect(bytes.subarray(end, Math.ceil(end / 4096) * 4096).every((byte) => byte === 0)).toBe(
          true,
        );
      }
    }
    expect(isPadded.seen).toBeGreaterThan(15);
  });
});
