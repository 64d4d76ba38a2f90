import {
  crashAfterOrder,
  crashWithout,
  keepEverything,
  loseEverything,
  randomCrash,
  type SimDisk,
} from '@flotilla/testkit';
import { describe, expect, test } from 'vitest';
import { filled, newDisk, Sync } from './disk-helpers.ts';

/** A synced file of 2048 ones. */
function syncedFile(seed = 1): { sim: SimDisk; disk: Sync } {
  const sim = newDisk(seed);
  const disk = new Sync(sim);
  const file = disk.open('/f', 'create');
  disk.write(file, 0, filled(2048, 1));
  disk.datasync(file);
  disk.syncDir('/');
  disk.close(file);
  return { sim, disk };
}

describe('a power cut', () => {
  test('keeps what was synced, data and name, whatever the policy', () => {
    for (let seed = 0; seed < 20; seed++) {
      const { sim } = syncedFile(seed);
      sim.crash(randomCrash());
      expect(sim.surgery.read('/f')).toEqual(filled(2048, 1));
    }
  });

  test('loses an unsynced file name although the data was synced, and the data although the name was', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    const unnamed = disk.open('/unnamed', 'create');
    disk.write(unnamed, 0, filled(10, 1));
    disk.datasync(unnamed);
    expect(sim.image().paths()).toEqual(['/unnamed']);
    sim.crash(loseEverything);
    expect(sim.image().paths()).toEqual([]);
    const empty = disk.open('/empty', 'create');
    disk.syncDir('/');
    disk.write(empty, 0, filled(10, 1));
    sim.crash(loseEverything);
    expect(sim.surgery.bytesOf('/empty')).toBe(0);
  });

  test('a rename and an unlink that were not synced may be undone', () => {
    const { sim, disk } = syncedFile();
    disk.rename('/f', '/g');
    sim.crash(loseEverything);
    expect(sim.image().paths()).toEqual(['/f']);
    disk.unlink('/f');
    sim.crash(loseEverything);
    expect(sim.image().paths()).toEqual(['/f']);
    disk.rename('/f', '/g');
    disk.syncDir('/');
    sim.crash(loseEverything);
    expect(sim.image().paths()).toEqual(['/g']);
  });

  test('each write is lost, kept, torn by sector, or leaves zeros or what its blocks held before; a later one may survive an earlier one', () => {
    const firsts = new Set<string>();
    const seconds = new Set<string>();
    let laterSurvivedAlone = 0;
    for (let seed = 0; seed < 300; seed++) {
      const { sim, disk } = syncedFile(seed);
      const file = disk.open('/f', 'write');
      disk.write(file, 0, filled(1024, 2));
      disk.write(file, 2048, filled(1024, 3));
      sim.crash(randomCrash());
      const after = sim.surgery.read('/f');
      const sectors = [0, 512, 2048, 2560].map((at) => after[at] ?? '-');
      for (let at = 0; at < after.length; at += 512) {
        // A sector is old or new as a whole.
        expect(new Set(after.subarray(at, at + 512)).size).toBe(1);
      }
      firsts.add(`${sectors[0]} ${sectors[1]}`);
      seconds.add(`${sectors[2]} ${sectors[3]}`);
      if (sectors[0] === 1 && sectors[1] === 1 && sectors[2] === 3) laterSurvivedAlone += 1;
    }
    expect([...firsts].sort()).toEqual(['1 1', '1 2', '2 1', '2 2']);
    // Absent, whole, torn with and without its full length, zeros, stale.
    // Stale bytes are those of the file's own beginning here: it is the only one.
    expect([...seconds].sort()).toEqual(['- -', '0 0', '0 3', '1 1', '3 -', '3 0', '3 3']);
    expect(laterSurvivedAlone).toBeGreaterThan(0);
  });

  test('a file that grows may hold whole sectors of another file, and what it held before stays', () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const { sim, disk } = syncedFile(seed);
      const other = disk.open('/other', 'create');
      disk.write(other, 0, filled(5000, 7));
      disk.datasync(other);
      disk.syncDir('/');
      const file = disk.open('/f', 'write');
      disk.write(file, 0, filled(512, 2));
      disk.write(file, 2048, filled(1024, 3));
      sim.crash(randomCrash({ lost: 0, kept: 0, torn: 0, zeros: 0, stale: 1 }));
      const after = sim.surgery.read('/f');
      expect(after.subarray(0, 2048)).toEqual(filled(2048, 1));
      expect(after.length).toBe(3072);
      const grown = new Set(after.subarray(2048));
      expect(grown.size).toBe(1);
      outcomes.add([...grown].join());
      expect(sim.crashCounts).toEqual({ lost: 1, kept: 0, torn: 0, zeros: 0, stale: 1 });
    }
    expect([...outcomes].sort()).toEqual(['1', '7']);
  });

  test('a datasync covers what had completed when it was asked for, and nothing later', () => {
    const { sim, disk } = syncedFile();
    const file = disk.open('/f', 'write');
    disk.write(file, 0, filled(512, 2));
    sim.datasync(file, () => {});
    sim.writev(file, [filled(512, 3)], 512, () => {});
    sim.drain();
    sim.crash(loseEverything);
    expect([0, 512].map((at) => sim.surgery.read('/f')[at])).toEqual([2, 1]);
  });

  test('a truncation that was not synced is kept or lost', () => {
    for (const [policy, bytes] of [
      [loseEverything, 2048],
      [keepEverything, 100],
    ] as const) {
      const { sim, disk } = syncedFile();
      disk.truncate(disk.open('/f', 'write'), 100);
      sim.crash(policy);
      expect(sim.surgery.bytesOf('/f')).toBe(bytes);
    }
  });

  test('prefixes and omit-one crashes are reproducible points of one history', () => {
    const run = (): SimDisk => {
      const { sim, disk } = syncedFile();
      const file = disk.open('/f', 'write');
      disk.write(file, 0, filled(512, 2));
      disk.write(file, 512, filled(512, 3));
      disk.rename('/f', '/g');
      return sim;
    };
    const orders = run().pendingOrders();
    expect(orders.map(({ what }) => what)).toEqual(['write', 'write', 'name']);
    const first = run();
    first.crash(crashAfterOrder(orders[0]?.order as number));
    expect([first.surgery.read('/f')[0], first.surgery.read('/f')[512]]).toEqual([2, 1]);
    const second = run();
    second.crash(crashWithout(orders[0]?.order as number));
    expect([second.surgery.read('/g')[0], second.surgery.read('/g')[512]]).toEqual([1, 3]);
  });

  test('a small write travels with the rest of its sector', () => {
    const { sim, disk } = syncedFile();
    const file = disk.open('/f', 'write');
    disk.write(file, 10, filled(1, 2));
    disk.write(file, 20, filled(1, 3));
    sim.crash(crashWithout(sim.pendingOrders()[0]?.order as number));
    expect([10, 20].map((at) => sim.surgery.read('/f')[at])).toEqual([2, 3]);
  });

  test('what was in flight may leave any part; its callback never comes, and old files are dead', () => {
    const seen = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      const { sim, disk } = syncedFile(seed);
      const file = disk.open('/f', 'write');
      let called = 0;
      sim.writev(file, [filled(512, 2)], 0, () => called++);
      sim.crash(keepEverything);
      sim.drain();
      expect(called).toBe(0);
      seen.add(sim.surgery.read('/f')[0] as number);
      expect(() => disk.read(file, 0, 1)).toThrow(expect.objectContaining({ code: 'EBADF' }));
    }
    expect(seen).toEqual(new Set([1, 2]));
  });

  test('a killed process leaves the page cache, which a later power cut may still lose', () => {
    const { sim, disk } = syncedFile();
    disk.write(disk.open('/f', 'write'), 0, filled(512, 2));
    sim.kill();
    expect(sim.surgery.read('/f')[0]).toBe(2);
    sim.crash(loseEverything);
    expect(sim.surgery.read('/f')[0]).toBe(1);
  });

  test('crashAfter(n) lets the n-th operation begin and nothing after it', () => {
    const { sim, disk } = syncedFile();
    const file = disk.open('/f', 'write');
    const done: number[] = [];
    let stopped = 0;
    sim.crashAfter(3, () => stopped++);
    for (let i = 0; i < 5; i++) sim.writev(file, [filled(512, 2)], i * 512, () => done.push(i));
    sim.drain();
    // The two calls before it were in flight at that moment: nothing completes on a machine that has stopped.
    expect([stopped, sim.isStopped, done]).toEqual([1, true, []]);
    sim.crash(keepEverything);
    const after = sim.surgery.read('/f');
    expect([after[3 * 512], after.length]).toEqual([1, 2048]);
    expect(sim.isStopped).toBe(false);
    expect(disk.read(disk.open('/f', 'read'), 0, 1).length).toBe(1);
  });
});
