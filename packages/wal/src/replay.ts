// What the records of a batch mean for the index. Two passes over a batch whose checksums hold: the first checks that
// its records fill the body exactly and that each can be, the second applies them in order. A batch is applied whole or
// not at all, and nothing is believed that contradicts what came before it.

import {
  blockBytesAt,
  blockBytesMax,
  blockCount,
  blockFirstIndex,
  blockTerm,
  ignorableTypeMin,
  recordHeadAt,
  recordHeadBytes,
  recordTypes,
  u16At,
  u32At,
  u64At,
  verifyBlockInRecord,
} from '@flotilla/codec';
import { batchHeaderBytes } from './format.ts';
import type { LogIndex } from './log-index.ts';
import {
  entriesRecordBytes,
  groupOpenFixedBytes,
  groupOpenPaddingMask,
  hardStateAt,
  hardStateRecordBytes,
  truncateRecordBytes,
} from './records.ts';
import type { BatchFault, ScannedBatch } from './scan.ts';

const format = (summary: string): BatchFault => ({ fault: 'format', summary });
const state = (summary: string): BatchFault => ({ fault: 'state', summary });

/** Checks and applies a batch; `segSlot` is the slot of its segment in the index. */
export function replayBatch(
  index: LogIndex,
  batch: ScannedBatch,
  segSlot: number,
): BatchFault | null {
  const { bytes, at, bodyLen, recordCount } = batch;
  const start = at + batchHeaderBytes;
  const fault = checkRecords(bytes, start, start + bodyLen, recordCount);
  if (fault !== null) return fault;
  for (let record = start; record < start + bodyLen; record += u32At(bytes, record + 4)) {
    const offset = batch.offset + (record - at);
    const broken = applyRecord(index, bytes, record, segSlot, offset);
    if (broken !== null) return broken;
  }
  return null;
}

/** Whether the records from `start` on end exactly at `end`, are `count`, and are each of a shape that can be. */
export function checkRecords(
  bytes: Uint8Array,
  start: number,
  end: number,
  count: number,
): BatchFault | null {
  let at = start;
  for (let i = 0; i < count; i++) {
    const head = recordHeadAt(bytes, at, end);
    if (head === null) return format(`record ${i} at +${at - start} has an impossible head`);
    const fault = checkRecord(bytes, at, head.type, head.flags, head.recLen);
    if (fault !== null) {
      const what = `record ${i} at +${at - start} (type ${head.type}, group ${head.groupId})`;
      return { fault: fault.fault, summary: `${what}: ${fault.summary}` };
    }
    at += head.recLen;
  }
  return at === end ? null : format(`${count} records end ${end - at} bytes before the body does`);
}

function checkRecord(
  bytes: Uint8Array,
  at: number,
  type: number,
  flags: number,
  recLen: number,
): BatchFault | null {
  switch (type) {
    case recordTypes.entries: {
      if (flags !== 0) return { fault: 'version', summary: `unknown flags ${flags}` };
      const block = at + recordHeadBytes;
      const verdict = verifyBlockInRecord(bytes, block, at + recLen);
      if (verdict !== 'ok') return format(`its block is broken (${verdict})`);
      const blockBytes = blockBytesAt(bytes, block);
      if (entriesRecordBytes(blockBytes) !== recLen) return format('its length is not its block’s');
      if (blockCount(bytes, block) > 1 && blockBytes > blockBytesMax) {
        return format(`a block of several entries with ${blockBytes} bytes`);
      }
      return null;
    }
    case recordTypes.hardState: {
      if (recLen !== hardStateRecordBytes) return format('a wrong length');
      const { term, vote, commit } = hardStateAt(bytes, at);
      return term < 0 || commit < 0 || vote.instance < 0 ? format('a number above 2^53 - 1') : null;
    }
    case recordTypes.truncateSuffix:
      if (recLen !== truncateRecordBytes) return format('a wrong length');
      return u64At(bytes, at + recordHeadBytes) < 1 ? format('an impossible index') : null;
    case recordTypes.groupOpen: {
      if ((flags & ~groupOpenPaddingMask) !== 0)
        return { fault: 'version', summary: `unknown flags ${flags}` };
      if (recLen < groupOpenFixedBytes + flags) return format('a wrong length');
      const generation = u64At(bytes, at + 16);
      if (generation < 0 || u64At(bytes, at + 24) < 0) return format('a number above 2^53 - 1');
      return generation % 0x1_0000 === u16At(bytes, at + 2) ? null : format('two generations');
    }
    case recordTypes.pad:
    case recordTypes.footer:
      return null;
    default:
      if (type >= ignorableTypeMin) return null;
      return { fault: 'version', summary: 'a record type that this version does not know' };
  }
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
  const slot = groups.slotOf(groupId);
  if (type === recordTypes.groupOpen) {
    if (slot >= 0) return state(`group ${groupId} is opened twice`);
    const end = at + u32At(bytes, at + 4) - (bytes[at + 1] as number);
    const config = bytes.slice(at + groupOpenFixedBytes, end);
    groups.add(groupId, u64At(bytes, at + 16), u64At(bytes, at + 24), config);
    return null;
  }
  if (slot < 0)
    return { fault: 'hole', summary: `group ${groupId} has records but was never opened` };
  const generation = groups.generation[slot] as number;
  if (generation % 0x1_0000 !== u16At(bytes, at + 2)) {
    return state(`a record of another generation of group ${groupId} (now ${generation})`);
  }
  const last = groups.last[slot] as number;
  const commit = groups.commit[slot] as number;
  switch (type) {
    case recordTypes.entries: {
      const block = at + recordHeadBytes;
      const first = blockFirstIndex(bytes, block);
      const term = blockTerm(bytes, block);
      if (first > last + 1) {
        return { fault: 'hole', summary: `group ${groupId}: index ${first} follows ${last}` };
      }
      if (first <= commit || first < (groups.first[slot] as number)) {
        return state(
          `group ${groupId}: index ${first} overwrites committed entries (commit ${commit})`,
        );
      }
      if (term < index.termOf(slot, first - 1) || term > (groups.term[slot] as number)) {
        return state(`group ${groupId}: term ${term} at index ${first} is out of order`);
      }
      if (first <= last) index.truncate(slot, first);
      index.append(
        slot,
        first,
        blockCount(bytes, block),
        term,
        segSlot,
        offset,
        u32At(bytes, at + 4),
      );
      return null;
    }
    case recordTypes.hardState: {
      const body = hardStateAt(bytes, at);
      if (body.term < (groups.term[slot] as number)) {
        return state(`group ${groupId}: term ${body.term} after ${groups.term[slot]}`);
      }
      if (body.commit > last)
        return state(`group ${groupId}: commit ${body.commit} after last index ${last}`);
      index.setHardState(slot, body.term, body.vote, body.commit);
      return null;
    }
    default: {
      const from = u64At(bytes, at + recordHeadBytes);
      if (from <= commit || from > last + 1) {
        return state(
          `group ${groupId}: a truncation from ${from} with commit ${commit} and last ${last}`,
        );
      }
      index.truncate(slot, from);
      return null;
    }
  }
}

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
  for (let record = start; record < start + bodyLen; record += u32At(bytes, record + 4)) {
    if (bytes[record] !== recordTypes.entries) continue;
    const slot = index.groups.slotOf(u64At(bytes, record + 8));
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
