// The CRC of a block as WebAssembly computes it, against the one in JavaScript.

import { afterEach, describe, expect, it, vi } from 'vitest';
import { type BlockCrc, blockCrcFrontBytes, blockCrcOver } from '../src/block-crc.ts';
import { blockBytesOf, sealBlockInRecord, verifyBlockInRecord } from '../src/block.ts';
import { crc32 } from '../src/crc.ts';
import { wordsOf } from '../src/integers.ts';
import { putRecordHead, recordHeadBytes, recordTypes } from '../src/record.ts';

interface Memory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
}
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: { Memory: new (shape: object) => Memory };
};

interface Piece {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly blockCrc: BlockCrc;
}

/** A page of tables and one of noise. */
function pieceOf(shared: boolean): Piece {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared });
  const blockCrc = blockCrcOver(memory);
  if (blockCrc === null) throw new Error('no WebAssembly here');
  const bytes = new Uint8Array(memory.buffer, blockCrcFrontBytes);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.imul(i + 1, 0x9e37_79b9) >>> 24;
  return { bytes, words: wordsOf(bytes), blockCrc };
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('the CRC of a block by WebAssembly', () => {
  const pieces: readonly [string, Piece][] = [
    ['plain', pieceOf(false)],
    ['shared', pieceOf(true)],
  ];

  it('is that of crc32 over the two ranges, whatever the length and wherever the block stands', () => {
    for (const [kind, { bytes, blockCrc }] of pieces) {
      for (const at of [8, 12, 16, 1000, 4080, 8196]) {
        for (let length = 28; length < 28 + 3 * 64; length++) {
          const head = crc32(bytes, at - 8, at + 24);
          const crc = crc32(bytes, at + 28, at + length, head);
          expect(blockCrc(at, length) >>> 0, `${kind} ${at} ${length}`).toBe(crc);
        }
      }
      const end = bytes.length;
      for (let length = 28; length < 70; length++) {
        const at = (end - length) & ~3;
        const head = crc32(bytes, at - 8, at + 24);
        expect(blockCrc(at, length) >>> 0).toBe(crc32(bytes, at + 28, at + length, head));
      }
    }
  });

  it('seals blocks as JavaScript does, short ones and such as are left to the native function', () => {
    for (const [kind, { bytes, words, blockCrc }] of pieces) {
      for (const payload of [0, 1, 3, 16, 128, 1499, 1500, 1501, 4000]) {
        for (const at of [recordHeadBytes, 816]) {
          const blockBytes = blockBytesOf(1, payload);
          const recLen = recordHeadBytes + blockBytes;
          const type = recordTypes.entries;
          const head = { type, flags: 0, generationLow: 1, recLen, groupId: 2 ** 40 + 7 };
          putRecordHead(bytes, at - recordHeadBytes, head);
          words[(at + 32) >>> 2] = payload;
          const block = { firstIndex: 2 ** 33 + 1, term: 9, count: 1, blockBytes };
          sealBlockInRecord(bytes, at, block, words, blockCrc);
          const sealed = bytes.slice(at, at + blockBytes);
          expect(verifyBlockInRecord(bytes, at, at + blockBytes), `${kind} ${payload}`).toBe('ok');
          sealBlockInRecord(bytes, at, block);
          expect(bytes.slice(at, at + blockBytes)).toEqual(sealed);
        }
      }
    }
  });

  it('is what a short block is sealed with, and no long one', () => {
    const [, { bytes, words, blockCrc }] = pieces[0] as [string, Piece];
    const at = recordHeadBytes;
    for (const [blockBytes, isAsked] of [
      [blockBytesOf(1, 0), 1],
      [1535, 1],
      [1536, 0],
    ] as const) {
      const asked: [number, number][] = [];
      const counted: BlockCrc = (...place) => {
        asked.push(place);
        return blockCrc(...place);
      };
      sealBlockInRecord(
        bytes,
        at,
        { firstIndex: 1, term: 1, count: 1, blockBytes },
        words,
        counted,
      );
      expect(asked).toEqual(isAsked === 1 ? [[at, blockBytes]] : []);
    }
  });

  it('is to be had for memory of every size that slabs have', () => {
    for (const shared of [false, true]) {
      for (const pages of [2, 17, 1025, 4096]) {
        const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
        expect(blockCrcOver(memory), `${pages} pages, ${shared}`).not.toBeNull();
      }
    }
  });

  it('is not to be had where there is no WebAssembly, or it refuses the memory', () => {
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: false });
    const foreign = { buffer: new ArrayBuffer(2 * blockCrcFrontBytes) };
    expect(blockCrcOver(foreign)).toBeNull();
    expect(blockCrcOver({ buffer: new ArrayBuffer(100) })).toBeNull();
    vi.stubGlobal('WebAssembly', undefined);
    expect(blockCrcOver(memory)).toBeNull();
  });
});
