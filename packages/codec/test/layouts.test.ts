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
  recordLengthAt,
  recordTypes,
  sealBlockInRecord,
  storedLenOf,
  tableSlot,
  u64At,
  u64AtWord,
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

  it('of one entry is judged alike by bytes and by words, with any bit flipped and any number that none can have', () => {
    const payload = Uint8Array.of(9, 8, 7, 6, 5);
    const blockBytes = blockBytesOf(1, payload.length);
    const record = new Uint8Array(64);
    const seal = (firstIndex: number, term: number, storedLen = payload.length): void => {
      putRecordHead(record, 0, { type: 1, flags: 0, generationLow: 1, recLen: 64, groupId: 77 });
      putU32(record, recordHeadBytes + blockHeaderBytes, tableSlot(storedLen, 0, 0));
      record.set(payload, recordHeadBytes + blockHeaderBytes + 4);
      sealBlockInRecord(record, recordHeadBytes, { firstIndex, term, count: 1, blockBytes });
    };
    const judge = (bytes: Uint8Array, end = 64): string => {
      const verdict = verifyBlockInRecord(bytes, recordHeadBytes, end);
      expect(verifyBlockInRecord(bytes, recordHeadBytes, end, wordsOf(bytes))).toBe(verdict);
      return verdict;
    };
    for (const [firstIndex, term] of [
      [1, 0],
      [2 ** 31, 2 ** 32 - 1],
      [Number.MAX_SAFE_INTEGER, 2 ** 40],
    ] as const) {
      seal(firstIndex, term);
      expect(judge(record)).toBe('ok');
      expect(judge(record, recordHeadBytes + blockBytes)).toBe('ok');
      expect(judge(record, recordHeadBytes + blockBytes - 1)).toBe('short');
      expect(judge(record, recordHeadBytes + blockHeaderBytes - 1)).toBe('short');
      for (let bit = 8 * 8; bit < (recordHeadBytes + blockBytes) * 8; bit++) {
        const damaged = Uint8Array.from(record);
        damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
        expect(judge(damaged), `bit ${bit}`).not.toBe('ok');
      }
    }
    seal(0, 1);
    expect(judge(record), 'index 0').toBe('shape');
    seal(1, 1, 4);
    expect(judge(record), 'a table that does not add up').toBe('shape');
    seal(1, 1, 6);
    expect(judge(record), 'a table that does not add up').toBe('shape');
    for (const blockLength of [0, 31, 35]) {
      putU32(record, recordHeadBytes + 20, blockLength);
      expect(judge(record), `${blockLength} bytes`).toBe('shape');
    }
    putU32(record, recordHeadBytes + 20, 0xffff_ffff);
    expect(judge(record)).toBe('short');
    // Sealed over numbers that none can be: the CRC holds, and they are refused all the same.
    for (const at of [4, 12]) {
      seal(1, 1);
      record.fill(0xff, recordHeadBytes + at, recordHeadBytes + at + 4);
      const head = crc32(record, 8, recordHeadBytes + 24);
      const crc = crc32(record, recordHeadBytes + 28, recordHeadBytes + blockBytes, head);
      putU32(record, recordHeadBytes + 24, crc);
      expect(judge(record), `a number above 2^53 - 1 at ${at}`).toBe('shape');
    }
  });

  it('of several entries is judged alike by bytes and by words, wherever it begins, when its numbers cannot be under a sound CRC', () => {
    const { command, blank, config } = entryTypes;
    const judge = (
      firstIndex: number,
      lengths: readonly [number, number],
      types: readonly [number, number],
    ): string => {
      const verdicts = [0, 1, 2, 3, 4].map((shift) => {
        const bytes = new Uint8Array(80);
        const at = recordHeadBytes + shift;
        putU64(bytes, at - 8, 9);
        for (const i of [0, 1] as const) {
          putU32(bytes, at + blockHeaderBytes + 4 * i, tableSlot(lengths[i], 0, types[i]));
        }
        const head = { firstIndex, term: 3, count: 2, blockBytes: blockBytesOf(2, 5) };
        sealBlockInRecord(bytes, at, head);
        const verdict = verifyBlockInRecord(bytes, at, 80);
        const byWords = verifyBlockInRecord(bytes, at, 80, wordsOf(bytes));
        expect(byWords, `${shift} bytes on`).toBe(verdict);
        return verdict;
      });
      expect(new Set(verdicts).size).toBe(1);
      return verdicts[0] as string;
    };
    expect(judge(7, [2, 3], [command, blank])).toBe('ok');
    expect(judge(Number.MAX_SAFE_INTEGER - 1, [2, 3], [command, command])).toBe('ok');
    expect(judge(0, [2, 3], [command, command])).toBe('shape');
    expect(judge(7, [2, 4], [command, command])).toBe('shape');
    expect(judge(7, [1, 3], [command, command])).toBe('shape');
    expect(judge(7, [2, 3], [config, command])).toBe('shape');
    expect(judge(7, [2, 3], [command, config])).toBe('shape');
  });

  it('has no index above 2^53 - 1, not even the one after it, which a sum would round away', () => {
    const last = Number.MAX_SAFE_INTEGER;
    const verdictOf = (firstIndex: number): string[] => {
      const record = entriesRecord();
      const head = { firstIndex, term: 3, count: 2, blockBytes: blockBytesOf(2, 2) };
      sealBlockInRecord(record, recordHeadBytes, head);
      return [null, wordsOf(record)].map((words) =>
        verifyBlockInRecord(record, recordHeadBytes, 64, words),
      );
    };
    expect(verdictOf(last - 1)).toEqual(['ok', 'ok']);
    expect(verdictOf(last)).toEqual(['shape', 'shape']);
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

  it('has a length by words only where it begins at a word, and the same one', () => {
    const bytes = new Uint8Array(64);
    const words = wordsOf(bytes);
    putRecordHead(bytes, 8, { type: 1, flags: 0, generationLow: 0, recLen: 32, groupId: 1 });
    expect(recordLengthAt(words, 8, 40)).toBe(32);
    expect(recordLengthAt(words, 8, 39)).toBe(0);
    expect(recordLengthAt(words, 8, 23)).toBe(0);
    for (const at of [7, 9, 10, 11]) expect(recordLengthAt(words, at, 64), `${at}`).toBe(0);
    for (const recLen of [0, 8, 15, 17, 0x8000_0000, 0xffff_fff8]) {
      putU32(bytes, 12, recLen);
      expect(recordLengthAt(words, 8, 40), `recLen ${recLen}`).toBe(0);
    }
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

  it('is read from words as from bytes', () => {
    const bytes = new Uint8Array(16);
    const words = wordsOf(bytes);
    const highs = [0, 1, 0x1f_ffff, 0x20_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
    for (const low of [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
      for (const high of highs) {
        putU32(bytes, 8, low);
        putU32(bytes, 12, high);
        expect(u64AtWord(words, 2), `${high}:${low}`).toBe(u64At(bytes, 8));
      }
    }
  });
});

describe('memory as words', () => {
  it('has no word that its length does not fill, and is refused where it begins between two words', () => {
    const memory = new Uint8Array(16);
    putU32(memory, 8, 0x0403_0201);
    expect([...wordsOf(memory.subarray(4, 15))]).toEqual([0, 0x0403_0201]);
    for (const at of [1, 2, 3]) {
      expect(() => wordsOf(memory.subarray(at)), `${at}`).toThrow(RangeError);
    }
  });
});
