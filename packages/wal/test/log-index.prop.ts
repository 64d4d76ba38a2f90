// The index of runs against a plain array per group, over random appends, overwrites and truncations.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LogIndex } from '../src/log-index.ts';

interface Entry {
  readonly term: number;
  readonly offset: number;
  readonly recLen: number;
}

const step = fc.record({
  group: fc.nat(2),
  kind: fc.constantFrom('append', 'append', 'append', 'overwrite', 'truncate'),
  count: fc.integer({ min: 1, max: 9 }),
  isLarge: fc.boolean(),
  back: fc.nat(200),
  newTerm: fc.nat(3),
});

describe('the index of the log', () => {
  it('answers as a plain array of entries would', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 300 }), (steps) => {
        const index = new LogIndex();
        const logs: Entry[][] = [[], [], []];
        for (let group = 0; group < 3; group++)
          index.groups.add(group + 1, 1, 1, new Uint8Array(0));
        let offset = 4096;
        for (const { group, kind, count, isLarge, back, newTerm } of steps) {
          const log = logs[group] as Entry[];
          const from = kind === 'append' ? log.length + 1 : Math.max(1, log.length - back);
          if (kind === 'truncate' && from > log.length) continue;
          if (from <= log.length) {
            index.truncate(group, from);
            log.length = from - 1;
          }
          if (kind === 'truncate') continue;
          const term = (log.at(-1)?.term ?? 1) + (newTerm === 0 ? 1 : 0);
          const entries = isLarge ? 1 : count;
          const recLen = isLarge ? 4_000_000 : 64 * count;
          index.append(group, from, entries, term, 7, offset, recLen);
          for (let i = 0; i < entries; i++) log.push({ term, offset, recLen });
          offset += recLen;
        }
        logs.forEach((log, group) => {
          expect(index.groups.last[group]).toBe(log.length);
          expect(index.find(group, log.length + 1)).toBe(false);
          expect(index.find(group, 0)).toBe(false);
          // Forwards, backwards and across: the cursor must not matter.
          const order = [...log.keys(), ...[...log.keys()].reverse()];
          for (const i of order) {
            expect(index.find(group, i + 1)).toBe(true);
            const entry = log[i] as Entry;
            expect([index.foundSegSlot, index.foundOffset, index.foundRecLen]).toEqual([
              7,
              entry.offset,
              entry.recLen,
            ]);
            expect(index.foundFirst <= i + 1 && i + 1 <= index.foundLast).toBe(true);
            expect(log[index.foundFirst - 1]?.offset).toBe(entry.offset);
            expect(log[index.foundLast - 1]?.offset).toBe(entry.offset);
            expect(index.termOf(group, i + 1)).toBe(entry.term);
          }
          const ends = index.termEnds(group);
          const expected = log.flatMap((entry, i) =>
            log[i + 1]?.term === entry.term ? [] : [{ term: entry.term, lastIndex: i + 1 }],
          );
          expect(ends).toEqual(expected);
        });
      }),
      { numRuns: 60 },
    );
  });

  it('finds in long logs of many groups, and uses freed chunks again', () => {
    const index = new LogIndex();
    const groups = 50;
    for (let group = 0; group < groups; group++)
      index.groups.add(group + 1, 1, 1, new Uint8Array(0));
    const fill = (): void => {
      for (let i = 1; i <= 1000; i++) {
        for (let group = 0; group < groups; group++) {
          index.append(group, i, 1, 1, 0, (i * groups + group) * 64, 64);
        }
      }
    };
    fill();
    const { bytes } = index.runs;
    for (let group = 0; group < groups; group++) index.truncate(group, 1);
    expect(index.groups.last[3]).toBe(0);
    fill();
    expect(index.runs.bytes).toBe(bytes);
    for (let i = 1; i <= 1000; i += 37) {
      expect(index.find(9, i)).toBe(true);
      expect(index.foundOffset).toBe((i * groups + 9) * 64);
    }
  });
});
