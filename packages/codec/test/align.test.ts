// alignUp by bits, where a number has 32 of them, and in general.

import { describe, expect, it } from 'vitest';
import { alignUp } from '../src/index.ts';

describe('alignUp', () => {
  it('answers the next multiple, below, at and above the numbers that bits can be cleared of', () => {
    for (const unit of [1, 8, 4096, 65_536]) {
      for (const around of [0, 8, 4096, 2 ** 31 - 4096, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 52]) {
        for (let bytes = Math.max(0, around - 17); bytes <= around + 17; bytes++) {
          const up = alignUp(bytes, unit);
          expect([bytes, unit, up % unit]).toEqual([bytes, unit, 0]);
          expect(up >= bytes && up < bytes + unit).toBe(true);
        }
      }
    }
  });
});
