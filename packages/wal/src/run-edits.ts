// Changes to a group's runs that are not at the tail of its log: dropping a prefix, dropping all, putting one into a gap,
// counting from another base. They are rare beside appends and truncations (log-index.ts) and cost a walk over chunks.

import { assert } from '@flotilla/io';
import { type GroupTable, none } from './group-table.ts';
import {
  chunkHeadWords,
  chunkRuns,
  countOf,
  packLength,
  type RunArena,
  recLenOf,
  runWords,
  withCount,
} from './run-arena.ts';
import type { SegmentUse } from './segment-use.ts';

export interface RunTables {
  readonly groups: GroupTable;
  readonly runs: RunArena;
  readonly use: SegmentUse;
}

/** Where a run stands and which entries of the group it has. */
export interface RunPlace {
  readonly first: number;
  readonly count: number;
  readonly segSlot: number;
  readonly offset: number;
  readonly recLen: number;
}

/** Before anything but an append or a find of the newest run: the last chunk of the group says how many runs it has. */
export function settle({ groups, runs }: RunTables, slot: number): void {
  const chunk = groups.tailChunk[slot] as number;
  if (chunk !== none) runs.setUsed(chunk, groups.tailUsed[slot] as number);
}

/** After a change of a group's chunks or of how many runs they have: the last one, and what it says. */
export function noteTail({ groups, runs }: RunTables, slot: number, chunk: number): void {
  groups.tailChunk[slot] = chunk;
  groups.tailUsed[slot] = chunk === none ? 0 : runs.usedIn(chunk);
}

/** Calls `visit` for each run of the group in index order, with the words of the run at `at`. */
export function eachRun(
  tables: RunTables,
  slot: number,
  visit: (words: Uint32Array, at: number) => void,
): void {
  const { groups, runs } = tables;
  settle(tables, slot);
  for (let chunk = groups.headChunk[slot] as number; chunk !== none; chunk = runs.nextOf(chunk)) {
    const words = runs.page(chunk);
    const base = runs.baseOf(chunk);
    const used = words[base + 2] as number;
    for (let run = 0; run < used; run++) visit(words, base + chunkHeadWords + run * runWords);
  }
}

/** Drops what lies below `first`; a run across that border keeps its place with fewer entries. */
export function dropRunsBelow(tables: RunTables, slot: number, first: number): void {
  const { groups, runs, use } = tables;
  settle(tables, slot);
  const relative = first - (groups.base[slot] as number);
  let chunk = groups.headChunk[slot] as number;
  while (chunk !== none) {
    const words = runs.page(chunk);
    const base = runs.baseOf(chunk);
    const used = words[base + 2] as number;
    let dropped = 0;
    let at = base + chunkHeadWords;
    // Neighbours stand in one segment nearly always: they are given back together.
    let segSlot = 0;
    let together = 0;
    let bytes = 0;
    while (dropped < used) {
      const length = words[at + 1] as number;
      if ((words[at] as number) + countOf(length) > relative) break;
      if (together > 0 && words[at + 2] !== segSlot) {
        use.dropRuns(segSlot, together, bytes);
        together = 0;
        bytes = 0;
      }
      segSlot = words[at + 2] as number;
      together++;
      bytes += recLenOf(length);
      dropped++;
      at += runWords;
    }
    if (together > 0) use.dropRuns(segSlot, together, bytes);
    if (dropped === used) {
      chunk = runs.freeHead(chunk);
      continue;
    }
    const over = relative - (words[at] as number);
    if (over > 0) {
      words[at + 1] = withCount(words[at + 1] as number, countOf(words[at + 1] as number) - over);
      words[at] = relative;
    }
    if (dropped > 0) {
      words.copyWithin(base + chunkHeadWords, at, base + chunkHeadWords + used * runWords);
      words[base + 2] = used - dropped;
    }
    break;
  }
  groups.headChunk[slot] = chunk;
  noteTail(tables, slot, chunk === none ? none : (groups.tailChunk[slot] as number));
}

export function dropAllRuns(tables: RunTables, slot: number): void {
  const { groups, runs, use } = tables;
  eachRun(tables, slot, (words, at) =>
    use.dropRun(words[at + 2] as number, recLenOf(words[at + 1] as number)),
  );
  for (let chunk = groups.headChunk[slot] as number; chunk !== none; ) chunk = runs.freeHead(chunk);
  groups.headChunk[slot] = none;
  noteTail(tables, slot, none);
}

/** Counts the group's runs from another base: indexes outgrow 32 bits, or turn out to begin lower. */
export function rebase(tables: RunTables, slot: number, base: number): void {
  const { groups } = tables;
  const shift = (groups.base[slot] as number) - base;
  if (shift === 0) return;
  eachRun(tables, slot, (words, at) => {
    const relative = (words[at] as number) + shift;
    assert(relative >= 0 && relative <= 0xffff_ffff, 'an index out of the reach of its base');
    words[at] = relative;
  });
  groups.base[slot] = base;
}

/** Puts a run where the group has none of its entries; false where it has some. */
export function insertRun(tables: RunTables, slot: number, place: RunPlace): boolean {
  const { groups, runs, use } = tables;
  settle(tables, slot);
  if (place.first < (groups.base[slot] as number)) {
    rebase(tables, slot, Math.max(1, place.first - 2 ** 30));
  }
  const relative = place.first - (groups.base[slot] as number);
  assert(relative <= 0xffff_ffff, 'an index out of the reach of its base');
  // The last chunk that begins at or below; runs in it that do come before the new one.
  let chunk = groups.headChunk[slot] as number;
  if (chunk === none) {
    chunk = runs.allocate(none);
    groups.headChunk[slot] = chunk;
    noteTail(tables, slot, chunk);
  }
  for (let next = runs.nextOf(chunk); next !== none; next = runs.nextOf(chunk)) {
    if ((runs.page(next)[runs.baseOf(next) + chunkHeadWords] as number) > relative) break;
    chunk = next;
  }
  const runAt = (of: number, run: number): number =>
    runs.baseOf(of) + chunkHeadWords + run * runWords;
  let before = 0;
  while (
    before < runs.usedIn(chunk) &&
    (runs.page(chunk)[runAt(chunk, before)] as number) <= relative
  ) {
    before++;
  }
  if (before > 0) {
    const at = runAt(chunk, before - 1);
    const words = runs.page(chunk);
    if ((words[at] as number) + countOf(words[at + 1] as number) > relative) return false;
  }
  const isLast = before === runs.usedIn(chunk);
  const follower = isLast ? runs.nextOf(chunk) : chunk;
  if (follower !== none) {
    const nextFirst = runs.page(follower)[runAt(follower, isLast ? 0 : before)] as number;
    if (relative + place.count > nextFirst) return false;
  }
  if (runs.usedIn(chunk) === chunkRuns) {
    const half = chunkRuns / 2;
    const added = runs.split(chunk, half);
    if (groups.tailChunk[slot] === chunk) groups.tailChunk[slot] = added;
    if (before > half) {
      chunk = added;
      before -= half;
    }
  }
  const words = runs.page(chunk);
  const base = runs.baseOf(chunk);
  const used = words[base + 2] as number;
  const at = runAt(chunk, before);
  words.copyWithin(at + runWords, at, runAt(chunk, used));
  words[base + 2] = used + 1;
  words[at] = relative;
  words[at + 1] = packLength(place.count, place.recLen);
  words[at + 2] = place.segSlot;
  words[at + 3] = place.offset / 8;
  noteTail(tables, slot, groups.tailChunk[slot] as number);
  use.addRun(place.segSlot, place.recLen);
  return true;
}

/** The first index of first..last that no run holds, or 0. */
export function findGap(tables: RunTables, slot: number): number {
  const { groups } = tables;
  const base = groups.base[slot] as number;
  let next = groups.first[slot] as number;
  let gap = 0;
  eachRun(tables, slot, (words, at) => {
    const first = (words[at] as number) + base;
    if (first !== next && gap === 0) gap = Math.max(1, Math.min(first, next));
    next = first + countOf(words[at + 1] as number);
  });
  if (gap === 0 && next !== (groups.last[slot] as number) + 1) gap = next;
  return gap;
}
