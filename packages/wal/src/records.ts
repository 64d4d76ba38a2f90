// Bodies of the records that the log makes by itself: hard state, truncation, group open, filler. Entry records carry a
// block (codec's block.ts) and are laid by the host into memory that the log hands out.
//
//   HARDSTATE (2)        term u64, vote { nodeId u32, generation u32, instance u64 }, commit u64
//   TRUNCATE_SUFFIX (3)  from u64
//   GROUP_OPEN (6)       generation u64, replicaId u64, configuration bytes; flags bits 0..2 = padding bytes of the record
//   PAD (10)             zeros

import {
  alignUp,
  highHalf,
  putRecordHead,
  putU32,
  putU64,
  recordAlignment,
  recordHeadBytes,
  recordTypes,
  u32At,
  u64At,
} from '@flotilla/codec';
import type { VoteIdentity } from './api.ts';

export const hardStateRecordBytes: number = recordHeadBytes + 32;
export const truncateRecordBytes: number = recordHeadBytes + 8;
export const groupOpenFixedBytes: number = recordHeadBytes + 16;
/** GROUP_OPEN flags: how many bytes of padding follow the configuration. */
export const groupOpenPaddingMask = 7;

export function entriesRecordBytes(blockBytes: number): number {
  return alignUp(recordHeadBytes + blockBytes, recordAlignment);
}

export function groupOpenRecordBytes(configBytes: number): number {
  return alignUp(groupOpenFixedBytes + configBytes, recordAlignment);
}

/** The head of an ENTRIES record, written as words: this is the hot path. */
export function putEntriesHead(
  words: Int32Array,
  at: number,
  recLen: number,
  generation: number,
  groupId: number,
): void {
  const word = at >>> 2;
  words[word] = recordTypes.entries | (generation << 16);
  words[word + 1] = recLen;
  words[word + 2] = groupId;
  words[word + 3] = highHalf(groupId);
}

export function putHardState(
  bytes: Uint8Array,
  at: number,
  group: { readonly groupId: number; readonly generation: number },
  term: number,
  vote: VoteIdentity,
  commit: number,
): void {
  putHead(bytes, at, recordTypes.hardState, 0, hardStateRecordBytes, group);
  putU64(bytes, at + 16, term);
  putU32(bytes, at + 24, vote.nodeId);
  putU32(bytes, at + 28, vote.generation);
  putU64(bytes, at + 32, vote.instance);
  putU64(bytes, at + 40, commit);
}

export function putTruncate(
  bytes: Uint8Array,
  at: number,
  group: { readonly groupId: number; readonly generation: number },
  from: number,
): void {
  putHead(bytes, at, recordTypes.truncateSuffix, 0, truncateRecordBytes, group);
  putU64(bytes, at + 16, from);
}

export function putGroupOpen(
  bytes: Uint8Array,
  at: number,
  group: { readonly groupId: number; readonly generation: number },
  replicaId: number,
  config: Uint8Array,
): void {
  const recLen = groupOpenRecordBytes(config.length);
  const padding = recLen - groupOpenFixedBytes - config.length;
  putHead(bytes, at, recordTypes.groupOpen, padding, recLen, group);
  putU64(bytes, at + 16, group.generation);
  putU64(bytes, at + 24, replicaId);
  bytes.set(config, at + groupOpenFixedBytes);
  bytes.fill(0, at + recLen - padding, at + recLen);
}

export function putPad(bytes: Uint8Array, at: number, recLen: number): void {
  putHead(bytes, at, recordTypes.pad, 0, recLen, { groupId: 0, generation: 0 });
  bytes.fill(0, at + recordHeadBytes, at + recLen);
}

function putHead(
  bytes: Uint8Array,
  at: number,
  type: number,
  flags: number,
  recLen: number,
  group: { readonly groupId: number; readonly generation: number },
): void {
  const generationLow = group.generation % 0x1_0000;
  putRecordHead(bytes, at, { type, flags, generationLow, recLen, groupId: group.groupId });
}

export interface HardStateBody {
  readonly term: number;
  readonly vote: VoteIdentity;
  readonly commit: number;
}

/** Body of a HARDSTATE record whose head starts at `at`; numbers above 2^53 - 1 read as -1. */
export function hardStateAt(bytes: Uint8Array, at: number): HardStateBody {
  return {
    term: u64At(bytes, at + 16),
    vote: {
      nodeId: u32At(bytes, at + 24),
      generation: u32At(bytes, at + 28),
      instance: u64At(bytes, at + 32),
    },
    commit: u64At(bytes, at + 40),
  };
}
