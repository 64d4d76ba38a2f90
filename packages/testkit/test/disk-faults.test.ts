import { loseEverything } from '@flotilla/testkit';
import { describe, expect, test } from 'vitest';
import { filled, newDisk, Sync } from './disk-helpers.ts';

const coded = (code: string): unknown => expect.objectContaining({ code });

describe('planned disk faults', () => {
  test('the n-th matching operation fails, the ones before and after succeed', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    const file = disk.open('/f', 'create');
    const fault = sim.plan({ op: 'writev', after: 2, effect: { kind: 'error', code: 'EIO' } });
    expect(disk.write(file, 0, filled(1, 1))).toBe(1);
    expect(disk.write(file, 1, filled(1, 1))).toBe(1);
    expect(() => disk.write(file, 2, filled(1, 1))).toThrow(coded('EIO'));
    expect(sim.surgery.bytesOf('/f')).toBe(2);
    expect(disk.write(file, 2, filled(1, 1))).toBe(1);
    expect([fault.matches, fault.hits]).toEqual([4, 1]);
  });

  test('every operation can be made to fail, by kind and by path', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    sim.surgery.putFile('/d/f', filled(10, 1));
    const file = disk.open('/d/f', 'write');
    const calls: Record<string, () => unknown> = {
      open: () => disk.open('/d/f', 'read'),
      read: () => disk.read(file, 0, 1),
      datasync: () => disk.datasync(file),
      truncate: () => disk.truncate(file, 1),
      syncDir: () => disk.syncDir('/d'),
      mkdir: () => disk.mkdir('/d/e'),
      rename: () => disk.rename('/d/f', '/d/g'),
      unlink: () => disk.unlink('/d/f'),
      list: () => disk.list('/d'),
      stat: () => disk.stat('/d/f'),
      lock: () => disk.lock('/d/LOCK'),
      close: () => disk.close(file),
    };
    const before = sim.image();
    for (const [op, call] of Object.entries(calls)) {
      sim.plan({ op: op as 'open', path: /^\/d/, effect: { kind: 'error', code: 'EIO' } });
      expect(call, op).toThrow(coded('EIO'));
    }
    expect(sim.image().differences(before)).toEqual([]);
    sim.plan({ path: '*.seg', times: 5, effect: { kind: 'error', code: 'EMFILE' } });
    disk.stat('/d/f');
    expect(() => disk.open('/d/1.seg', 'create')).toThrow(coded('EMFILE'));
  });

  test('a write that fails may have written a part or all of it', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    const file = disk.open('/f', 'create');
    sim.plan({ op: 'writev', effect: { kind: 'error', code: 'EIO', applied: 'all' } });
    expect(() => disk.write(file, 0, filled(10, 1))).toThrow(coded('EIO'));
    expect(sim.surgery.bytesOf('/f')).toBe(10);
    sim.plan({ op: 'writev', effect: { kind: 'error', code: 'ENOSPC', applied: 'part' } });
    expect(() => disk.write(file, 10, filled(1000, 1))).toThrow(coded('ENOSPC'));
    expect(sim.surgery.bytesOf('/f')).toBeLessThan(1010);
  });

  test('short writes and reads', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    const file = disk.open('/f', 'create');
    sim.plan({ op: 'writev', effect: { kind: 'short', bytes: 0 } });
    sim.plan({ op: 'writev', after: 1, effect: { kind: 'short', bytes: (asked) => asked - 1 } });
    expect(disk.write(file, 0, filled(10, 1))).toBe(1);
    expect(disk.write(file, 1, filled(9, 2))).toBe(8);
    sim.plan({ op: 'read', effect: { kind: 'short', bytes: 4 } });
    expect([...disk.read(file, 0, 9)]).toEqual([1, 2, 2, 2]);
    expect(disk.read(file, 0, 9).length).toBe(9);
  });

  test('a failed sync that drops the pages is followed by one that "succeeds" and saves nothing', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    sim.surgery.putFile('/f', filled(512, 1));
    const file = disk.open('/f', 'write');
    disk.write(file, 0, filled(512, 2));
    sim.plan({ op: 'datasync', effect: { kind: 'syncError', code: 'EIO', pages: 'dropped' } });
    expect(() => disk.datasync(file)).toThrow(coded('EIO'));
    expect([...disk.read(file, 0, 1)]).toEqual([2]);
    disk.datasync(file);
    sim.crash(loseEverything);
    expect(sim.surgery.read('/f')[0]).toBe(1);
  });

  test('a failed sync may roll the file back, or keep the pages for a sync that then saves them', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    sim.surgery.putFile('/f', filled(512, 1));
    const file = disk.open('/f', 'write');
    disk.write(file, 0, filled(512, 2));
    sim.plan({ op: 'datasync', effect: { kind: 'syncError', code: 'EIO', pages: 'rolledBack' } });
    expect(() => disk.datasync(file)).toThrow(coded('EIO'));
    expect([...disk.read(file, 0, 1)]).toEqual([1]);
    disk.write(file, 0, filled(512, 3));
    sim.plan({ op: 'datasync', effect: { kind: 'syncError', code: 'EIO', pages: 'kept' } });
    expect(() => disk.datasync(file)).toThrow(coded('EIO'));
    disk.datasync(file);
    sim.crash(loseEverything);
    expect(sim.surgery.read('/f')[0]).toBe(3);
  });

  test('an operation that hangs never completes', () => {
    const sim = newDisk();
    sim.plan({ op: 'mkdir', effect: { kind: 'hang' } });
    let called = false;
    sim.mkdir('/d', () => {
      called = true;
    });
    sim.drain();
    expect([called, sim.inFlightCount]).toEqual([false, 1]);
  });

  test('a rule with a probability hits about that share, the same ones for the same seed', () => {
    const hits = (): string => {
      const sim = newDisk(3);
      const times = Number.POSITIVE_INFINITY;
      const effect = { kind: 'error', code: 'EIO' } as const;
      const fault = sim.plan({ op: 'mkdir', times, probability: 0.3, effect });
      let pattern = '';
      for (let i = 0; i < 200; i++) {
        sim.mkdir(`/d${i}`, (error) => {
          pattern += error === null ? '.' : 'x';
        });
        sim.drain();
      }
      expect(fault.hits).toBeGreaterThan(30);
      expect(fault.hits).toBeLessThan(90);
      return pattern;
    };
    expect(hits()).toBe(hits());
  });

  test('all calls are listed and counted', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    const file = disk.open('/f', 'create');
    disk.write(file, 4096, filled(10, 1));
    disk.datasync(file);
    expect(sim.callLog.map(({ op, offset, bytes }) => `${op} ${offset} ${bytes}`)).toEqual([
      'open 0 0',
      'writev 4096 10',
      'datasync 0 0',
    ]);
    expect(sim.callCount).toBe(3);
  });
});
