// The head that every record of the log's stream has, on disk and in the shared part of an append frame.
//
//   offset size field
//   0      1    type        recordTypes below; 128 and above may be skipped by who does not know them
//   1      1    flags       per type
//   2      2    aux         low 16 bits of the replica's generation
//   4      4    recLen      bytes of the whole record, head and padding included; a multiple of 8, at least 16
//   8      8    groupId
//   16     ...  body, then zero bytes to a multiple of 8

import { putU16, putU32, putU64, u16At, u32At, u64At } from './integers.ts';

export const recordHeadBytes = 16;
export const recordAlignment = 8;

export const recordTypes = {
  entries: 1,
  hardState: 2,
  truncateSuffix: 3,
  compact: 4,
  snapshot: 5,
  groupOpen: 6,
  groupRemove: 7,
  groupState: 8,
  footer: 9,
  pad: 10,
} as const;
/** Unknown record types from here on may be skipped; a lower unknown type refuses. */
export const ignorableTypeMin = 128;

/** ENTRIES: the record moves or prepends a block, it never truncates. */
export const entriesFlagRewrite = 1;

export interface RecordHead {
  readonly type: number;
  readonly flags: number;
  readonly generationLow: number;
  readonly recLen: number;
  readonly groupId: number;
}

export function putRecordHead(bytes: Uint8Array, at: number, head: RecordHead): void {
  bytes[at] = head.type;
  bytes[at + 1] = head.flags;
  putU16(bytes, at + 2, head.generationLow);
  putU32(bytes, at + 4, head.recLen);
  putU64(bytes, at + 8, head.groupId);
}

/** Whether a record can have this length where `room` bytes are: not short, aligned, no overrun. */
function isRecordLength(recLen: number, room: number): boolean {
  return recLen >= recordHeadBytes && recLen % recordAlignment === 0 && recLen <= room;
}

/**
 * Bytes of the record at `at`, of memory that is there as words, that must end at or before `end`; 0 where it cannot be
 * one: no room, a length that is short, unaligned or overruns, no word begins at `at`.
 */
export function recordLengthAt(words: Int32Array, at: number, end: number): number {
  if (end - at < recordHeadBytes || (at & 3) !== 0) return 0;
  const recLen = (words[(at >>> 2) + 1] as number) >>> 0;
  return isRecordLength(recLen, end - at) ? recLen : 0;
}

/**
 * Reads and checks the head at `at`, of a record that must end at or before `end`.
 * Null where it cannot be one: no room, a length that is short, unaligned or overruns, an id above 2^53 - 1.
 */
export function recordHeadAt(bytes: Uint8Array, at: number, end: number): RecordHead | null {
  if (end - at < recordHeadBytes) return null;
  const recLen = u32At(bytes, at + 4);
  if (!isRecordLength(recLen, end - at)) return null;
  const groupId = u64At(bytes, at + 8);
  if (groupId < 0) return null;
  return {
    type: bytes[at] as number,
    flags: bytes[at + 1] as number,
    generationLow: u16At(bytes, at + 2),
    recLen,
    groupId,
  };
}
