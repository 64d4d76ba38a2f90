// What the records of a batch mean for the index. Two passes over a batch whose checksums hold: the first checks that
// its records fill the body exactly and that each can be, the second applies them in order. A batch is applied whole or
// not at all, and nothing is believed that contradicts what came before it.
//
// What stood in the oldest segments and was still needed has been written again further on, so a group's records can
// come before the record that introduces it and its entries can have gaps that are filled later. Until it is introduced
// a group is provisional: its records are taken as far as they go, and unfinishedGroup() looks at the end whether every
// group was introduced and has no gap.

import {
  blockCount,
  blockFirstIndex,
  blockTerm,
  entriesFlagRewrite,
  ignorableTypeMin,
  isConfigurationBlock,
  recordHeadBytes,
  recordTypes,
  u16At,
  u32At,
  u64At,
} from '@flotilla/codec';
import { checkRecords } from './check-records.ts';
import { batchHeaderBytes } from './format.ts';
import {
  compactAt,
  type GroupStateBody,
  groupRemoveAt,
  groupStateAt,
  snapshotAt,
  snapshotFlagReset,
} from './group-records.ts';
import { groupStatus } from './group-table.ts';
import type { LogIndex } from './log-index.ts';
import { groupOpenFixedBytes, hardStateAt } from './records.ts';
import type { BatchFault, ScannedBatch } from './scan.ts';

export { checkRecords } from './check-records.ts';

const state = (summary: string): BatchFault => ({ fault: 'state', summary });
const hole = (summary: string): BatchFault => ({ fault: 'hole', summary });

/**
 * Checks and applies a batch; `segSlot` is the slot of its segment in the index. Of a batch that comes in parts all were
 * checked before the first; one that a thread has checked is not checked again.
 */
export function replayBatch(
  index: LogIndex,
  batch: ScannedBatch,
  segSlot: number,
): BatchFault | null {
  const { bytes, words, recordsAt, recordsEnd, bodyLen } = batch;
  if (recordsEnd - recordsAt === bodyLen && !batch.isCut && !batch.isChecked) {
    const { recordCount } = batch;
    const fault = checkRecords(bytes, recordsAt, recordsEnd, recordCount, undefined, words);
    if (fault !== null) return fault;
  }
  index.use.reach(segSlot);
  const bodyAt = batch.offset + batchHeaderBytes + batch.before;
  for (let record = recordsAt; record < recordsEnd; record += u32At(bytes, record + 4)) {
    const offset = bodyAt + (record - recordsAt);
    const broken = applyRecord(index, bytes, record, segSlot, offset);
    if (broken !== null) return broken;
  }
  return null;
}

/** What is missing at the end of a log: a group that nothing introduced, or entries that stand nowhere; null = nothing. */
export function unfinishedGroup(index: LogIndex): string | null {
  const { groups } = index;
  for (let slot = 0; slot < groups.size; slot++) {
    const groupId = groups.groupId[slot] as number;
    if (!groups.isIntroduced(slot)) return `group ${groupId} has records but was never opened`;
    const gap = index.gapIn(slot);
    if (gap > 0) {
      const first = groups.first[slot] as number;
      const last = groups.last[slot] as number;
      return `group ${groupId}: index ${gap} of its log ${first}..${last} stands nowhere`;
    }
  }
  return null;
}

/** Applies one checked record that stands at file offset `offset`. */
function applyRecord(
  index: LogIndex,
  bytes: Uint8Array,
  at: number,
  segSlot: number,
  offset: number,
): BatchFault | null {
  const type = bytes[at] as number;
  if (type === recordTypes.pad || type === recordTypes.footer || type >= ignorableTypeMin)
    return null;
  const { groups } = index;
  const groupId = u64At(bytes, at + 8);
  if (type === recordTypes.groupOpen) return applyOpen(index, bytes, at, segSlot, groupId);
  if (type === recordTypes.groupState) return applyState(index, bytes, at, segSlot, groupId);
  if (type === recordTypes.groupRemove) return applyRemove(index, bytes, at, segSlot, groupId);
  const generationLow = u16At(bytes, at + 2);
  let slot = groups.slotOf(groupId);
  // Known from the records that follow only: the rest was restated further on.
  if (slot < 0) slot = groups.add(groupId, generationLow, 0, new Uint8Array(0));
  const generation = groups.generation[slot] as number;
  if (generation % 0x1_0000 !== generationLow) {
    return state(`a record of another generation of group ${groupId} (now ${generation})`);
  }
  if (groups.isRemoved(slot)) return state(`a record of group ${groupId}, which was removed`);
  switch (type) {
    case recordTypes.entries:
      if (((bytes[at + 1] as number) & entriesFlagRewrite) !== 0) {
        return applyRewrite(index, bytes, at, segSlot, offset, slot);
      }
      return applyEntries(index, bytes, at, segSlot, offset, slot);
    case recordTypes.hardState:
      return applyHardState(index, bytes, at, slot);
    case recordTypes.compact:
      return applyCompact(index, bytes, at, slot);
    case recordTypes.snapshot:
      return applySnapshot(index, bytes, at, slot);
    default:
      return applyTruncate(index, bytes, at, slot);
  }
}

// --- Records that introduce a group ----------------------------------------------------------------------------------

function applyOpen(
  index: LogIndex,
  bytes: Uint8Array,
  at: number,
  segSlot: number,
  groupId: number,
): BatchFault | null {
  const { groups } = index;
  if (groups.slotOf(groupId) >= 0) return state(`group ${groupId} is opened twice`);
  const end = at + u32At(bytes, at + 4) - (bytes[at + 1] as number);
  const config = bytes.slice(at + groupOpenFixedBytes, end);
  const slot = groups.add(groupId, u64At(bytes, at + 16), u64At(bytes, at + 24), config);
  index.introduce(slot, segSlot, u32At(bytes, at + 4));
  return null;
}

function applyRemove(
  index: LogIndex,
  bytes: Uint8Array,
  at: number,
  segSlot: number,
  groupId: number,
): BatchFault | null {
  const { groups } = index;
  const body = groupRemoveAt(bytes, at);
  if (body === null) return state('a removal that cannot be read');
  let slot = groups.slotOf(groupId);
  if (slot < 0) slot = groups.add(groupId, body.generation, 0, new Uint8Array(0));
  const now = groups.generation[slot] as number;
  const isSame = groups.isIntroduced(slot)
    ? now === body.generation
    : now % 0x1_0000 === body.generation % 0x1_0000;
  if (!isSame) {
    return state(
      `group ${groupId} of generation ${now} is removed as generation ${body.generation}`,
    );
  }
  if (body.term < (groups.term[slot] as number)) {
    return state(`group ${groupId}: a tombstone of term ${body.term} after ${groups.term[slot]}`);
  }
  groups.generation[slot] = body.generation;
  index.remove(slot, body);
  index.introduce(slot, segSlot, u32At(bytes, at + 4));
  return null;
}

function applyState(
  index: LogIndex,
  bytes: Uint8Array,
  at: number,
  segSlot: number,
  groupId: number,
): BatchFault | null {
  const { groups } = index;
  const body = groupStateAt(bytes, at);
  if (body === null) return state('a group state that cannot be read');
  let slot = groups.slotOf(groupId);
  if (slot < 0) slot = groups.add(groupId, body.generation, 0, new Uint8Array(0));
  const contradiction = contradictionIn(index, slot, body);
  if (contradiction !== null) return state(`group ${groupId}: ${contradiction}`);
  if (groups.isRemoved(slot)) {
    index.reopen(slot, body.generation, body.replicaId, body.config);
    index.reset(slot, body.firstIndex - 1, body.prevTerm);
  }
  groups.generation[slot] = body.generation;
  groups.replicaId[slot] = body.replicaId;
  groups.config[slot] = body.config;
  groups.snapshot[slot] = body.snapshot;
  index.setHardState(slot, body.term, body.vote, body.commit);
  if (!groups.isIntroduced(slot)) {
    index.compact(slot, body.firstIndex, body.prevTerm);
    index.extend(slot, body.lastIndex);
    groups.status[slot] = (groups.status[slot] as number) | groupStatus.mayHaveGaps;
  }
  index.introduce(slot, segSlot, u32At(bytes, at + 4));
  return null;
}

/** What a restatement says that cannot be after what is known of the group, or null. */
function contradictionIn(index: LogIndex, slot: number, body: GroupStateBody): string | null {
  const { groups } = index;
  const generation = groups.generation[slot] as number;
  const term = groups.term[slot] as number;
  if (body.term < term) return `restated with term ${body.term} after ${term}`;
  if (groups.isRemoved(slot)) {
    const isNew = body.generation > generation && body.lastIndex < body.firstIndex;
    return isNew ? null : `begun again as generation ${body.generation} after ${generation}`;
  }
  if (groups.isIntroduced(slot)) {
    if (body.generation !== generation) {
      return `restated as generation ${body.generation}, it is ${generation}`;
    }
    if (body.firstIndex !== groups.first[slot] || body.lastIndex !== groups.last[slot]) {
      return (
        `restated with the entries ${body.firstIndex}..${body.lastIndex}, ` +
        `it has ${groups.first[slot]}..${groups.last[slot]}`
      );
    }
    return body.commit < (groups.commit[slot] as number) ? 'restated with a lower commit' : null;
  }
  if (body.generation % 0x1_0000 !== generation % 0x1_0000) {
    return `restated as generation ${body.generation} after records of another`;
  }
  const last = groups.last[slot] as number;
  const isLastKnown = ((groups.status[slot] as number) & groupStatus.lastKnown) !== 0;
  if (body.lastIndex < last || (isLastKnown && body.lastIndex !== last)) {
    return `restated with last index ${body.lastIndex}, it has ${last}`;
  }
  if (body.firstIndex < (groups.first[slot] as number)) return 'restated with a lower first index';
  return body.commit < (groups.commit[slot] as number) ? 'restated with a lower commit' : null;
}

// --- Records of a group ----------------------------------------------------------------------------------------------

function isLastKnown(index: LogIndex, slot: number): boolean {
  return ((index.groups.status[slot] as number) & groupStatus.lastKnown) !== 0;
}

function knowLast(index: LogIndex, slot: number): void {
  const { groups } = index;
  groups.status[slot] = (groups.status[slot] as number) | groupStatus.lastKnown;
}

function applyEntries(
  index: LogIndex,
  bytes: Uint8Array,
  at: number,
  segSlot: number,
  offset: number,
  slot: number,
): BatchFault | null {
  const { groups } = index;
  const groupId = groups.groupId[slot] as number;
  const block = at + recordHeadBytes;
  const first = blockFirstIndex(bytes, block);
  const term = blockTerm(bytes, block);
  const commit = groups.commit[slot] as number;
  if (!isLastKnown(index, slot)) {
    index.extend(slot, first - 1);
    knowLast(index, slot);
  }
  const last = groups.last[slot] as number;
  if (first > last + 1) return hole(`group ${groupId}: index ${first} follows ${last}`);
  if (first <= commit || first < (groups.first[slot] as number)) {
    return state(
      `group ${groupId}: index ${first} overwrites committed entries (commit ${commit})`,
    );
  }
  const isTermKnown = groups.isIntroduced(slot) || (groups.term[slot] as number) > 0;
  if (
    term < index.knownTermOf(slot, first - 1) ||
    (isTermKnown && term > (groups.term[slot] as number))
  ) {
    return state(`group ${groupId}: term ${term} at index ${first} is out of order`);
  }
  if (first <= last) index.truncate(slot, first);
  if (((groups.status[slot] as number) & groupStatus.mayHaveGaps) !== 0) {
    index.followGap(slot, term);
  }
  const count = blockCount(bytes, block);
  if (isConfigurationBlock(bytes, block)) index.noteConfiguration(slot, first);
  index.append(slot, first, count, term, segSlot, offset, u32At(bytes, at + 4));
  return null;
}

function applyRewrite(
  index: LogIndex,
  bytes: Uint8Array,
  at: number,
  segSlot: number,
  offset: number,
  slot: number,
): BatchFault | null {
  const { groups } = index;
  const block = at + recordHeadBytes;
  const first = blockFirstIndex(bytes, block);
  const count = blockCount(bytes, block);
  const last = first + count - 1;
  const isOutside =
    first < (groups.first[slot] as number) ||
    (isLastKnown(index, slot) && last > (groups.last[slot] as number));
  const place = { first, count, segSlot, offset, recLen: u32At(bytes, at + 4) };
  if (isConfigurationBlock(bytes, block)) index.noteConfiguration(slot, first);
  if (!isOutside && index.restore(slot, place, blockTerm(bytes, block))) return null;
  return state(
    `group ${groups.groupId[slot]}: entries ${first}..${last} stand here again and are not those of the log`,
  );
}

function applyHardState(
  index: LogIndex,
  bytes: Uint8Array,
  at: number,
  slot: number,
): BatchFault | null {
  const { groups } = index;
  const groupId = groups.groupId[slot] as number;
  const body = hardStateAt(bytes, at);
  if (body.term < (groups.term[slot] as number)) {
    return state(`group ${groupId}: term ${body.term} after ${groups.term[slot]}`);
  }
  const last = groups.last[slot] as number;
  if (body.commit > last) {
    if (isLastKnown(index, slot)) {
      return state(`group ${groupId}: commit ${body.commit} after last index ${last}`);
    }
    index.extend(slot, body.commit);
  }
  index.setHardState(slot, body.term, body.vote, body.commit);
  return null;
}

function applyTruncate(
  index: LogIndex,
  bytes: Uint8Array,
  at: number,
  slot: number,
): BatchFault | null {
  const { groups } = index;
  const from = u64At(bytes, at + recordHeadBytes);
  const commit = groups.commit[slot] as number;
  if (!isLastKnown(index, slot)) {
    index.extend(slot, from - 1);
    knowLast(index, slot);
  }
  const last = groups.last[slot] as number;
  if (from <= commit || from > last + 1 || from < (groups.first[slot] as number)) {
    return state(
      `group ${groups.groupId[slot]}: a truncation from ${from} with commit ${commit} and last ${last}`,
    );
  }
  index.truncate(slot, from);
  return null;
}

function applyCompact(
  index: LogIndex,
  bytes: Uint8Array,
  at: number,
  slot: number,
): BatchFault | null {
  const { groups } = index;
  const body = compactAt(bytes, at);
  if (body === null) return state('a compaction that cannot be read');
  const { firstIndex, prevTerm } = body;
  const isKnown = groups.isIntroduced(slot);
  const commit = groups.commit[slot] as number;
  const outOfLog =
    firstIndex < (groups.first[slot] as number) ||
    (isKnown && firstIndex > (groups.last[slot] as number) + 1);
  // 0 where the entry stands further on.
  const knownTerm = index.knownTermOf(slot, firstIndex - 1);
  if (outOfLog || (isKnown && knownTerm > 0 && prevTerm !== knownTerm)) {
    return state(
      `group ${groups.groupId[slot]}: a compaction to ${firstIndex} (term ${prevTerm} before it) ` +
        `of the entries ${groups.first[slot]}..${groups.last[slot]} with commit ${commit}`,
    );
  }
  index.compact(slot, firstIndex, prevTerm);
  if (firstIndex - 1 > commit) groups.commit[slot] = firstIndex - 1;
  if (body.config !== null) groups.config[slot] = body.config;
  return null;
}

function applySnapshot(
  index: LogIndex,
  bytes: Uint8Array,
  at: number,
  slot: number,
): BatchFault | null {
  const { groups } = index;
  const snapshot = snapshotAt(bytes, at);
  if (snapshot === null) return state('a snapshot that cannot be read');
  const before = groups.snapshot[slot];
  if (before !== null && before !== undefined && snapshot.index < before.index) {
    return state(`group ${groups.groupId[slot]}: snapshot ${snapshot.index} after ${before.index}`);
  }
  const { index: covered, term } = snapshot;
  if (((bytes[at + 1] as number) & snapshotFlagReset) !== 0) {
    const commit = groups.commit[slot] as number;
    const isTermKnown = groups.isIntroduced(slot) || (groups.term[slot] as number) > 0;
    if (covered < commit || (isTermKnown && term > (groups.term[slot] as number))) {
      return state(
        `group ${groups.groupId[slot]}: a snapshot of ${covered} in term ${term} replaces a log committed to ${commit}`,
      );
    }
    index.reset(slot, covered, term);
    knowLast(index, slot);
    groups.commit[slot] = covered;
    groups.config[slot] = snapshot.config;
  } else if (groups.isIntroduced(slot) && covered > (groups.last[slot] as number)) {
    return state(
      `group ${groups.groupId[slot]}: a snapshot of ${covered}, behind the end of its log`,
    );
  } else if (covered > (groups.commit[slot] as number)) {
    groups.commit[slot] = covered;
  }
  index.noteSnapshot(slot, snapshot);
  return null;
}

/** Records that say what a group is. */
const introducing: ReadonlySet<number> = new Set([
  recordTypes.groupOpen,
  recordTypes.groupRemove,
  recordTypes.groupState,
]);

/** Moves the index entries of a batch that now stands elsewhere; records that were overwritten since have none. */
export function moveBatch(
  index: LogIndex,
  bytes: Uint8Array,
  at: number,
  bodyLen: number,
  from: { readonly segSlot: number; readonly offset: number },
  to: { readonly segSlot: number; readonly offset: number },
): void {
  const start = at + batchHeaderBytes;
  index.use.reach(to.segSlot);
  for (let record = start; record < start + bodyLen; record += u32At(bytes, record + 4)) {
    const type = bytes[record] as number;
    const slot = index.groups.slotOf(u64At(bytes, record + 8));
    if (introducing.has(type)) index.introduce(slot, to.segSlot, u32At(bytes, record + 4));
    if (type !== recordTypes.entries) continue;
    const block = record + recordHeadBytes;
    const first = blockFirstIndex(bytes, block);
    const last = Math.min(first + blockCount(bytes, block) - 1, index.groups.last[slot] as number);
    if (slot < 0 || last < first) continue;
    const distance = record - at;
    index.move(
      slot,
      first,
      { segSlot: from.segSlot, offset: from.offset + distance },
      { segSlot: to.segSlot, offset: to.offset + distance },
    );
  }
}
