import { describe, expect, it } from 'vitest';
import {
  blockBytesOf,
  blockHeaderBytes,
  crc32,
  entryTypeOf,
  entryTypes,
  frameHeaderAt,
  frameHeaderBytes,
  frameKinds,
  payloadCodecs,
  putFrameHeader,
  putRecordHead,
  putU32,
  putU64,
  recordHeadAt,
  recordHeadBytes,
  recordTypes,
  sealBlockInRecord,
  storedLenOf,
  tableSlot,
  u64At,
  verifyBlockInRecord,
  wordsOf,
} from '../src/index.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A record of group 0x0102030405 with a block of the entries "ab" and "" from index 7 on, term 3. */
function entriesRecord(): Uint8Array {
  const blockBytes = blockBytesOf(2, 2);
  const bytes = new Uint8Array(64);
  putRecordHead(bytes, 0, {
    type: recordTypes.entries,
    flags: 0,
    generationLow: 1,
    recLen: 64,
    groupId: 0x01_02_03_04_05,
  });
  const at = recordHeadBytes;
  putU32(bytes, at + 32, tableSlot(2, payloadCodecs.raw, entryTypes.command));
  putU32(bytes, at + 36, tableSlot(0, payloadCodecs.raw, entryTypes.blank));
  bytes.set([0x61, 0x62], at + 40);
  sealBlockInRecord(bytes, at, { firstIndex: 7, term: 3, count: 2, blockBytes });
  return bytes;
}

describe('the entry block', () => {
  it('has the bytes that version 1 fixed', () => {
    expect(hex(entriesRecord())).toBe(
      '0100010040000000' + // type, flags, generation, recLen
        '0504030201000000' + // group id
        '0700000000000000' + // firstIndex
        '0300000000000000' + // term
        '020000002a000000' + // count, blockBytes
        `${hex(entriesRecord().subarray(40, 44))}00000000` + // crc, reserved
        '0200000000000020' + // table: 2 bytes of command, 0 bytes of blank
        '6162000000000000', // payloads, padding
    );
    // The CRC by its definition: group id, header without the crc field, table, payloads.
    const record = entriesRecord();
    const covered = Buffer.concat([record.subarray(8, 40), record.subarray(44, 58)]);
    expect(Buffer.from(record).readUInt32LE(40)).toBe(crc32(covered, 0, covered.length));
  });

  it('is sealed to the same bytes through words, numbers of more than 32 bits among them', () => {
    for (const firstIndex of [1, 2 ** 31, 2 ** 32 + 7, Number.MAX_SAFE_INTEGER - 1]) {
      for (const term of [0, 3, 2 ** 32 - 1, 2 ** 45 + 1]) {
        const head = { firstIndex, term, count: 2, blockBytes: blockBytesOf(2, 2) };
        const plain = entriesRecord();
        sealBlockInRecord(plain, recordHeadBytes, head);
        const worded = entriesRecord();
        sealBlockInRecord(worded, recordHeadBytes, head, wordsOf(worded));
        expect(worded).toEqual(plain);
      }
    }
    const record = entriesRecord();
    const broken = { firstIndex: -1, term: 1, count: 2, blockBytes: blockBytesOf(2, 2) };
    for (const words of [null, wordsOf(record)]) {
      expect(() => sealBlockInRecord(record, recordHeadBytes, broken, words)).toThrow(RangeError);
    }
  });

  it('is taken as it was sealed, and refused with any bit of it or of its group id flipped', () => {
    const record = entriesRecord();
    expect(verifyBlockInRecord(record, recordHeadBytes, 64)).toBe('ok');
    expect(verifyBlockInRecord(record, recordHeadBytes, 64, wordsOf(record))).toBe('ok');
    for (let bit = 8 * 8; bit < (recordHeadBytes + blockBytesOf(2, 2)) * 8; bit++) {
      const damaged = Uint8Array.from(record);
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      const verdict = verifyBlockInRecord(damaged, recordHeadBytes, 64);
      expect(verdict, `bit ${bit}`).not.toBe('ok');
      const byWords = verifyBlockInRecord(damaged, recordHeadBytes, 64, wordsOf(damaged));
      expect(byWords, `bit ${bit}, by words`).toBe(verdict);
    }
  });

  it('is refused by its numbers before its CRC is read: no room, no entries, a table beyond its end', () => {
    const cut = entriesRecord();
    expect(verifyBlockInRecord(cut, recordHeadBytes, 57)).toBe('short');
    expect(verifyBlockInRecord(cut, recordHeadBytes, recordHeadBytes + 31)).toBe('short');
    const huge = entriesRecord();
    putU32(huge, recordHeadBytes + 20, 0xffff_ffff);
    expect(verifyBlockInRecord(huge, recordHeadBytes, 64)).toBe('short');
    const none = entriesRecord();
    putU32(none, recordHeadBytes + 16, 0);
    expect(verifyBlockInRecord(none, recordHeadBytes, 64)).toBe('shape');
    const many = entriesRecord();
    putU32(many, recordHeadBytes + 16, 0xffff_ffff);
    expect(verifyBlockInRecord(many, recordHeadBytes, 64)).toBe('shape');
  });

  it('is refused with a sound CRC over a table that does not add up', () => {
    const record = entriesRecord();
    putU32(record, recordHeadBytes + blockHeaderBytes, tableSlot(3, 0, 0));
    sealBlockInRecord(record, recordHeadBytes, {
      firstIndex: 7,
      term: 3,
      count: 2,
      blockBytes: blockBytesOf(2, 2),
    });
    expect(verifyBlockInRecord(record, recordHeadBytes, 64)).toBe('shape');
  });

  it('keeps length, codec and type of an entry apart in one table slot', () => {
    for (const length of [0, 1, 65_535, 0x7ff_ffff]) {
      for (const type of [0, 1, 2, 7]) {
        const slot = tableSlot(length, payloadCodecs.lz4, type);
        expect([storedLenOf(slot), entryTypeOf(slot)]).toEqual([length, type]);
      }
    }
  });
});

describe('the record head', () => {
  it('is refused where its length is short, unaligned or beyond the end, or its group id unsafe', () => {
    const head = { type: 1, flags: 0, generationLow: 0, recLen: 32, groupId: 1 };
    const bytes = new Uint8Array(32);
    putRecordHead(bytes, 0, head);
    expect(recordHeadAt(bytes, 0, 32)).toEqual(head);
    expect(recordHeadAt(bytes, 0, 31)).toBeNull();
    expect(recordHeadAt(bytes, 0, 15)).toBeNull();
    for (const recLen of [0, 8, 15, 17, 0xffff_fff8]) {
      putU32(bytes, 4, recLen);
      expect(recordHeadAt(bytes, 0, 32), `recLen ${recLen}`).toBeNull();
    }
    putRecordHead(bytes, 0, head);
    putU32(bytes, 12, 0x20_0000);
    expect(recordHeadAt(bytes, 0, 32)).toBeNull();
  });
});

describe('the frame header', () => {
  it('has the bytes that version 1 fixed', () => {
    const bytes = new Uint8Array(frameHeaderBytes);
    const header = {
      bodyBytes: 0x0102,
      kind: frameKinds.append,
      flags: 0,
      records: 3,
      bodyCrc: 0x0a0b0c0d,
    };
    putFrameHeader(bytes, 0, header);
    expect(hex(bytes.subarray(0, 12))).toBe('02010000050003000d0c0b0a');
    expect(Buffer.from(bytes).readUInt32LE(12)).toBe(crc32(bytes, 0, 12));
    expect(frameHeaderAt(bytes, 0)).toEqual(header);
  });

  it('is refused with any bit flipped', () => {
    const bytes = new Uint8Array(frameHeaderBytes);
    putFrameHeader(bytes, 0, { bodyBytes: 9, kind: 4, flags: 0, records: 1, bodyCrc: 5 });
    for (let bit = 0; bit < frameHeaderBytes * 8; bit++) {
      const damaged = Uint8Array.from(bytes);
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(frameHeaderAt(damaged, 0), `bit ${bit}`).toBeNull();
    }
  });
});

describe('u64', () => {
  it('holds every safe integer and nothing else', () => {
    const bytes = new Uint8Array(8);
    for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      putU64(bytes, 0, value);
      expect(u64At(bytes, 0)).toBe(value);
    }
    for (const value of [-1, 2 ** 53, Number.NaN]) {
      expect(() => putU64(bytes, 0, value)).toThrow(RangeError);
    }
    bytes.fill(0xff);
    expect(u64At(bytes, 0)).toBe(-1);
  });
});
