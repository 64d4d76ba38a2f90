// Whether the records of a batch can be: they fill the body exactly, and lengths, numbers and block CRCs hold. What they
// mean together is replay.ts's question.

import {
  type BlockVerdict,
  blockBytesAt,
  blockBytesMax,
  blockCount,
  blockTerm,
  entriesFlagRewrite,
  ignorableTypeMin,
  type RecordHead,
  recordHeadAt,
  recordHeadBytes,
  recordTypes,
  u16At,
  u64At,
  verifyBlockInRecord,
} from '@flotilla/codec';
import {
  compactAt,
  compactFlagConfig,
  groupRemoveAt,
  groupStateAt,
  paddingMask,
  snapshotAt,
  snapshotFlagReset,
} from './group-records.ts';
import {
  entriesRecordBytes,
  groupOpenFixedBytes,
  groupOpenPaddingMask,
  hardStateAt,
  hardStateRecordBytes,
  truncateRecordBytes,
} from './records.ts';
import type { BatchFault } from './scan.ts';

const nothing = { records: 0, bytes: 0 };

// The faults of a record of entries have one wording, whether it is held whole (here) or checked piece by piece
// (large-batch.ts).
export const format = (summary: string): BatchFault => ({ fault: 'format', summary });
export const unknownFlags = (flags: number): BatchFault => ({
  fault: 'version',
  summary: `unknown flags ${flags}`,
});
export const brokenBlock = (verdict: Exclude<BlockVerdict, 'ok'>): BatchFault =>
  format(`its block is broken (${verdict})`);

/** What is wrong with a record of entries whose block, at `block`, is sound in itself; or null. */
export function entriesFault(bytes: Uint8Array, block: number, recLen: number): BatchFault | null {
  if (blockTerm(bytes, block) < 1) return format('entries of term 0');
  const blockBytes = blockBytesAt(bytes, block);
  if (entriesRecordBytes(blockBytes) !== recLen) return format('its length is not its block’s');
  if (blockCount(bytes, block) > 1 && blockBytes > blockBytesMax) {
    return format(`a block of several entries with ${blockBytes} bytes`);
  }
  return null;
}

/**
 * Whether the records from `start` on end exactly at `end`, are `count`, and are each of a shape that can be. `before`:
 * what of the body stands before them, for naming. `words`: the memory as words, where the caller has it so.
 */
export function checkRecords(
  bytes: Uint8Array,
  start: number,
  end: number,
  count: number,
  before: { readonly records: number; readonly bytes: number } = nothing,
  words: Int32Array | null = null,
): BatchFault | null {
  let at = start;
  for (let i = 0; i < count; i++) {
    const head = recordHeadAt(bytes, at, end);
    const name = (): string => `record ${before.records + i} at +${before.bytes + at - start}`;
    if (head === null) return format(`${name()} has an impossible head`);
    const fault = checkRecord(bytes, at, head, words);
    if (fault !== null) {
      const what = `${name()} (type ${head.type}, group ${head.groupId})`;
      return { fault: fault.fault, summary: `${what}: ${fault.summary}` };
    }
    at += head.recLen;
  }
  return at === end ? null : format(`${count} records end ${end - at} bytes before the body does`);
}

function checkRecord(
  bytes: Uint8Array,
  at: number,
  { type, flags, recLen }: RecordHead,
  words: Int32Array | null,
): BatchFault | null {
  switch (type) {
    case recordTypes.entries: {
      if ((flags & ~entriesFlagRewrite) !== 0) return unknownFlags(flags);
      const block = at + recordHeadBytes;
      const verdict = verifyBlockInRecord(bytes, block, at + recLen, words);
      return verdict === 'ok' ? entriesFault(bytes, block, recLen) : brokenBlock(verdict);
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
      if ((flags & ~groupOpenPaddingMask) !== 0) return unknownFlags(flags);
      if (recLen < groupOpenFixedBytes + flags) return format('a wrong length');
      const generation = u64At(bytes, at + 16);
      if (generation < 0 || u64At(bytes, at + 24) < 0) return format('a number above 2^53 - 1');
      return generation % 0x1_0000 === u16At(bytes, at + 2) ? null : format('two generations');
    }
    case recordTypes.compact:
      if ((flags & ~(paddingMask | compactFlagConfig)) !== 0) return unknownFlags(flags);
      return compactAt(bytes, at) === null ? format('lengths or numbers that cannot be') : null;
    case recordTypes.snapshot:
      if ((flags & ~(paddingMask | snapshotFlagReset)) !== 0) return unknownFlags(flags);
      return snapshotAt(bytes, at) === null ? format('lengths or numbers that cannot be') : null;
    case recordTypes.groupRemove:
      if (flags !== 0) return unknownFlags(flags);
      return groupRemoveAt(bytes, at) === null ? format('lengths or numbers that cannot be') : null;
    case recordTypes.groupState:
      if ((flags & ~paddingMask) !== 0) return unknownFlags(flags);
      return groupStateAt(bytes, at) === null ? format('lengths or numbers that cannot be') : null;
    case recordTypes.pad:
    case recordTypes.footer:
      return null;
    default:
      if (type >= ignorableTypeMin) return null;
      return { fault: 'version', summary: 'a record type that this version does not know' };
  }
}
