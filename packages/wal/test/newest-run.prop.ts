// What the group table remembers of each group's newest run (GroupTable.newest) against an index that is made to forget
// it before every question and every change, and so always asks the arena. Both go through the same random edits: those of
// a live log, those of a replay with gaps, and of groups that are removed and begun again.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { groupStatus, newestRow } from '../src/group-table.ts';
import { LogIndex } from '../src/log-index.ts';

const groups = 3;
const segments = 4;
const config = new Uint8Array(0);
const vote = { nodeId: 0, generation: 0, instance: 0 };

const kinds = [
  // Often enough that chunks of 32 runs fill up.
  ...new Array<'append'>(12).fill('append'),
  'overwrite',
  'truncate',
  'compact',
  'compactAll',
  'reset',
  'move',
  'extend',
  'extendFar',
  'fillGap',
  'begin',
] as const;

const step = fc.record({
  group: fc.nat(groups - 1),
  kind: fc.constantFrom(...kinds),
  /** How often, for appends. */
  times: fc.integer({ min: 1, max: 20 }),
  count: fc.integer({ min: 1, max: 5 }),
  back: fc.nat(60),
  newTerm: fc.nat(3),
});
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** The next place of a record: no two are the same. */
class Places {
  #next = 512;

  next(): { readonly segSlot: number; readonly offset: number; readonly recLen: number } {
    const number = this.#next++;
    return { segSlot: number % segments, offset: number * 8, recLen: 16 + 8 * (number % 50) };
  }
}

/** The same edit on each of the indexes, which are asked in the same way. */
function edit(all: readonly LogIndex[], places: Places, step: Step): void {
  const { group: slot, kind, times, count, back } = step;
  const first = all[0]?.groups.first[slot] as number;
  const last = all[0]?.groups.last[slot] as number;
  const lastTerm = all[0]?.groups.lastTerm[slot] as number;
  const each = (change: (index: LogIndex) => void): void => {
    for (const index of all) change(index);
  };
  const below = Math.max(first, last - back);
  const append = (): void => {
    const term = Math.max(1, lastTerm) + (step.newTerm === 0 ? 1 : 0);
    for (let i = 0; i < times; i++) {
      const place = places.next();
      each((index) => {
        const from = (index.groups.last[slot] as number) + 1;
        const status = index.groups.status[slot] as number;
        if ((status & groupStatus.mayHaveGaps) !== 0) index.followGap(slot, term);
        index.append(slot, from, count, term, place.segSlot, place.offset, place.recLen);
      });
    }
  };
  switch (kind) {
    case 'append':
      return append();
    case 'overwrite':
      if (below <= last) each((index) => index.truncate(slot, below));
      return append();
    case 'truncate':
      if (below > last) return;
      return each((index) => index.truncate(slot, below));
    case 'compact':
      if (below > last) return;
      return each((index) => index.compact(slot, below, index.termOf(slot, below - 1)));
    case 'compactAll':
      return each((index) => index.compact(slot, last + 1, lastTerm));
    case 'reset':
      // Behind the end of the log and inside it.
      return each((index) => index.reset(slot, Math.max(0, last + 40 - back), lastTerm));
    case 'move': {
      if (!(all[0] as LogIndex).find(slot, below)) return;
      const { foundFirst, foundSegSlot: segSlot, foundOffset: offset } = all[0] as LogIndex;
      const to = places.next();
      return each((index) => {
        expect(index.move(slot, foundFirst, { segSlot, offset }, to)).toBe(true);
      });
    }
    case 'extend':
      return each((index) => index.extend(slot, last + count));
    case 'extendFar':
      // So far that the next compaction counts from another base.
      if (last > 2 ** 40 || (all[0] as LogIndex).groups.tailChunk[slot] !== -1) return;
      return each((index) => {
        index.extend(slot, last + 2 ** 32);
        index.compact(slot, last + 2 ** 31 + 2 ** 30 + back, lastTerm);
      });
    case 'fillGap': {
      const gap = (all[0] as LogIndex).gapIn(slot);
      const from = gap === 0 ? last + 1 + back : Math.max(gap, first);
      const place = { first: from, count: 1, ...places.next() };
      const term = (all[0] as LogIndex).termOf(slot, Math.min(from, last));
      const done = all.map((index) => index.restore(slot, place, Math.max(term, lastTerm)));
      expect(new Set(done).size).toBe(1);
      return;
    }
    case 'begin':
      return each((index) => {
        const generation = (index.groups.generation[slot] as number) + 1;
        index.remove(slot, { term: lastTerm, vote });
        index.reopen(slot, generation, 1, config);
      });
  }
}

/** Everything the index answers about one group around its ends. */
function answers(index: LogIndex, slot: number, prepare: () => void): unknown[] {
  const first = index.groups.first[slot] as number;
  const last = index.groups.last[slot] as number;
  const asked = [first - 1, first, Math.floor((first + last) / 2), last + 1];
  for (let i = 0; i < 12; i++) asked.push(last - i);
  const all: unknown[] = [first, last, index.groups.lastTerm[slot], index.gapIn(slot)];
  for (const at of asked) {
    prepare();
    all.push(at, index.find(slot, at));
    if (all.at(-1) === true) {
      all.push(index.foundFirst, index.foundLast, index.foundSegSlot);
      all.push(index.foundOffset, index.foundRecLen, index.findNext(slot), index.foundFirst);
    }
    prepare();
    if (at >= first - 1 && at <= last) all.push(index.knownTermOf(slot, at));
  }
  all.push(JSON.stringify(index.termEnds(slot)));
  return all;
}

describe('what is remembered of the newest run of a group', () => {
  it('is what the arena says, whatever was done to the group before', () => {
    let remembered = 0;
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
        const index = new LogIndex();
        const plain = new LogIndex();
        const forget = (): void => {
          for (let slot = 0; slot < groups; slot++) plain.groups.forgetNewest(slot);
        };
        for (const each of [index, plain]) {
          each.use.reach(segments);
          for (let i = 1; i <= groups; i++) each.groups.add(i, 1, 1, config);
        }
        const places = new Places();
        for (const each of steps) {
          forget();
          const { group: slot, kind } = each;
          const before = index.groups.newest[index.groups.newestAt(slot)] as number;
          edit([index, plain], places, each);
          if (Number.isFinite(before)) seen.add(kind);
          expect(answers(index, slot, () => {})).toEqual(answers(plain, slot, forget));
          // What a step touches beforehand is the record that it then asks for.
          if (index.touchNewest(slot)) {
            remembered++;
            const { foundSegSlot, foundOffset } = index;
            forget();
            expect(plain.find(slot, plain.groups.last[slot] as number)).toBe(true);
            expect([foundSegSlot, foundOffset]).toEqual([plain.foundSegSlot, plain.foundOffset]);
          }
          for (let segment = 0; segment < segments; segment++) {
            expect(index.use.runsIn(segment)).toBe(plain.use.runsIn(segment));
            expect(index.use.bytesIn(segment)).toBe(plain.use.bytesIn(segment));
          }
        }
      }),
      { numRuns: Number(process.env.WAL_NEWEST_RUNS ?? 300) },
    );
    // Not vacuous: rows said something, and every kind of edit met one that did.
    expect(remembered).toBeGreaterThan(100);
    const unseen = kinds.filter((kind) => kind !== 'extendFar' && !seen.has(kind));
    expect(unseen).toEqual([]);
  });

  it('answers for the newest run alone: the arena is not asked, and asked again after any edit', () => {
    const index = new LogIndex();
    index.groups.add(1, 1, 1, config);
    const isRemembered = (): boolean =>
      Number.isFinite(index.groups.newest[index.groups.newestAt(0) + newestRow.first]);
    expect(isRemembered()).toBe(false);
    for (let i = 1; i <= 40; i++) index.append(0, i, 1, 1, 0, 4096 + 64 * i, 64);
    expect(isRemembered()).toBe(true);
    expect(index.find(0, 40)).toBe(true);
    // A row that lies is believed: nothing else was read.
    index.groups.newest[index.groups.newestAt(0) + newestRow.offset] = 8;
    expect(index.find(0, 40) && index.foundOffset).toBe(8);
    expect(index.find(0, 39) && index.foundOffset).toBe(4096 + 64 * 39);
    index.truncate(0, 41);
    expect(isRemembered()).toBe(true);
    index.truncate(0, 40);
    expect(isRemembered()).toBe(false);
    index.append(0, 40, 1, 1, 0, 4096, 64);
    expect(isRemembered()).toBe(true);
    index.compact(0, 41, 1);
    expect(isRemembered()).toBe(false);
  });

  it('stays with its group when the table grows', () => {
    const index = new LogIndex();
    for (let i = 1; i <= 200; i++) {
      index.groups.add(i, 1, 1, config);
      index.append(i - 1, 1, 1, 1, 0, 4096 + 64 * i, 64);
    }
    for (let slot = 0; slot < 200; slot++) {
      expect(index.touchNewest(slot)).toBe(true);
      expect(index.find(slot, 1) && index.foundOffset).toBe(4096 + 64 * (slot + 1));
      expect(index.find(slot, 2)).toBe(false);
    }
  });
});
