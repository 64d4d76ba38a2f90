import type { FlotillaError } from '@flotilla/io';
import { describe, expect, it } from 'vitest';
import { segmentName } from '../src/format.ts';
import { append, directory, lastIndexes, openGroup, SimLogHost, storeWith } from './sim-harness.ts';

/** Every so many bits; each one with WAL_EVERY_BIT=1. */
const stride = (bits: number): number => (process.env.WAL_EVERY_BIT === '1' ? 1 : bits);

const store = `${directory}/STORE`;
const segment = (id: number): string => `${directory}/${segmentName(id)}`;

/** A killed store of at least four segments, the last batch witnessed. */
function longStore(): SimLogHost {
  const host = new SimLogHost();
  const log = host.open();
  const slot = openGroup(log, 1);
  for (let index = 1; index <= 60; index++) {
    append(log, slot, index, ['x'.repeat(7000)]);
    host.sync(log);
  }
  host.runMs(500);
  host.kill();
  host.disk.settle();
  expect(host.disk.surgery.exists(segment(4))).toBe(true);
  return host;
}

function refuses(host: SimLogHost, reason: string, code = 'WAL_CORRUPT'): FlotillaError {
  const before = host.disk.image();
  const error = host.refusal();
  expect([error.code, error.details.reason]).toEqual([code, reason]);
  expect(host.disk.image().differences(before)).toEqual([]);
  return error;
}

describe('segment headers and names', () => {
  it('WF5: any flipped bit of a header, of a sealed and of the active segment, refuses', () => {
    const host = longStore();
    for (const id of [1, 2, 4]) {
      for (let bit = 0; bit < 128 * 8; bit += id === 2 ? 1 : stride(13)) {
        host.disk.surgery.flipBit(segment(id), bit);
        const error = host.refusal();
        expect([bit, error.details.reason]).toEqual([bit, 'E_SEG_HEADER']);
        host.disk.surgery.flipBit(segment(id), bit);
      }
    }
    host.disk.surgery.flipBit(segment(2), 4000 * 8);
    refuses(host, 'E_SEG_HEADER');
  });

  it('WF20: a copy of a segment under the next id refuses', () => {
    const host = longStore();
    host.disk.surgery.copyFile(segment(2), segment(3));
    expect(refuses(host, 'E_SEG_HEADER').message).toContain('under another name');
  });

  it('WF20: a copy of the newest segment under the next id refuses, though STORE knows of no such segment', () => {
    const host = longStore();
    host.disk.surgery.copyFile(segment(4), segment(5));
    expect(refuses(host, 'E_SEG_HEADER').message).toContain('under another name');
  });

  it('WF21: stray names are told and left alone', () => {
    const host = storeWith(3).host;
    const strays = [
      `${segmentName(1)}.bak`,
      '0000000000000001 (1).seg',
      '000000000000000A.seg',
      'notes.txt',
    ];
    for (const name of strays)
      host.disk.surgery.putFile(`${directory}/${name}`, new Uint8Array(10));
    const log = host.open();
    expect(lastIndexes(log)).toEqual({ 1: 2 });
    for (const name of strays) expect(host.info.join('\n')).toContain(name);
    host.close(log);
    for (const name of strays) expect(host.disk.surgery.exists(`${directory}/${name}`)).toBe(true);
  });

  it('WF22: a missing first, middle or last segment refuses', () => {
    for (const id of [1, 2, 3, 4]) {
      const host = longStore();
      const last = host.disk.surgery.exists(segment(5)) ? 5 : 4;
      host.disk.surgery.remove(segment(id === 4 ? last : id));
      refuses(host, 'E_SEG_MISSING');
    }
  });

  it('WF23: two segments that changed names refuse', () => {
    const host = longStore();
    host.disk.surgery.swap(segment(2), segment(3));
    refuses(host, 'E_SEG_HEADER');
  });

  it('WF24: a leftover below the oldest segment is removed', () => {
    const host = new SimLogHost();
    const log = host.open();
    const slot = openGroup(log, 1);
    host.sync(log);
    let first: Uint8Array | null = null;
    let index = 0;
    while (log.wal.counters.segmentsFreed === 0 && index < 300) {
      append(log, slot, ++index, ['x'.repeat(7000)]);
      log.wal.noteCommit(slot, index);
      if (index % 8 === 0) log.wal.layCompact(slot, index - 4);
      host.sync(log);
      if (first === null && log.wal.counters.rotations === 1)
        first = host.disk.surgery.read(segment(1));
      host.runMs(5);
    }
    host.kill();
    host.disk.settle();
    expect(host.disk.surgery.exists(segment(1))).toBe(false);
    // As if the power had gone before the purge had removed the name.
    host.disk.surgery.putFile(segment(1), first as Uint8Array);
    expect(host.inspect().survey?.leftovers).toEqual([segmentName(1)]);
    expect(host.disk.surgery.exists(segment(1))).toBe(true);
    expect(lastIndexes(host.open())).toEqual({ 1: index });
    expect(host.disk.surgery.exists(segment(1))).toBe(false);
  });

  it('WF25: an id above the newest is taken over when empty or carried, and refuses with a normal batch', () => {
    const empty = storeWith(3).host;
    empty.disk.surgery.putFile(segment(2), new Uint8Array(128 * 1024));
    const log = empty.open();
    expect(lastIndexes(log)).toEqual({ 1: 2 });
    empty.close(log);

    // A recovery that was cut short: its carry-over segment stands, STORE does not know it.
    const carried = storeWith(3).host;
    const before = carried.disk.surgery.read(store);
    const recovered = carried.open();
    expect(recovered.wal.report.carriedBatches).toBe(1);
    carried.kill();
    carried.disk.settle();
    carried.disk.surgery.putFile(store, before);
    const again = carried.open();
    expect(again.wal.report).toMatchObject({ carriedBatches: 1, lastSeq: 5 });
    expect(lastIndexes(again)).toEqual({ 1: 2 });
    carried.close(again);
    expect(lastIndexes(carried.open())).toEqual({ 1: 2 });

    // Behind a carried batch stands one that was acknowledged: STORE is older than the data.
    const normal = storeWith(3).host;
    const older = normal.disk.surgery.read(store);
    const used = normal.open();
    append(used, 0, 3, ['acknowledged']);
    normal.sync(used);
    normal.kill();
    normal.disk.settle();
    normal.disk.surgery.putFile(store, older);
    refuses(normal, 'E_SEG_UNEXPECTED');
  });

  it('WF26: STORE from an older backup beside newer segments refuses', () => {
    const host = new SimLogHost();
    const log = host.open();
    const slot = openGroup(log, 1);
    host.sync(log);
    const before = host.disk.surgery.read(store);
    for (let index = 1; index <= 40; index++) {
      append(log, slot, index, ['x'.repeat(7000)]);
      host.sync(log);
    }
    host.kill();
    host.disk.settle();
    host.disk.surgery.putFile(store, before);
    refuses(host, 'E_SEG_UNEXPECTED');
  });

  it('WF27: a segment of another store refuses', () => {
    const host = longStore();
    const other = new SimLogHost(99);
    const log = other.open();
    const slot = openGroup(log, 1);
    for (let index = 1; index <= 30; index++) {
      append(log, slot, index, ['x'.repeat(7000)]);
      other.sync(log);
    }
    other.kill();
    const above = host.fork();
    above.disk.surgery.putFile(segment(5), other.disk.surgery.read(segment(2)));
    refuses(above, 'E_UUID');
    host.disk.surgery.putFile(segment(2), other.disk.surgery.read(segment(2)));
    refuses(host, 'E_UUID');
  });

  it('WF30: a rotation whose rename survived but whose header or name did not opens', () => {
    const built = storeWith(3).host;
    for (const content of [new Uint8Array(128 * 1024), new Uint8Array(0)]) {
      const host = built.fork();
      host.disk.surgery.putFile(segment(2), content);
      expect(lastIndexes(host.open())).toEqual({ 1: 2 });
    }
    const spare = built.fork();
    spare.disk.surgery.copyFile(segment(1), `${directory}/spare-0007.seg`);
    expect(lastIndexes(spare.open())).toEqual({ 1: 2 });
  });

  it('WF52: links and things that are not files refuse', () => {
    const fifo = longStore();
    fifo.disk.surgery.remove(segment(2));
    fifo.disk.surgery.putOther(segment(2));
    refuses(fifo, 'E_NOT_FILE', 'IO_REFUSED');
    const link = longStore();
    link.disk.surgery.copyFile(segment(2), '/data/elsewhere');
    link.disk.surgery.remove(segment(2));
    link.disk.surgery.putSymlink(segment(2), '/data/elsewhere');
    refuses(link, 'E_NOT_FILE', 'IO_REFUSED');
    const folder = longStore();
    folder.disk.surgery.remove(store);
    folder.disk.surgery.putDirectory(store);
    refuses(folder, 'E_NOT_FILE', 'IO_REFUSED');
    const linked = storeWith(2).host;
    linked.disk.surgery.putSymlink('/data/link', directory);
    expect(linked.refusal({ directory: '/data/link' }).details.reason).toBe('E_SYMLINK');
  });
});

describe('STORE', () => {
  it('WF6: with one damaged slot opens from the other or refuses, and never with less data', () => {
    const closed = storeWith(4, { closed: true }).host;
    let opened = 0;
    for (const slot of [0, 1]) {
      for (let bit = 0; bit < 256 * 8; bit += stride(11)) {
        const host = closed.fork();
        host.disk.surgery.flipBit(store, slot * 4096 * 8 + bit);
        expect([bit, host.inspect().survey?.store.slots[slot] ?? null]).toEqual([bit, null]);
        const log = host.tryOpen();
        if (log instanceof Error) continue;
        opened++;
        expect(lastIndexes(log)).toEqual({ 1: 3 });
      }
    }
    expect(opened).toBeGreaterThan(300);
  });

  it('WF6: with the slot damaged that alone knows the newest segment refuses', () => {
    const rotated = longStore();
    const last = lastIndexes(rotated.fork().open());
    const newestSeg = rotated.fork().inspect().survey?.store.current.newestSeg;
    let refused = 0;
    for (const slot of [0, 1]) {
      const host = rotated.fork();
      host.disk.surgery.flipBit(store, (slot * 4096 + 64) * 8);
      if (host.inspect().survey?.store.current.newestSeg === newestSeg) {
        expect(lastIndexes(host.open())).toEqual(last);
      } else {
        refuses(host, 'E_SEG_UNEXPECTED');
        refused++;
      }
    }
    expect(refused).toBe(1);
  });

  it('WF7: with both slots damaged refuses', () => {
    const { host } = storeWith(3, { closed: true });
    host.disk.surgery.flipBit(store, 900);
    host.disk.surgery.flipBit(store, 4096 * 8 + 70);
    refuses(host, 'E_STORE');
  });

  it('WF8: with garbage in slot W opens', () => {
    const { host } = storeWith(3, { witnessed: true });
    for (let bit = 0; bit < 256 * 8; bit += stride(11)) {
      const copy = host.fork();
      copy.disk.surgery.flipBit(store, 2 * 4096 * 8 + bit);
      expect([bit, lastIndexes(copy.open())]).toEqual([bit, { 1: 2 }]);
    }
    host.disk.surgery.overwrite(store, 2 * 4096, new Uint8Array(4096).fill(0xa5));
    expect(lastIndexes(host.open())).toEqual({ 1: 2 });
  });

  it('cut short or absent refuses', () => {
    const { host } = storeWith(3, { closed: true });
    host.disk.surgery.truncate(store, 100);
    refuses(host, 'E_STORE');
    host.disk.surgery.remove(store);
    expect(host.refusal({ create: false }).code).toBe('WAL_ABSENT');
    expect(host.refusal({ create: true }).code).toBe('WAL_NOT_EMPTY');
  });

  it('older than the batches in the newest segment refuses', () => {
    const { host } = storeWith(3, { closed: true });
    const before = host.disk.surgery.read(store);
    const log = host.open();
    append(log, 0, 3, ['3']);
    host.close(log);
    host.disk.surgery.putFile(store, before);
    expect(host.refusal().details.reason).toMatch(/^E_/);
  });
});

it('WF49: times and the order of names decide nothing', () => {
  const { host } = storeWith(4);
  host.start();
  host.host.clock.jumpWall(-10 * 365 * 86_400_000);
  expect(lastIndexes(host.open())).toEqual({ 1: 3 });

  const long = longStore();
  const expected = lastIndexes(long.fork().open());
  const { disk } = long.life;
  const list = disk.list.bind(disk);
  disk.list = (path, callback) =>
    list(path, (error, names) => callback(error, error === null ? [...names].reverse() : names));
  expect(lastIndexes(long.open())).toEqual(expected);
});

it('WF50: a second opener is refused, a killed holder frees the lock, a deleted lock file poisons at the next rotation', () => {
  const host = new SimLogHost();
  const log = host.open();
  const slot = openGroup(log, 1);
  host.sync(log);
  const second = host.tryOpen();
  expect(second).toMatchObject({ code: 'WAL_LOCKED' });
  host.kill();
  const third = host.open();
  host.disk.surgery.remove(`${directory}/LOCK`);
  for (let index = 1; index <= 40 && third.poison.length === 0; index++) {
    append(third, slot, index, ['x'.repeat(7000)]);
    host.sync(third);
  }
  expect(third.poison[0]).toMatchObject({ code: 'WAL_POISONED' });
  expect(host.disk.surgery.list(directory)).not.toContain(segmentName(3));
});

it('WF51: a directory that may not be written refuses as E_ACCESS, and can still be inspected', () => {
  const { host } = storeWith(3);
  host.disk.readOnly = true;
  expect(host.refusal().details.reason).toBe('E_ACCESS');
  expect(host.inspect()).toMatchObject({ refusal: null, verdict: 'cleanEnd', lastSeq: 3 });
  host.disk.readOnly = false;
  host.disk.surgery.setReadOnly(segment(1), true);
  expect(host.inspect().refusal).toBeNull();
});

it('WF67: inspecting changes nothing, whatever is wrong', () => {
  const { host, batches } = storeWith(4);
  const { path, offset } = batches[1] as (typeof batches)[number];
  host.disk.surgery.flipBit(path, offset * 8 + 900);
  const before = host.disk.image();
  expect(host.inspect().refusal?.reason).toBe('E_CORRUPT_ACKED');
  expect(host.disk.image().differences(before)).toEqual([]);
});
