// The checksum of a batch that waits is made in steps while the one before is written. What stands on disk is right
// however the batch came to be: by many small turns, with records begun and left, across slab ends with their fillers,
// closed by its size, for want of room, or with its segment.

import { describe, expect, it } from 'vitest';
import { createLog, type LogUnderTest, openLog, tempDir } from './harness.ts';

const turns = 1000;

/** A length from 0 to 9 KiB that differs from turn to turn, large ones now and then. */
function lengthOf(turn: number): number {
  return (turn * 7919) % (turn % 5 === 0 ? 9000 : 700);
}

function payloadOf(turn: number): string {
  return `${turn} `.padEnd(lengthOf(turn), String.fromCharCode(97 + (turn % 26)));
}

/** Begins a record in the open batch, writes all over its memory, and lays nothing. */
function leaveRecord(log: LogUnderTest, slot: number, firstIndex: number, bytes: number): void {
  log.wal.beginEntries(slot, firstIndex, 1, 1, bytes);
  log.wal.entriesBytes.fill(0xa5, log.wal.entriesAt, log.wal.entriesAt + bytes);
}

describe('a batch that waits for the one before it', () => {
  for (const [name, options] of [
    ['closed by its size', {}],
    ['closed late', { segmentBytes: 256 * 1024, batchBytesSoft: 128 * 1024 }],
  ] as const) {
    it(`has the checksum of what is written, laid in many turns and ${name}`, async () => {
      const directory = tempDir();
      const log = await createLog(directory, options);
      const slot = log.group(1);
      const batchesBefore = log.wal.counters.batches;
      let written: Promise<void> = Promise.resolve();
      for (let turn = 1; turn <= turns; turn++) {
        log.append(slot, turn, [payloadOf(turn)]);
        // Nothing is answered before the loop ends: all of this waits behind the first batch.
        if (turn % 3 === 0) leaveRecord(log, slot, turn + 1, 64 + lengthOf(turn + 1));
        written = log.sync();
      }
      expect(log.wal.counters.batches).toBe(batchesBefore);
      await written;
      expect(log.wal.counters.rotations).toBeGreaterThan(2);
      await log.close();

      const again = await openLog({ directory, ...options });
      const [group] = again.wal.recoveredGroups();
      expect(group?.lastIndex).toBe(turns);
      for (let turn = 1; turn <= turns; turn++) {
        expect(await again.payload(slot, turn)).toBe(payloadOf(turn));
      }
      await again.close();
    });
  }
});
