// The index of runs against a plain list of runs per group, over random edits of every kind: those of a live log, those of
// a replay with gaps, and of groups that are removed and begun again. What is at stake is how many runs the last chunk of a
// group has: it stands beside the group while the log grows and in the chunk while anything else is done.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { groupStatus, none } from '../src/group-table.ts';
import { LogIndex } from '../src/log-index.ts';
import { eachRun } from '../src/run-edits.ts';

const groups = 3;
const segments = 4;
const config = new Uint8Array(0);
const vote = { nodeId: 0, generation: 0, instance: 0 };

interface Run {
  first: number;
  count: number;
  segSlot: number;
  offset: number;
  recLen: number;
}
interface Log {
  first: number;
  last: number;
  runs: Run[];
}

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
  back: fc.nat(150),
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

function runAt(log: Log, index: number): Run | undefined {
  return log.runs.find((run) => run.first <= index && index < run.first + run.count);
}

function cutAbove(log: Log, last: number): void {
  log.runs = log.runs.filter((run) => run.first <= last);
  const newest = log.runs.at(-1);
  if (newest !== undefined) newest.count = Math.min(newest.count, last + 1 - newest.first);
  log.last = last;
}

function cutBelow(log: Log, first: number): void {
  log.runs = log.runs.filter((run) => run.first + run.count > first);
  const oldest = log.runs[0];
  if (oldest !== undefined && oldest.first < first) {
    oldest.count -= first - oldest.first;
    oldest.first = first;
  }
  log.first = first;
  log.last = Math.max(log.last, first - 1);
}

/** The same edit on the index and on the plain list. */
function edit(index: LogIndex, log: Log, places: Places, step: Step): void {
  const { group: slot, kind, times, count, back } = step;
  const { first, last } = log;
  const lastTerm = index.groups.lastTerm[slot] as number;
  const below = Math.max(first, last - back);
  const truncate = (): void => {
    if (below > last) return;
    index.truncate(slot, below);
    cutAbove(log, below - 1);
  };
  const append = (): void => {
    const term = Math.max(1, lastTerm) + (step.newTerm === 0 ? 1 : 0);
    for (let i = 0; i < times; i++) {
      const { segSlot, offset, recLen } = places.next();
      const status = index.groups.status[slot] as number;
      if ((status & groupStatus.mayHaveGaps) !== 0) index.followGap(slot, term);
      index.append(slot, log.last + 1, count, term, segSlot, offset, recLen);
      log.runs.push({ first: log.last + 1, count, segSlot, offset, recLen });
      log.last += count;
    }
  };
  switch (kind) {
    case 'append':
      return append();
    case 'overwrite':
      truncate();
      return append();
    case 'truncate':
      return truncate();
    case 'compact':
      if (below > last) return;
      index.compact(slot, below, index.termOf(slot, below - 1));
      return cutBelow(log, below);
    case 'compactAll':
      index.compact(slot, last + 1, lastTerm);
      return cutBelow(log, last + 1);
    case 'reset': {
      // Behind the end of the log or inside it.
      const to = Math.max(0, last + 40 - back);
      index.reset(slot, to, lastTerm);
      Object.assign(log, { first: to + 1, last: to, runs: [] });
      return;
    }
    case 'move': {
      const run = runAt(log, below);
      if (run === undefined) return;
      const to = places.next();
      expect(index.move(slot, below, { segSlot: run.segSlot, offset: run.offset }, to)).toBe(true);
      Object.assign(run, to);
      return;
    }
    case 'extend':
      index.extend(slot, last + count);
      log.last += count;
      return;
    case 'extendFar':
      // So far that the next compaction counts from another base.
      if (last > 2 ** 40 || log.runs.length > 0) return;
      index.extend(slot, last + 2 ** 32);
      log.last += 2 ** 32;
      index.compact(slot, last + 2 ** 31 + 2 ** 30 + back, lastTerm);
      return cutBelow(log, last + 2 ** 31 + 2 ** 30 + back);
    case 'fillGap': {
      const gap = index.gapIn(slot);
      // Near the last chunk as well as in the first gap.
      const free = runAt(log, below) === undefined && below <= last && below >= first;
      const from = gap === 0 ? last + 1 + (back & 7) : free ? below : gap;
      const run = { first: from, count: 1, ...places.next() };
      expect(index.restore(slot, run, Math.max(1, lastTerm))).toBe(true);
      log.runs.push(run);
      log.runs.sort((a, b) => a.first - b.first);
      log.last = Math.max(log.last, from);
      return;
    }
    case 'begin':
      index.remove(slot, { term: lastTerm, vote });
      index.reopen(slot, (index.groups.generation[slot] as number) + 1, 1, config);
      Object.assign(log, { first: 1, last: 0, runs: [] });
      return;
  }
}

function expectSame(index: LogIndex, slot: number, log: Log): void {
  const { first, last } = log;
  expect([index.groups.first[slot], index.groups.last[slot]]).toEqual([first, last]);
  // The newest run before anything makes the last chunk say how many runs it has.
  const newest = log.runs.at(-1);
  expect(index.findNewest(slot)).toBe(newest !== undefined);
  if (newest !== undefined) {
    expect([index.foundSegSlot, index.foundOffset]).toEqual([newest.segSlot, newest.offset]);
  }
  const asked = [first - 1, first, Math.floor((first + last) / 2), last + 1];
  for (let i = 0; i < 12; i++) asked.push(last - i);
  for (const run of log.runs.slice(-70)) asked.push(run.first, run.first + run.count);
  for (const at of asked) {
    const run = at < first || at > last ? undefined : runAt(log, at);
    expect([at, index.find(slot, at)]).toEqual([at, run !== undefined]);
    if (run === undefined) continue;
    const { foundFirst, foundLast, foundSegSlot, foundOffset, foundRecLen } = index;
    expect([foundFirst, foundLast, foundSegSlot, foundOffset, foundRecLen]).toEqual([
      run.first,
      run.first + run.count - 1,
      run.segSlot,
      run.offset,
      run.recLen,
    ]);
  }
}

describe('the runs of a group', () => {
  it('are those of a plain list, whatever was done to the group before', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), fc.nat(3), (steps, walks) => {
        const index = new LogIndex();
        index.use.reach(segments);
        const logs: Log[] = [];
        for (let i = 1; i <= groups; i++) {
          index.groups.add(i, 1, 1, config);
          logs.push({ first: 1, last: 0, runs: [] });
        }
        const places = new Places();
        for (const [number, each] of steps.entries()) {
          const { group: slot, kind } = each;
          const log = logs[slot] as Log;
          const chunk = index.groups.tailChunk[slot] as number;
          // The case that matters: the chunk itself does not say what the table says.
          if (chunk !== none && index.runs.usedIn(chunk) !== index.groups.tailUsed[slot])
            seen.add(kind);
          edit(index, log, places, each);
          expectSame(index, slot, log);
          // Not after each edit: a walk makes the chunk say it.
          if (number % 4 !== walks) continue;
          const offsets: number[] = [];
          eachRun(index, slot, (words, at) => offsets.push((words[at + 3] as number) * 8));
          expect(offsets).toEqual(log.runs.map((run) => run.offset));
        }
        const all = logs.flatMap((log) => log.runs);
        for (let segment = 0; segment < segments; segment++) {
          const there = all.filter((run) => run.segSlot === segment);
          expect(index.use.runsIn(segment)).toBe(there.length);
          expect(index.use.bytesIn(segment)).toBe(there.reduce((sum, run) => sum + run.recLen, 0));
        }
      }),
      { numRuns: Number(process.env.WAL_NEWEST_RUNS ?? 100) },
    );
    // Not vacuous. A log that is extended far is empty.
    const unseen = kinds.filter((kind) => kind !== 'extendFar' && !seen.has(kind));
    expect(unseen).toEqual([]);
  });

  it('stay with their group when the table grows', () => {
    const index = new LogIndex();
    for (let i = 1; i <= 200; i++) {
      index.groups.add(i, 1, 1, config);
      for (let at = 1; at <= 3; at++) index.append(i - 1, at, 1, 1, 0, 8 * (4 * i + at), 64);
    }
    for (let slot = 0; slot < 200; slot++) {
      expect(index.findNewest(slot) && index.foundOffset).toBe(8 * (4 * slot + 7));
      expect(index.find(slot, 2) && index.foundOffset).toBe(8 * (4 * slot + 6));
      expect(index.find(slot, 4)).toBe(false);
    }
  });
});
