// The bytes on disk, pinned. A change here is a change of the format: it needs a new version, not a new expectation.

import { blockBytesOf, putU32, sealBlockInRecord, tableSlot, wordsOf } from '@flotilla/codec';
import { describe, expect, it } from 'vitest';
import {
  batchFlags,
  decodeSegmentHeader,
  decodeStoreSlot,
  decodeWitnessSlot,
  encodeSegmentHeader,
  encodeStoreSlot,
  encodeWitnessSlot,
  isBatchHeader,
  pageBytes,
  putBatchHeader,
  segmentIdOf,
  segmentName,
} from '../src/format.ts';
import {
  entriesRecordBytes,
  groupOpenRecordBytes,
  hardStateAt,
  putEntriesHead,
  putGroupOpen,
  putHardState,
  putPad,
  putTruncate,
} from '../src/records.ts';

const uuid = Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
/** Joins the pieces of a golden value, a field or a few each. */
const golden = (...pieces: string[]): string => pieces.join('').replaceAll(' ', '');

describe('golden bytes', () => {
  it('of a STORE slot', () => {
    const slot = {
      slotSeq: 9,
      uuid,
      instance: 0x1122334455667,
      epoch: 14,
      oldestSeg: 41,
      newestSeg: 44,
      durableSeq: 88_120,
      cleanSeq: 88_121,
      incompat: 0,
      compat: 3,
      createdMs: 1_700_000_000_000,
    };
    const page = encodeStoreSlot(slot);
    expect(page.length).toBe(4096);
    expect(hex(page.subarray(0, 256))).toBe(
      golden(
        '464c53544f524531', // FLSTORE1
        '0900000000000000',
        'a0a1a2a3a4a5a6a7 a8a9aaabacadaeaf',
        '6756453423120100',
        '0e00000000000000',
        '2900000000000000',
        '2c00000000000000',
        '3858010000000000',
        '3958010000000000',
        '00000000 03000000',
        '0068e5cf8b010000',
        '00'.repeat(156),
        '964a8c84',
      ),
    );
    expect(decodeStoreSlot(page, 0)).toEqual(slot);
  });

  it('of slot W', () => {
    const page = encodeWitnessSlot({ uuid, epoch: 14, durableSeq: 88_120 });
    expect(hex(page.subarray(0, 256))).toBe(
      golden(
        '464c53544f524557', // FLSTOREW
        '00'.repeat(8),
        'a0a1a2a3a4a5a6a7 a8a9aaabacadaeaf',
        '00'.repeat(8),
        '0e00000000000000',
        '00'.repeat(16),
        '3858010000000000',
        '00'.repeat(180),
        '07eb2e7d',
      ),
    );
    expect(decodeWitnessSlot(page, 0)).toEqual({ uuid, epoch: 14, durableSeq: 88_120 });
    expect(decodeStoreSlot(page, 0)).toBeNull();
  });

  it('of a segment header', () => {
    const header = {
      major: 1,
      minor: 0,
      headerLen: 4096,
      uuid,
      segId: 44,
      salt: 0xdeadbeef,
      epoch: 14,
      firstSeq: 87_991,
      oldestSeg: 41,
      prevSegId: 43,
      prevEnd: 67_108_864,
      prevLastSeq: 87_990,
      prevHdrCrc: 0x01020304,
      capacityPages: 16_384,
      incompat: 0,
      compat: 0,
      createdMs: 1_700_000_000_000,
    };
    const page = encodeSegmentHeader(header);
    expect(page.length).toBe(pageBytes);
    expect(hex(page.subarray(0, 128))).toBe(
      golden(
        '464c4f5453454731', // FLOTSEG1
        '0100 0000 00100000',
        'a0a1a2a3a4a5a6a7 a8a9aaabacadaeaf',
        '2c00000000000000',
        'efbeadde 0e000000',
        'b757010000000000',
        '2900000000000000',
        '2b00000000000000',
        '0000000400000000',
        'b657010000000000',
        '04030201 00400000',
        '00000000 00000000',
        '0068e5cf8b010000',
        '00'.repeat(12),
        '663754d6',
      ),
    );
    expect(decodeSegmentHeader(page)).toEqual(header);
    page[200] = 1;
    expect(decodeSegmentHeader(page)).toBeNull();
  });

  it('of a batch header', () => {
    const bytes = new Uint8Array(64);
    putBatchHeader(bytes, 0, {
      flags: batchFlags.carryOver | batchFlags.unsynced,
      segId: 44,
      seq: 88_120,
      salt: 0xdeadbeef,
      pageNo: 9114,
      bodyLen: 20_992,
      recordCount: 61,
      durableSeq: 88_119,
      prevHdrCrc: 0x01020304,
      bodyCrc: 0x9a31c2f0,
      epoch: 14,
    });
    expect(hex(bytes)).toBe(
      golden(
        '464c5742', // FLWB
        '01 09 4000',
        '2c00000000000000',
        '3858010000000000',
        'efbeadde 9a230000',
        '00520000 3d000000',
        '3758010000000000',
        '04030201 f0c2319a',
        '0e000000',
        '742c34f6',
      ),
    );
    expect(isBatchHeader(bytes, 0)).toBe(true);
    bytes[20] = 1;
    expect(isBatchHeader(bytes, 0)).toBe(false);
  });

  it('of an ENTRIES record', () => {
    const payload = new TextEncoder().encode('hello');
    const blockBytes = blockBytesOf(1, payload.length);
    const recLen = entriesRecordBytes(blockBytes);
    const laid = (bytes: Uint8Array, words: Int32Array | null): Uint8Array => {
      putEntriesHead(wordsOf(bytes), 0, recLen, 0x1_2345, 7012);
      putU32(bytes, 48, tableSlot(payload.length, 0, 0));
      bytes.set(payload, 52);
      sealBlockInRecord(bytes, 16, { firstIndex: 5519, term: 33, count: 1, blockBytes }, words);
      return bytes;
    };
    const bytes = laid(new Uint8Array(recLen), null);
    const same = new Uint8Array(recLen);
    expect(laid(same, wordsOf(same))).toEqual(bytes);
    expect(hex(bytes)).toBe(
      golden(
        '01 00 4523 40000000',
        '641b000000000000',
        '8f15000000000000 2100000000000000',
        '01000000 29000000',
        '70d1c056 00000000',
        '05000000 68656c6c6f',
        '00'.repeat(7),
      ),
    );
  });

  it('of the records of state', () => {
    const group = { groupId: 7012, generation: 3 };
    const hard = new Uint8Array(48);
    putHardState(hard, 0, group, 33, { nodeId: 2, generation: 3, instance: 99 }, 5516);
    expect(hex(hard)).toBe(
      golden(
        '02 00 0300 30000000 641b000000000000',
        '2100000000000000',
        '02000000 03000000 6300000000000000',
        '8c15000000000000',
      ),
    );
    expect(hardStateAt(hard, 0)).toEqual({
      term: 33,
      vote: { nodeId: 2, generation: 3, instance: 99 },
      commit: 5516,
    });

    const truncate = new Uint8Array(24);
    putTruncate(truncate, 0, group, 5517);
    expect(hex(truncate)).toBe(golden('03 00 0300 18000000 641b000000000000', '8d15000000000000'));

    const config = Uint8Array.from([0x93, 1, 2, 3, 0xc0]);
    const open = new Uint8Array(groupOpenRecordBytes(config.length)).fill(0xff);
    putGroupOpen(open, 0, group, 21, config);
    expect(hex(open)).toBe(
      golden(
        '06 03 0300 28000000 641b000000000000',
        '0300000000000000 1500000000000000',
        '93010203c0 000000',
      ),
    );

    const pad = new Uint8Array(32).fill(0xff);
    putPad(pad, 0, 32);
    expect(hex(pad)).toBe(golden('0a 00 0000 20000000 0000000000000000', '00'.repeat(16)));
  });
});

describe('names', () => {
  it('are 16 lower-case hex digits, and nothing else is a segment', () => {
    expect(segmentName(0x2a)).toBe('000000000000002a.seg');
    expect(segmentIdOf('000000000000002a.seg')).toBe(42);
    const others = [
      '000000000000002A.seg',
      '2a.seg',
      '000000000000002a.seg.bak',
      'ffffffffffffffff.seg',
    ];
    for (const name of others) expect(segmentIdOf(name)).toBe(0);
  });
});

describe('readers', () => {
  it('answer null for a slot with any flipped bit', () => {
    const page = encodeStoreSlot({
      slotSeq: 1,
      uuid,
      instance: 1,
      epoch: 1,
      oldestSeg: 1,
      newestSeg: 1,
      durableSeq: 0,
      cleanSeq: 0,
      incompat: 0,
      compat: 0,
      createdMs: 0,
    });
    for (let bit = 0; bit < 256 * 8; bit++) {
      const at = bit >> 3;
      page[at] = (page[at] as number) ^ (1 << (bit & 7));
      expect(decodeStoreSlot(page, 0)).toBeNull();
      page[at] = (page[at] as number) ^ (1 << (bit & 7));
    }
  });
});
