import type { AlignedMemory } from '@flotilla/io';
import { loseEverything, randomCrash, SimDisk, SimKernel, SimRng } from '@flotilla/testkit';
import { describe, expect, test } from 'vitest';
import { filled, newDisk, Sync } from './disk-helpers.ts';

describe('SimDisk as a file system', () => {
  test('what is written is read back, short at the end of the file, zeros in holes', () => {
    const disk = new Sync(newDisk());
    const file = disk.open('/f', 'create');
    expect(disk.write(file, 0, filled(3, 1), filled(2, 2))).toBe(5);
    expect(disk.write(file, 9000, filled(4, 3))).toBe(4);
    expect([...disk.read(file, 1, 6)]).toEqual([1, 1, 2, 2, 0, 0]);
    expect([...disk.read(file, 8998, 100)]).toEqual([0, 0, 3, 3, 3, 3]);
    expect(disk.read(file, 9004, 10).length).toBe(0);
    expect(disk.stat('/f')).toEqual({ kind: 'file', bytes: 9004, links: 1 });
    disk.truncate(file, 2);
    disk.truncate(file, 4);
    expect([...disk.read(file, 0, 10)]).toEqual([1, 1, 0, 0]);
    disk.close(file);
  });

  test('names: create, rename over another, unlink, list in order, the errors of Linux', () => {
    const disk = new Sync(newDisk());
    disk.mkdir('/d');
    for (const name of ['b', 'a', 'C']) disk.close(disk.open(`/d/${name}`, 'create'));
    expect(disk.list('/d')).toEqual(['C', 'a', 'b']);
    disk.rename('/d/a', '/d/b');
    expect(disk.list('/d')).toEqual(['C', 'b']);
    disk.unlink('/d/b');
    expect(disk.list('/d')).toEqual(['C']);
    const refused: [() => unknown, string][] = [
      [() => disk.open('/d/C', 'create'), 'EEXIST'],
      [() => disk.open('/d/nothing', 'write'), 'ENOENT'],
      [() => disk.open('/nothing/x', 'create'), 'ENOENT'],
      [() => disk.open('/d/C/x', 'read'), 'ENOTDIR'],
      [() => disk.open('/d', 'write'), 'EISDIR'],
      [() => disk.mkdir('/d'), 'EEXIST'],
      [() => disk.unlink('/d'), 'EISDIR'],
      [() => disk.list('/d/C'), 'ENOTDIR'],
      [() => disk.rename('/d/C', '/d'), 'EISDIR'],
      [() => disk.open('/d/../d/C', 'read'), 'EINVAL'],
    ];
    for (const [call, code] of refused) expect(call).toThrow(expect.objectContaining({ code }));
  });

  test('links are not followed in the last part, are in the others; hard links are counted', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    sim.surgery.putFile('/real/f', filled(1, 9));
    sim.surgery.putSymlink('/alias', '/real');
    sim.surgery.putSymlink('/real/link', 'f');
    sim.surgery.putOther('/real/fifo');
    sim.surgery.putHardLink('/real/twin', '/real/f');
    expect([...disk.read(disk.open('/alias/f', 'read'), 0, 1)]).toEqual([9]);
    expect(() => disk.open('/real/link', 'read')).toThrow(
      expect.objectContaining({ code: 'ELOOP' }),
    );
    expect(disk.stat('/real/link').kind).toBe('symlink');
    expect(disk.stat('/real/fifo').kind).toBe('other');
    expect(disk.stat('/real/f').links).toBe(2);
    const fifo = disk.open('/real/fifo', 'write');
    expect(() => disk.write(fifo, 0, filled(1, 1))).toThrow(
      expect.objectContaining({ code: 'ESPIPE' }),
    );
  });

  test('a lock has one holder, notices that its file was removed, and ends with the process', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    const lock = disk.lock('/LOCK');
    expect(() => disk.lock('/LOCK')).toThrow(expect.objectContaining({ code: 'EWOULDBLOCK' }));
    expect(lock.isIntact()).toBe(true);
    disk.unlink('/LOCK');
    expect(lock.isIntact()).toBe(false);
    const second = disk.lock('/LOCK');
    second.release();
    disk.lock('/LOCK');
    sim.kill();
    disk.lock('/LOCK');
  });

  test('read-only disks and files refuse to be changed', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    sim.surgery.putFile('/f', filled(1, 1));
    sim.surgery.putFile('/mine', filled(1, 1));
    sim.surgery.setReadOnly('/f', true);
    expect(() => disk.open('/f', 'write')).toThrow(expect.objectContaining({ code: 'EACCES' }));
    disk.close(disk.open('/f', 'read'));
    const file = disk.open('/mine', 'write');
    sim.readOnly = true;
    expect(() => disk.write(file, 0, filled(1, 1))).toThrow(
      expect.objectContaining({ code: 'EROFS' }),
    );
    expect(() => disk.open('/new', 'create')).toThrow(expect.objectContaining({ code: 'EROFS' }));
    expect(disk.read(disk.open('/f', 'read'), 0, 1).length).toBe(1);
  });

  test('a buffer that changes while the disk owns it ends the run', () => {
    const sim = newDisk();
    const file = new Sync(sim).open('/f', 'create');
    const buffer = filled(10, 1);
    sim.writev(file, [buffer], 0, () => {});
    buffer[3] = 2;
    expect(() => sim.drain()).toThrow(/changed while the disk owned it/);
  });

  test("a read's target holds garbage until the completion", () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    const file = disk.open('/f', 'create');
    disk.write(file, 0, filled(4, 7));
    const target = filled(4, 7);
    let count = -1;
    sim.read(file, target, 0, (_error, value) => {
      count = value;
    });
    expect([...target]).toEqual([0xdb, 0xdb, 0xdb, 0xdb]);
    sim.drain();
    expect([count, ...target]).toEqual([4, 7, 7, 7, 7]);
  });

  test('using a closed file, closing twice and closing under an operation end the run', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    const file = disk.open('/f', 'create');
    sim.datasync(file, () => {});
    expect(() => disk.close(file)).toThrow(/in flight/);
    sim.drain();
    disk.close(file);
    expect(() => disk.close(file)).toThrow(/closed twice/);
    expect(() => disk.write(file, 0, filled(1, 1))).toThrow(/which is closed/);
  });

  test('room runs out in the middle of a write: what fits is written, then ENOSPC, and room can come back', () => {
    const sim = newDisk(1, { capacityBytes: 8192 });
    const disk = new Sync(sim);
    const file = disk.open('/f', 'create');
    expect(disk.write(file, 100, filled(10_000, 1))).toBe(8092);
    expect(() => disk.write(file, 8192, filled(10, 1))).toThrow(
      expect.objectContaining({ code: 'ENOSPC' }),
    );
    expect(disk.write(file, 0, filled(8192, 2))).toBe(8192);
    sim.capacityBytes = 12_288;
    expect(disk.write(file, 8192, filled(10, 1))).toBe(10);
  });

  test('a file past the page cache takes whole blocks, from memory made for it, and nothing else', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    disk.close(disk.open('/f', 'create'));
    const { bytes: memory } = sim.alignedMemory(5 * 4096) as AlignedMemory;
    expect([memory.length, memory.every((byte) => byte === 0)]).toEqual([5 * 4096, true]);
    memory.fill(7);
    const file = disk.open('/f', 'writeDirect');
    const refused: [number, Uint8Array[]][] = [
      [0, [filled(4096, 1)]],
      [0, [memory.subarray(0, 4096), filled(4096, 1)]],
      [512, [memory.subarray(0, 4096)]],
      [0, [memory.subarray(512, 4608)]],
      [0, [memory.subarray(0, 4608)]],
      [0, [memory.subarray(0, 512), memory.subarray(512, 4096)]],
    ];
    for (const [offset, buffers] of refused) {
      expect(() => disk.write(file, offset, ...buffers)).toThrow(
        expect.objectContaining({ code: 'EINVAL' }),
      );
    }
    expect(disk.stat('/f').bytes).toBe(0);
    expect(disk.write(file, 4096, memory.subarray(0, 8192), memory.subarray(8192, 12_288))).toBe(
      12_288,
    );
    expect([...disk.read(file, 4095, 2)]).toEqual([0, 7]);
    disk.close(file);
    // Any other mode takes any memory.
    expect(disk.write(disk.open('/f', 'writeSync'), 1, filled(3, 1))).toBe(3);
    sim.hasDirect = false;
    expect(() => disk.open('/f', 'writeDirect')).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
    expect(() => disk.open('/absent', 'writeDirect')).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    );
  });

  test('a short write past the page cache ends at a sector, one before its first sector at that', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    disk.close(disk.open('/f', 'create'));
    const file = disk.open('/f', 'writeDirect');
    const { bytes: memory } = sim.alignedMemory(8192) as AlignedMemory;
    const written = [1, 600, 4096, 5000, 8191, 9000].map((bytes) => {
      sim.plan({ op: 'writev', effect: { kind: 'short', bytes } });
      return disk.write(file, 0, memory);
    });
    expect(written).toEqual([512, 512, 4096, 4608, 7680, 8192]);
  });

  test('a write that is durable when it is answered makes its own bytes durable, and no others', () => {
    for (const mode of ['writeSync', 'writeDirect'] as const) {
      const sim = newDisk();
      const disk = new Sync(sim);
      const cached = disk.open('/f', 'create');
      disk.syncDir('/');
      const file = disk.open('/f', mode);
      const { bytes: memory } = sim.alignedMemory(4096) as AlignedMemory;
      disk.write(cached, 0, filled(4096, 1));
      disk.write(file, 8192, memory.fill(2));
      disk.write(cached, 12_288, filled(4096, 3));
      // An older write of the same place is not what a power cut leaves there.
      disk.write(cached, 4096, filled(4096, 4));
      disk.write(file, 4096, memory.fill(5));
      expect(sim.pendingOrders().map(({ bytes }) => bytes)).toEqual([4096, 4096]);
      sim.crash(loseEverything);
      const found = disk.read(disk.open('/f', 'read'), 0, 20_000);
      expect([found.length, found[0], found[4096], found[8192]]).toEqual([12_288, 0, 5, 2]);
    }
  });

  test('a power cut may tear a write that was to be durable and was not answered yet', () => {
    for (const mode of ['writeSync', 'writeDirect'] as const) {
      const seen = new Set<string>();
      for (let seed = 1; seed <= 60; seed++) {
        const sim = newDisk(seed);
        const disk = new Sync(sim);
        sim.surgery.putFile('/f', filled(4096, 1));
        const file = disk.open('/f', mode);
        const memory = (sim.alignedMemory(4096) as AlignedMemory).bytes.fill(2);
        sim.writev(file, [memory], 0, () => seen.add('answered'));
        sim.crash(randomCrash());
        const found = disk.read(disk.open('/f', 'read'), 0, 4096);
        const news = found.filter((byte) => byte === 2).length;
        seen.add(news === 0 ? 'lost' : news === 4096 ? 'kept' : 'torn');
      }
      expect([...seen].sort()).toEqual(['kept', 'lost', 'torn']);
    }
  });

  test('files that are open are listed until they are closed or the process ends', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    const first = disk.open('/f', 'create');
    disk.open('/f', 'writeDirect');
    expect(sim.openFiles).toEqual([
      { path: '/f', mode: 'create' },
      { path: '/f', mode: 'writeDirect' },
    ]);
    disk.close(first);
    expect(sim.openFiles).toEqual([{ path: '/f', mode: 'writeDirect' }]);
    sim.kill();
    expect(sim.openFiles).toEqual([]);
  });

  test('an image tells whether anything changed, and starts another disk with the same state', () => {
    const sim = newDisk();
    const disk = new Sync(sim);
    disk.mkdir('/d');
    const file = disk.open('/d/f', 'create');
    disk.write(file, 0, filled(5000, 1));
    const before = sim.image();
    disk.read(file, 0, 10);
    expect(sim.image().equals(before)).toBe(true);
    disk.write(file, 4999, filled(1, 2));
    disk.close(disk.open('/d/g', 'create'));
    expect(before.differences(sim.image())).toEqual([
      '/d/f (5000 and 5000 bytes) differs at 4999',
      '/d/g is only in the second',
    ]);
    const twin = SimDisk.fromImage(before, new SimRng(5));
    expect(twin.surgery.read('/d/f')).toEqual(filled(5000, 1));
    twin.crash({ write: () => 'lost', name: () => false });
    expect(twin.image().paths()).toEqual([]);
    expect(sim.surgery.list('/d')).toEqual(['f', 'g']);
  });

  test('surgery: bit, zeros, cut, misdirected bytes, swapped and removed files', () => {
    const sim = newDisk();
    const { surgery } = sim;
    surgery.putFile('/a', Uint8Array.of(1, 2, 3, 4));
    surgery.putFile('/b', Uint8Array.of(9, 9));
    surgery.flipBit('/a', 9);
    expect([...surgery.read('/a')]).toEqual([1, 0, 3, 4]);
    surgery.zero('/a', 2, 1);
    surgery.misdirect({ path: '/a', offset: 0 }, { path: '/b', offset: 1 }, 2);
    expect([...surgery.read('/b')]).toEqual([9, 1, 0]);
    surgery.swap('/a', '/b');
    surgery.truncate('/a', 1);
    surgery.truncate('/b', 6);
    surgery.remove('/b');
    surgery.rename('/a', '/c');
    expect(sim.image().paths()).toEqual(['/c']);
    expect([...sim.image().read('/c')]).toEqual([9]);
    sim.crash({ write: () => 'lost', name: () => false });
    expect([...surgery.read('/c')]).toEqual([9]);
  });

  test('on a kernel operations take time, more on a slow disk, and none completes during a stall', () => {
    const kernel = new SimKernel({ seed: 4 });
    const owner = kernel.owner('host');
    const sim = new SimDisk(
      {
        after: (delayUs, label, run) => void kernel.schedule(delayUs, owner, label, run),
        fold: (word) => kernel.fold(word),
        nowUs: () => kernel.nowUs,
      },
      kernel.rng.fork('disk'),
    );
    const took = (): number => {
      const start = kernel.nowUs;
      let end = -1;
      sim.mkdir(`/d${start}`, () => {
        end = kernel.nowUs;
      });
      kernel.runUntilIdle();
      return end - start;
    };
    const quick = took();
    expect(quick).toBeGreaterThanOrEqual(5);
    sim.slowness = 1000;
    expect(took()).toBeGreaterThan(4000);
    sim.slowness = 1;
    sim.stall(1_000_000);
    expect(took()).toBe(1_000_000);
  });
});
