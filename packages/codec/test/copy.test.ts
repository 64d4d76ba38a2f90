import { describe, expect, it } from 'vitest';
import { copyBytes } from '../src/copy.ts';
import { wordsOf } from '../src/integers.ts';

describe('copyBytes', () => {
  it('copies exactly the range, wherever it begins and ends, by bytes, words and natively', () => {
    const source = Uint8Array.from({ length: 2000 }, (_, i) => (i * 7 + 1) & 0xff);
    for (const length of [0, 1, 3, 4, 5, 31, 63, 64, 65, 92, 96, 128, 130, 767, 768, 1500]) {
      for (const from of [0, 1, 4, 8, 10]) {
        for (const to of [0, 2, 4, 12, 13]) {
          const target = new Uint8Array(2000).fill(0xee);
          const expected = target.slice();
          expected.set(source.slice(from, from + length), to);
          copyBytes(source, wordsOf(source), from, length, target, wordsOf(target), to);
          expect(Buffer.compare(target, expected), `${length} from ${from} to ${to}`).toBe(0);
        }
      }
    }
  });
});
