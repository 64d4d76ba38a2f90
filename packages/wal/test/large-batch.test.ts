import {
  blockBytesOf,
  blockHeaderBytes,
  crc32,
  putRecordHead,
  putU32,
  recordHeadBytes,
  recordTypes,
  sealBlockInRecord,
  tableSlot,
} from '@flotilla/codec';
import { describe, expect, it } from 'vitest';
import { checkRecords } from '../src/check-records.ts';
import { largeBlockFaults } from '../src/large-batch.ts';
import { entriesRecordBytes } from '../src/records.ts';

const payloadBytes = 20;
const unsafeHigh = 0x20_0000;

interface Numbers {
  readonly first: readonly [low: number, high: number];
  readonly term: readonly [low: number, high: number];
  readonly count: number;
  /** Of the first entry, by its table slot. */
  readonly stored: number;
  /** Bytes that the record is longer than its block needs. */
  readonly slack: number;
}

/** A record with these numbers under a right CRC. */
function recordOf({ first, term, count, stored, slack }: Numbers): Uint8Array {
  const blockBytes = blockBytesOf(1, payloadBytes);
  const recLen = entriesRecordBytes(blockBytes) + slack;
  const bytes = new Uint8Array(recLen);
  const head = { type: recordTypes.entries, flags: 0, generationLow: 1, recLen, groupId: 10 };
  putRecordHead(bytes, 0, head);
  const block = recordHeadBytes;
  const words = [...first, ...term, count, blockBytes];
  words.forEach((word, i) => {
    putU32(bytes, block + 4 * i, word);
  });
  putU32(bytes, block + blockHeaderBytes, tableSlot(stored, 0, 0));
  const crc = crc32(bytes, block - 8, block + 24);
  putU32(bytes, block + 24, crc32(bytes, block + 28, block + blockBytes, crc));
  return bytes;
}

describe('a record whose block is verified piece by piece', () => {
  it('is refused in the words in which one is that is held whole, whichever of its numbers cannot be', () => {
    const said = new Set<string>();
    const numbers = [
      [0, 0],
      [1, 0],
      [7, 1],
      [0, unsafeHigh],
      [0xffff_ffff, 0xffff_ffff],
    ] as const;
    for (const first of numbers) {
      for (const term of numbers) {
        for (const count of [0, 1, 7, 0xffff_ffff]) {
          for (const stored of [payloadBytes - 1, payloadBytes, payloadBytes + 1]) {
            for (const slack of [0, 8]) {
              const record = recordOf({ first, term, count, stored, slack });
              const whole = checkRecords(record, 0, record.length, 1)?.summary ?? 'sound';
              const { before, after } = largeBlockFaults(record, 0, record.length);
              const inPieces = before?.summary ?? after?.summary ?? 'sound';
              expect(whole.endsWith(inPieces), `${whole} | ${inPieces}`).toBe(true);
              said.add(inPieces);
              // With a wrong checksum only what is asked before it may be said.
              record[recordHeadBytes + 24] = (record[recordHeadBytes + 24] as number) ^ 1;
              const wrong = checkRecords(record, 0, record.length, 1)?.summary ?? 'sound';
              const expected = before?.summary ?? 'its block is broken (crc)';
              expect(wrong.endsWith(expected), `${wrong} | ${expected}`).toBe(true);
            }
          }
        }
      }
    }
    expect([...said].sort()).toEqual([
      'entries of term 0',
      'its block is broken (shape)',
      'its length is not its block’s',
      'sound',
    ]);
  });

  it('of several entries, longer than such a block may be, is refused in the same words: its flags, its room, its length', () => {
    const stored = 33_000;
    const blockBytes = blockBytesOf(2, 2 * stored);
    const recLen = entriesRecordBytes(blockBytes);
    const said = [
      { flags: 0, more: 0, term: 1 },
      { flags: 2, more: 0, term: 1 },
      { flags: 0xff, more: 0, term: 0 },
      { flags: 0, more: 8, term: 1 },
      { flags: 0, more: 8, term: 0 },
      { flags: 0, more: -8, term: 0 },
    ].map(({ flags, more, term }) => {
      const bytes = new Uint8Array(recLen + 8);
      const head = { type: recordTypes.entries, flags, generationLow: 1, groupId: 10 };
      putRecordHead(bytes, 0, { ...head, recLen: recLen + more });
      const block = recordHeadBytes;
      for (const i of [0, 1]) putU32(bytes, block + blockHeaderBytes + 4 * i, stored);
      sealBlockInRecord(bytes, block, { firstIndex: 1, term, count: 2, blockBytes });
      const { before, after } = largeBlockFaults(bytes, 0, recLen + more);
      const inPieces = before ?? after;
      const whole = checkRecords(bytes, 0, recLen + more, 1);
      const name = `record 0 at +0 (type 1, group 10): ${inPieces?.summary}`;
      expect(whole).toEqual({ fault: inPieces?.fault, summary: name });
      return inPieces?.summary;
    });
    expect(said).toEqual([
      `a block of several entries with ${blockBytes} bytes`,
      'unknown flags 2',
      'unknown flags 255',
      'its length is not its block’s',
      'entries of term 0',
      'its block is broken (short)',
    ]);
  });
});
