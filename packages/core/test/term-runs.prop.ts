// TermRuns against a plain array of terms.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TermRuns } from '../src/term-runs.ts';

const change = fc.record({
  keep: fc.double({ min: 0, max: 1, noNaN: true }),
  grow: fc.integer({ min: 1, max: 5 }),
  rise: fc.integer({ min: 0, max: 2 }),
});

describe('the runs of terms', () => {
  it('answer every question as the whole array of terms would', () => {
    const run = (
      firstIndex: number,
      changes: { keep: number; grow: number; rise: number }[],
    ): void => {
      const prevTerm = firstIndex === 1 ? 0 : 3;
      const runs = new TermRuns(firstIndex, prevTerm, []);
      const terms: number[] = [];
      for (const { keep, grow, rise } of changes) {
        const kept = Math.floor(keep * terms.length);
        if (kept < terms.length && rise > 0) {
          runs.truncate(firstIndex - 1 + kept);
          terms.length = kept;
        }
        const term = Math.max(1, (terms.at(-1) ?? prevTerm) + rise);
        runs.append(runs.lastIndex + grow, term);
        for (let i = 0; i < grow; i++) terms.push(term);
      }
      const last = firstIndex - 1 + terms.length;
      expect(runs.lastIndex).toBe(last);
      expect(runs.lastTerm).toBe(terms.at(-1) ?? prevTerm);
      expect(runs.count).toBe(new Set(terms).size);
      const termAt = (index: number): number =>
        index === firstIndex - 1 ? prevTerm : (terms[index - firstIndex] ?? 0);
      for (let index = 0; index <= last + 2; index++) {
        expect(runs.termAt(index)).toBe(termAt(index));
        if (index >= firstIndex && index <= last) {
          expect(runs.runEnd(index)).toBe(firstIndex + terms.lastIndexOf(termAt(index)));
        }
        for (let term = 0; term <= runs.lastTerm + 1; term++) {
          let expected = Math.min(index, last);
          while (expected >= firstIndex && termAt(expected) > term) expected--;
          expected = Math.max(expected, firstIndex - 1);
          expect(runs.lastIndexNotAbove(index, term)).toBe(expected);
        }
      }
    };
    fc.assert(fc.property(fc.constantFrom(1, 8), fc.array(change, { maxLength: 12 }), run), {
      numRuns: 150,
    });
  });

  it.each([
    [0, 0, []],
    [1, 2, []],
    [1, 0, [{ term: 0, lastIndex: 1 }]],
    [
      1,
      0,
      [
        { term: 2, lastIndex: 3 },
        { term: 2, lastIndex: 4 },
      ],
    ],
    [
      1,
      0,
      [
        { term: 2, lastIndex: 3 },
        { term: 3, lastIndex: 3 },
      ],
    ],
    [5, 3, [{ term: 2, lastIndex: 9 }]],
    [1, 0, [{ term: 1.5, lastIndex: 9 }]],
  ])('refuse a log that cannot be: first %j, previous term %j, %j', (first, prevTerm, termEnds) => {
    expect(() => new TermRuns(first, prevTerm, termEnds)).toThrow(RangeError);
  });
});
