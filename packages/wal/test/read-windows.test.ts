// Records that lie side by side are read back together, and never wrongly.

import * as fs from 'node:fs';
import * as path from 'node:path';
import { createNodeWorld } from '@flotilla/io';
import { describe, expect, it } from 'vitest';
import type { WalWorld } from '../src/api.ts';
import { createLog, openLog, tempDir } from './harness.ts';

const groups = 4;
const entries = 100;

function payloadOf(group: number, index: number): string {
  return `entry ${index} of ${group} ${'y'.repeat((index * 7) % 200)}`;
}

async function written(): Promise<string> {
  const directory = tempDir();
  const log = await createLog(directory);
  const slots = Array.from({ length: groups }, (_, i) => log.group(i + 1));
  for (let index = 1; index <= entries; index++) {
    slots.forEach((slot, i) => log.append(slot, index, [payloadOf(i + 1, index)]));
    if (index % 10 === 0) await log.sync();
  }
  await log.close();
  return directory;
}

function countingWorld(): { readonly world: WalWorld; reads: number } {
  const world = createNodeWorld();
  const counted = { world, reads: 0 };
  const read = world.disk.read.bind(world.disk);
  world.disk.read = (...args) => {
    counted.reads++;
    read(...args);
  };
  return counted;
}

describe('records that are read back from disk', () => {
  it('cost far fewer reads than there are records where groups are read side by side', async () => {
    const counted = countingWorld();
    const log = await openLog({ directory: await written() }, counted.world);
    const found = log.wal.recoveredGroups();
    counted.reads = 0;
    for (let index = 1; index <= entries; index++) {
      const payloads = await Promise.all(found.map(({ slot }) => log.payload(slot, index)));
      expect(payloads).toEqual(found.map(({ groupId }) => payloadOf(groupId, index)));
    }
    const { readsFromDisk } = log.wal.counters;
    expect(readsFromDisk).toBe(groups * entries);
    // 80 KiB in units of 16 KiB; what crosses a border, or lies where the log is still written, is read alone.
    expect(counted.reads).toBeLessThan(readsFromDisk / 4);
    await log.close();
  });

  it('are damaged alone where one of them is: its neighbours are read, and it says so', async () => {
    const directory = await written();
    const segment = fs.readdirSync(directory).find((name) => name.endsWith('.seg')) as string;
    const file = path.join(directory, segment);
    const bytes = fs.readFileSync(file);
    const needle = new TextEncoder().encode(payloadOf(2, 20));
    const at = bytes.indexOf(needle);
    expect(at).toBeGreaterThan(0);
    const log = await openLog({ directory });
    // After recovery, which would have refused it.
    bytes[at] = (bytes[at] as number) ^ 1;
    fs.writeFileSync(file, bytes, { flag: 'r+' });
    const found = log.wal.recoveredGroups();
    for (const { slot, groupId } of found) {
      const load = log.payload(slot, 20);
      if (groupId === 2) await expect(load).rejects.toMatchObject({ code: 'WAL_ENTRY_CORRUPT' });
      else expect(await load).toBe(payloadOf(groupId, 20));
    }
    await log.close();
  });

  it('are what was written last, also where their part of a segment was read while it was being written', async () => {
    const directory = await written();
    const log = await openLog({ directory });
    const slots = log.wal.recoveredGroups().map(({ slot }) => slot);
    // Reads beside the place where the log goes on, then enough entries that these leave memory.
    for (const slot of slots) expect(await log.payload(slot, entries)).toContain(`${entries} of`);
    for (let index = entries + 1; index <= entries * 6; index++) {
      slots.forEach((slot, i) => log.append(slot, index, [payloadOf(i + 1, index)]));
      if (index % 10 === 0) await log.sync();
      const early = index - entries > 50 ? index - 50 : entries;
      expect(await log.payload(slots[0] as number, early)).toBe(payloadOf(1, early));
    }
    await log.sync();
    for (const slot of slots) {
      for (let index = entries - 5; index <= entries * 6; index++) {
        expect(await log.payload(slot, index)).toBe(payloadOf(slots.indexOf(slot) + 1, index));
      }
    }
    await log.close();
  });
});
