import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32, putU32 } from '@flotilla/codec';
import { describe, expect, it } from 'vitest';
import {
  createLog,
  layEntries,
  openLog,
  type LogUnderTest,
  tempDir,
} from '../../../packages/wal/test/harness.ts';
import { inspect } from './inspect.ts';
import { peakMiB } from './peak.ts';

const mib = 1024 * 1024;
const roomy = {
  segmentBytes: 64 * mib,
  slabBytes: 4 * mib,
  batchBytesSoft: 32 * mib,
  entryBytesMax: 24 * mib,
  cacheBytes: 8 * mib,
};
const program = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const first = '0000000000000001.seg';

/** One batch of 31 MiB: a thousand small records, an entry of 20 MiB in the middle, and 180 records of 60 KiB. */
async function largeBatch(): Promise<{ directory: string; log: LogUnderTest }> {
  const directory = tempDir();
  const log = await createLog(directory, roomy);
  const slot = log.group(7);
  const other = log.group(8);
  await log.sync();
  for (let index = 1; index <= 1000; index++) layEntries(log.wal, slot, index, [`${index}`], 1);
  layEntries(log.wal, slot, 1001, ['y'.repeat(20 * mib)], 1);
  for (let index = 1; index <= 180; index++)
    layEntries(log.wal, other, index, ['z'.repeat(60_000)], 1);
  await log.sync();
  log.append(slot, 1002, ['last']);
  await log.sync();
  return { directory, log };
}

describe('a batch too large to be held at once', () => {
  it('is read in parts: every command shows what opening shows', async () => {
    const { directory, log } = await largeBatch();
    await log.close();
    const verify = JSON.parse((await inspect('verify', directory, '--index', '--json')).text);
    expect(verify).toMatchObject({ verdict: 'clean', exit: 0, groups: 2, index: { faults: 0 } });
    expect(verify.index.runs).toBe(1182);
    const stats = JSON.parse((await inspect('stats', directory, '--json')).text);
    expect(stats.entries).toMatchObject({ count: 1182, maxBytes: 20 * mib });
    expect(stats.batches.maxBytes).toBeGreaterThan(30 * mib);
    const dump = (await inspect('dump', directory, '--type', 'entries')).text.split('\n');
    expect(dump).toHaveLength(1182);
    expect(dump.filter((line) => line.includes(' crc ok '))).toHaveLength(1182);
    const seven = dump.filter((line) => line.includes(' group 7 '));
    expect(seven.map((line) => Number(/group 7 (\d+)/.exec(line)?.[1]))).toEqual(
      Array.from({ length: 1002 }, (_, i) => i + 1),
    );
    const entry = await inspect('entry', directory, '7', '1001', '--payload', 'utf8');
    expect(entry.text).toContain('crc ok');
    expect(entry.text).toContain('20971520 bytes as stored, too many to be shown; export writes');
    const lines = (await inspect('export', directory, '--group', '7')).text.split('\n');
    const large = JSON.parse(lines[1001] as string) as { index: number; payload: string };
    expect(large.index).toBe(1001);
    expect(Buffer.from(large.payload, 'base64').equals(Buffer.alloc(20 * mib, 'y'))).toBe(true);
    expect((await inspect('diff', directory, directory, '--deep')).text).toBe(
      '2 groups, 0 differences, 0 conflicts',
    );
    const opened = await openLog({ directory, ...roomy });
    const groups = opened.wal.recoveredGroups();
    expect(groups.map((group) => group.lastIndex)).toEqual([1002, 180]);
    expect(await opened.payload(groups[0]?.slot as number, 1001)).toBe('y'.repeat(20 * mib));
    await opened.close();
  });

  it('is damaged: opening and inspection refuse alike, and a flipped bit of its header is found', async () => {
    const { directory, log } = await largeBatch();
    await log.close();
    const file = path.join(directory, first);
    const header = 2 * 4096;
    expect(fs.readFileSync(file).toString('latin1', header, header + 4)).toBe('FLWB');
    for (const [at, bit, says] of [
      [header + 29 * mib, 3, 'CRC says'],
      [header + 9 * mib, 0, 'CRC says'],
      [header + 16, 1, 'flipping bit 1 of header byte 16 makes the whole batch hold'],
    ] as const) {
      const fd = fs.openSync(file, 'r+');
      const byte = new Uint8Array(1);
      fs.readSync(fd, byte, 0, 1, at);
      byte[0] = (byte[0] as number) ^ (1 << bit);
      fs.writeSync(fd, byte, 0, 1, at);
      const { code, text } = await inspect('explain', directory);
      expect([code, text]).toEqual([3, expect.stringContaining('E_CORRUPT_ACKED')]);
      expect(text).toContain(says);
      await expect(openLog({ directory, ...roomy })).rejects.toMatchObject({
        details: { reason: 'E_CORRUPT_ACKED', page: 2, seq: 2 },
      });
      byte[0] = (byte[0] as number) ^ (1 << bit);
      fs.writeSync(fd, byte, 0, 1, at);
      fs.closeSync(fd);
    }
    expect((await inspect('verify', directory)).code).toBe(0);
  });

  it('holds records that cannot be, under checksums that hold: the first of them is named', async () => {
    const { directory, log } = await largeBatch();
    await log.close();
    const file = path.join(directory, first);
    const bytes = fs.readFileSync(file);
    const header = 2 * 4096;
    const body = header + 64;
    const length = Math.ceil((64 + bytes.readUInt32LE(header + 32)) / 4096) * 4096;
    const recordAt: number[] = [];
    for (let at = body; recordAt.length < 1181; at += bytes.readUInt32LE(at + 4)) recordAt.push(at);
    const large = recordAt.find((at) => bytes.readUInt32LE(at + 4) > 20 * mib) as number;
    const cases: { at: number; block?: number; says: string }[] = [
      // A small record, the large one's shape, its payload, and one behind it.
      { at: (recordAt[500] as number) + 52, says: 'record 500 at +' },
      { at: large + 16 + 16, block: large + 16, says: 'a block of several entries with' },
      { at: large + 11 * mib, says: 'its block is broken (crc)' },
      { at: (recordAt[1150] as number) + 50_000, says: 'record 1150 at +' },
      { at: (recordAt[1100] as number) + 4, says: 'record' },
    ];
    for (const { at, block, says } of cases) {
      const forged = Buffer.from(bytes);
      forged[at] = (forged[at] as number) ^ 0x10;
      if (block !== undefined) {
        const head = crc32(forged, block - 8, block + 24);
        const end = block + forged.readUInt32LE(block + 20);
        putU32(forged, block + 24, crc32(forged, block + 28, end, head));
      }
      putU32(forged, header + 52, crc32(forged, body, header + length));
      putU32(forged, header + 60, crc32(forged, header, header + 60));
      fs.writeFileSync(file, forged);
      const verdict = JSON.parse((await inspect('verify', directory, '--json')).text);
      expect(verdict.refusal).toMatchObject({ reason: 'E_FORMAT', page: 2, seq: 2 });
      expect(verdict.refusal.summary).toContain(says);
      expect(verdict.groups).toBe(2);
      await expect(openLog({ directory, ...roomy })).rejects.toMatchObject({
        details: { reason: 'E_FORMAT', page: 2, seq: 2 },
      });
    }
  });

  it.runIf(process.platform === 'linux')(
    'takes at most 64 MiB above an empty process, whichever command reads it',
    {
      timeout: 120_000,
    },
    async () => {
      const { directory, log } = await largeBatch();
      await log.close();
      const empty = peakMiB(['-e', '0']);
      expect(empty).toBeGreaterThan(10);
      for (const argv of [
        ['verify', '--index'],
        ['explain'],
        ['ls'],
        ['groups'],
        ['stats'],
        ['dump', '--payload', 'hex'],
        ['export'],
        ['entry', '7', '1001', '--payload', 'utf8'],
        ['hexdump', '1:4000'],
      ]) {
        const [command = '', ...rest] = argv;
        const above = peakMiB([program, command, directory, ...rest]) - empty;
        expect([command, above < 64 || above]).toEqual([command, true]);
      }
    },
  );
});
