import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { RecordRef } from '../src/api.ts';
import { createLog, payloadIn, tempDir } from './harness.ts';

const long = (seed: number, bytes: number): string =>
  String.fromCharCode(97 + (seed % 26)).repeat(bytes);

describe('an open log', () => {
  it('has a record readable and placed in the stream the moment it is laid', async () => {
    const log = await createLog(tempDir());
    const slot = log.group(7);
    const first = log.append(slot, 1, ['one', 'two']);
    const second = log.append(slot, 3, ['three']);
    const ref = new RecordRef();
    expect(log.wal.lookup(slot, 2, ref)).toBe(true);
    expect([ref.firstIndex, ref.lastIndex, ref.term]).toEqual([1, 2, 1]);
    expect(payloadIn(ref, 2)).toBe('two');
    expect(second - first).toBe(ref.recLen);
    expect(log.wal.durablePosition).toBeLessThan(first);
    await log.sync();
    expect(log.wal.durablePosition).toBeGreaterThan(second);
    await log.close();
  });

  it('makes the turns that gather behind a batch in flight durable with one more batch', async () => {
    const log = await createLog(tempDir());
    const slot = log.group(1);
    log.wal.endTurn();
    for (let index = 1; index <= 10; index++) {
      log.append(slot, index, [`entry ${index}`]);
      log.wal.endTurn();
    }
    await log.sync();
    expect(log.wal.counters.batches).toBe(2);
    expect(log.wal.counters.syncs).toBe(2);
    await log.close();
  });

  it('rotates through segments and reads back what has left memory', async () => {
    const directory = tempDir();
    const log = await createLog(directory);
    const slots = [1, 2, 3].map((id) => log.group(id));
    for (let index = 1; index <= 60; index++) {
      for (const slot of slots) log.append(slot, index, [long(index + slot, 3000)]);
      await log.sync();
    }
    expect(log.wal.counters.rotations).toBeGreaterThan(3);
    for (let index = 1; index <= 60; index += 7) {
      for (const slot of slots) {
        expect(await log.payload(slot, index)).toBe(long(index + slot, 3000));
      }
    }
    expect(log.wal.counters.readsFromDisk).toBeGreaterThan(0);
    await log.close();
    expect(
      fs.readdirSync(directory).filter((name) => /^[0-9a-f]{16}\.seg$/.test(name)).length,
    ).toBe(log.wal.counters.rotations + 1);
    expect(fs.statSync(path.join(directory, '0000000000000001.seg')).size).toBe(128 * 1024);
  });

  it('gives a record that is longer than a slab a slab of several units', async () => {
    const log = await createLog(tempDir(), { cacheBytes: 0 });
    const slot = log.group(1);
    log.append(slot, 1, ['small']);
    log.append(slot, 2, [long(2, 30_000)]);
    log.append(slot, 3, ['after']);
    await log.sync();
    log.append(slot, 4, [long(4, 30_000)]);
    await log.sync();
    log.append(slot, 5, ['last']);
    await log.sync();
    expect(await log.payload(slot, 2)).toBe(long(2, 30_000));
    expect(await log.payload(slot, 3)).toBe('after');
    expect(await log.payload(slot, 4)).toBe(long(4, 30_000));
    await log.close();
  });

  it('hands out the memory of the stream between two records of a turn', async () => {
    const log = await createLog(tempDir());
    const slot = log.group(1);
    await log.sync();
    const from = log.append(slot, 1, ['aaaa']);
    log.append(slot, 2, ['bbbb']);
    const to = log.wal.position;
    const ranges: Uint8Array[] = [];
    expect(log.wal.rangesBetween(from, to, ranges)).toBe(true);
    const bytes = Buffer.concat(ranges);
    expect(bytes.length).toBe(to - from);
    expect(bytes.includes('aaaa') && bytes.includes('bbbb')).toBe(true);
    await log.sync();
    await log.close();
  });
});
