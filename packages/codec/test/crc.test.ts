import { crc32 as nativeCrc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { crc32, crc32OfWords } from '../src/crc.ts';
import { wordsOf } from '../src/integers.ts';

const bytes = Uint8Array.from({ length: 1024 }, (_, i) => (i * 31 + 7) & 0xff);

describe('crc32', () => {
  it('gives the published check value of the IEEE polynomial', () => {
    expect(crc32(Buffer.from('123456789'), 0, 9)).toBe(0xcbf43926);
  });

  it('equals the native function at every length around its threshold', () => {
    for (let length = 0; length < 800; length++) {
      expect(crc32(bytes, 3, 3 + length)).toBe(nativeCrc32(bytes.subarray(3, 3 + length)));
    }
  });

  it('is the same from words, wherever the range begins and ends', () => {
    const words = wordsOf(bytes);
    for (let start = 0; start < 9; start++) {
      for (let end = start; end < 600; end += end < 60 ? 1 : 7) {
        expect(crc32OfWords(words, bytes, start, end, 5)).toBe(crc32(bytes, start, end, 5));
      }
    }
  });

  it('can be continued at any split', () => {
    const whole = crc32(bytes, 0, 1024);
    for (let split = 0; split <= 1024; split += 13) {
      expect(crc32(bytes, split, 1024, crc32(bytes, 0, split))).toBe(whole);
    }
  });
});
