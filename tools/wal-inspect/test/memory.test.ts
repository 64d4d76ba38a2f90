// What a command takes beside a log of many records or of many groups, as the operating system counted it. The figures
// depend on what is allocated and forgotten, not on how fast the machine is; measured ones stand in the README.

import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createLog, layEntries, tempDir } from '../../../packages/wal/test/harness.ts';
import { peakMiB } from './peak.ts';

const mib = 1024 * 1024;
const program = fileURLToPath(new URL('../dist/main.js', import.meta.url));

/** One record an entry of `payloadBytes`, the groups in turn, a thousand records a batch. */
async function logOf(groups: number, records: number, payloadBytes: number): Promise<string> {
  const directory = tempDir();
  const log = await createLog(directory, {
    segmentBytes: 32 * mib,
    slabBytes: mib,
    batchBytesSoft: 4 * mib,
    entryBytesMax: 4 * mib,
    cacheBytes: 4 * mib,
    syncMethod: 'none',
    reserve: false,
  });
  const slots: number[] = [];
  for (let group = 1; group <= groups; group++) {
    slots.push(log.group(group));
    if (group % 1000 === 0) await log.sync();
  }
  await log.sync();
  const payloads = ['p'.repeat(payloadBytes)];
  for (let record = 0; record < records; record++) {
    const slot = slots[record % groups] as number;
    layEntries(log.wal, slot, Math.floor(record / groups) + 1, payloads, 1);
    if (record % 1000 === 999 || payloadBytes > mib) await log.sync();
  }
  await log.sync();
  await log.close();
  return directory;
}

describe.runIf(process.platform === 'linux')('the memory of a command', () => {
  it('is at most 64 MiB above an empty process and the index, of many records and with the threads asked for', {
    timeout: 120_000,
  }, async () => {
    const records = 300_000;
    const directory = await logOf(100, records, 200);
    // Counts as a log that is worth threads; nothing is read behind the capacity that the header names.
    fs.truncateSync(path.join(directory, '0000000000000001.seg'), 300 * mib);
    const empty = peakMiB(['-e', '0']);
    const index = (17 * records) / mib;
    const aboveOf = (command: string, ...rest: readonly string[]): number =>
      peakMiB([program, command, directory, ...rest]) - empty - index;
    expect(aboveOf('verify', '--jobs', '2')).toBeLessThan(64);
    // Without threads more than this is garbage that nobody collects.
    for (const argv of [
      ['verify', '--jobs', '0', '--json'],
      ['stats'],
      ['dump'],
      ['dump', '--json', '--payload', 'hex'],
      ['group', '7'],
      ['entry', '7', '100'],
    ]) {
      const [command = '', ...rest] = argv;
      const above = aboveOf(command, ...rest);
      expect([argv, above < 40 || above]).toEqual([argv, true]);
    }
  });

  it('does not grow with what is said of many groups', { timeout: 120_000 }, async () => {
    const directory = await logOf(30_000, 30_000, 20);
    // Replays the same log into the same index, and says one line.
    const replayed = peakMiB([program, 'verify', directory]);
    for (const argv of [['groups'], ['groups', '--json'], ['stats'], ['export'], ['group', '7']]) {
      const [command = '', ...rest] = argv;
      const above = peakMiB([program, command, directory, ...rest]) - replayed;
      expect([argv, above < 20 || above]).toEqual([argv, true]);
    }
  });

  it('does not grow with the text of large entries', { timeout: 120_000 }, async () => {
    const directory = await logOf(2, 24, 3_900_000);
    const empty = peakMiB(['-e', '0']);
    for (const argv of [
      ['dump', '--payload', 'hex', '--json'],
      ['tail', '--payload', 'hex', '--lines', '40'],
      ['entry', '1', '2', '--payload', 'hex'],
      ['export'],
    ]) {
      const [command = '', ...rest] = argv;
      const above = peakMiB([program, command, directory, ...rest]) - empty;
      expect([argv, above < 48 || above]).toEqual([argv, true]);
    }
  });
});
