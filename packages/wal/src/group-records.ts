// Bodies of the records that state what a group is: compaction, snapshot, removal, full restatement. FORMAT.md has the
// same tables in prose; records.ts has the records of the write path.
//
//   COMPACT (4)       firstIndex u64, prevTerm u64, configuration bytes (flag 8: they replace the group's)
//   SNAPSHOT (5)      a snapshot body; flag 8: the log is dropped and begins behind `index`
//   GROUP_REMOVE (7)  generation u64, term u64, vote: the tombstone
//   GROUP_STATE (8)   everything but the entries
//
// Flags bits 0..2 of those that end in bytes of any length: how many bytes of padding follow these.

import {
  alignUp,
  putRecordHead,
  putU32,
  putU64,
  recordAlignment,
  recordHeadBytes,
  recordTypes,
  u16At,
  u32At,
  u64At,
} from '@flotilla/codec';
import type { SnapshotInfo, VoteIdentity } from './api.ts';

export const paddingMask = 7;
/** COMPACT: the record carries a configuration. SNAPSHOT: the log is dropped. */
export const compactFlagConfig = 8;
export const snapshotFlagReset = 8;

export const compactFixedBytes: number = recordHeadBytes + 16;
export const groupRemoveRecordBytes: number = recordHeadBytes + 32;
/** index, term, id, size, crc and the length of the configuration. */
export const snapshotFixedBytes = 48;
export const snapshotIdBytes = 16;
export const groupStateFixedBytes: number = recordHeadBytes + 80;

/** Whose record it is. */
export interface RecordOwner {
  readonly groupId: number;
  readonly generation: number;
}

export interface CompactBody {
  readonly firstIndex: number;
  readonly prevTerm: number;
  /** Null = the group keeps the one it has. */
  readonly config: Uint8Array | null;
}

export interface RemoveBody {
  readonly generation: number;
  readonly term: number;
  readonly vote: VoteIdentity;
}

export interface GroupStateBody {
  readonly generation: number;
  readonly replicaId: number;
  readonly term: number;
  readonly vote: VoteIdentity;
  readonly commit: number;
  readonly firstIndex: number;
  readonly prevTerm: number;
  readonly lastIndex: number;
  readonly config: Uint8Array;
  readonly snapshot: SnapshotInfo | null;
}

function putHead(
  bytes: Uint8Array,
  at: number,
  type: number,
  flags: number,
  recLen: number,
  owner: RecordOwner,
): void {
  const generationLow = owner.generation % 0x1_0000;
  putRecordHead(bytes, at, { type, flags, generationLow, recLen, groupId: owner.groupId });
}

function putVote(bytes: Uint8Array, at: number, vote: VoteIdentity): void {
  putU32(bytes, at, vote.nodeId);
  putU32(bytes, at + 4, vote.generation);
  putU64(bytes, at + 8, vote.instance);
}

function voteAt(bytes: Uint8Array, at: number): VoteIdentity {
  return {
    nodeId: u32At(bytes, at),
    generation: u32At(bytes, at + 4),
    instance: u64At(bytes, at + 8),
  };
}

// --- COMPACT ---------------------------------------------------------------------------------------------------------

export function compactRecordBytes(config: Uint8Array | null): number {
  return alignUp(compactFixedBytes + (config?.length ?? 0), recordAlignment);
}

export function putCompact(
  bytes: Uint8Array,
  at: number,
  owner: RecordOwner,
  body: CompactBody,
): void {
  const recLen = compactRecordBytes(body.config);
  const end = at + compactFixedBytes + (body.config?.length ?? 0);
  const padding = at + recLen - end;
  const flags = padding | (body.config === null ? 0 : compactFlagConfig);
  putHead(bytes, at, recordTypes.compact, flags, recLen, owner);
  putU64(bytes, at + 16, body.firstIndex);
  putU64(bytes, at + 24, body.prevTerm);
  if (body.config !== null) bytes.set(body.config, at + compactFixedBytes);
  bytes.fill(0, end, at + recLen);
}

/** The body of a COMPACT record whose head stands at `at`, or null where it cannot be one. */
export function compactAt(bytes: Uint8Array, at: number): CompactBody | null {
  const flags = bytes[at + 1] as number;
  const recLen = u32At(bytes, at + 4);
  const end = at + recLen - (flags & paddingMask);
  const hasConfig = (flags & compactFlagConfig) !== 0;
  if (end < at + compactFixedBytes || (!hasConfig && recLen !== compactFixedBytes)) return null;
  const firstIndex = u64At(bytes, at + 16);
  const prevTerm = u64At(bytes, at + 24);
  if (firstIndex < 1 || prevTerm < 0) return null;
  const config = hasConfig ? bytes.slice(at + compactFixedBytes, end) : null;
  return { firstIndex, prevTerm, config };
}

// --- SNAPSHOT --------------------------------------------------------------------------------------------------------

function putSnapshotBody(bytes: Uint8Array, at: number, snapshot: SnapshotInfo): void {
  putU64(bytes, at, snapshot.index);
  putU64(bytes, at + 8, snapshot.term);
  bytes.set(snapshot.id.subarray(0, snapshotIdBytes), at + 16);
  putU64(bytes, at + 32, snapshot.bytes);
  putU32(bytes, at + 40, snapshot.crc);
  putU32(bytes, at + 44, snapshot.config.length);
  bytes.set(snapshot.config, at + snapshotFixedBytes);
}

/** The snapshot body that fills the bytes from `at` to `end`, or null where none can stand there. */
function snapshotBodyAt(bytes: Uint8Array, at: number, end: number): SnapshotInfo | null {
  if (end - at < snapshotFixedBytes) return null;
  if (u32At(bytes, at + 44) !== end - at - snapshotFixedBytes) return null;
  const snapshot: SnapshotInfo = {
    index: u64At(bytes, at),
    term: u64At(bytes, at + 8),
    id: bytes.slice(at + 16, at + 32),
    bytes: u64At(bytes, at + 32),
    crc: u32At(bytes, at + 40),
    config: bytes.slice(at + snapshotFixedBytes, end),
  };
  return snapshot.index < 1 || snapshot.term < 1 || snapshot.bytes < 0 ? null : snapshot;
}

export function snapshotRecordBytes(snapshot: SnapshotInfo): number {
  return alignUp(recordHeadBytes + snapshotFixedBytes + snapshot.config.length, recordAlignment);
}

export function putSnapshot(
  bytes: Uint8Array,
  at: number,
  owner: RecordOwner,
  snapshot: SnapshotInfo,
  resetsLog: boolean,
): void {
  const recLen = snapshotRecordBytes(snapshot);
  const end = at + recordHeadBytes + snapshotFixedBytes + snapshot.config.length;
  const flags = (at + recLen - end) | (resetsLog ? snapshotFlagReset : 0);
  putHead(bytes, at, recordTypes.snapshot, flags, recLen, owner);
  putSnapshotBody(bytes, at + recordHeadBytes, snapshot);
  bytes.fill(0, end, at + recLen);
}

/** The snapshot that the SNAPSHOT record at `at` names, or null where it cannot be one. */
export function snapshotAt(bytes: Uint8Array, at: number): SnapshotInfo | null {
  const flags = bytes[at + 1] as number;
  const end = at + u32At(bytes, at + 4) - (flags & paddingMask);
  return snapshotBodyAt(bytes, at + recordHeadBytes, end);
}

// --- GROUP_REMOVE ----------------------------------------------------------------------------------------------------

export function putGroupRemove(
  bytes: Uint8Array,
  at: number,
  groupId: number,
  body: RemoveBody,
): void {
  const owner = { groupId, generation: body.generation };
  putHead(bytes, at, recordTypes.groupRemove, 0, groupRemoveRecordBytes, owner);
  putU64(bytes, at + 16, body.generation);
  putU64(bytes, at + 24, body.term);
  putVote(bytes, at + 32, body.vote);
}

export function groupRemoveAt(bytes: Uint8Array, at: number): RemoveBody | null {
  if (u32At(bytes, at + 4) !== groupRemoveRecordBytes) return null;
  const body: RemoveBody = {
    generation: u64At(bytes, at + 16),
    term: u64At(bytes, at + 24),
    vote: voteAt(bytes, at + 32),
  };
  if (body.generation < 0 || body.term < 0 || body.vote.instance < 0) return null;
  return body.generation % 0x1_0000 === u16At(bytes, at + 2) ? body : null;
}

// --- GROUP_STATE -----------------------------------------------------------------------------------------------------

function snapshotBytesOf(snapshot: SnapshotInfo | null): number {
  return snapshot === null ? 0 : snapshotFixedBytes + snapshot.config.length;
}

export function groupStateRecordBytes(body: {
  readonly config: Uint8Array;
  readonly snapshot: SnapshotInfo | null;
}): number {
  const tail = body.config.length + snapshotBytesOf(body.snapshot);
  return alignUp(groupStateFixedBytes + tail, recordAlignment);
}

export function putGroupState(
  bytes: Uint8Array,
  at: number,
  groupId: number,
  body: GroupStateBody,
): void {
  const recLen = groupStateRecordBytes(body);
  const snapshotBytes = snapshotBytesOf(body.snapshot);
  const end = at + groupStateFixedBytes + body.config.length + snapshotBytes;
  const owner = { groupId, generation: body.generation };
  putHead(bytes, at, recordTypes.groupState, at + recLen - end, recLen, owner);
  putU64(bytes, at + 16, body.generation);
  putU64(bytes, at + 24, body.replicaId);
  putU64(bytes, at + 32, body.term);
  putVote(bytes, at + 40, body.vote);
  putU64(bytes, at + 56, body.commit);
  putU64(bytes, at + 64, body.firstIndex);
  putU64(bytes, at + 72, body.prevTerm);
  putU64(bytes, at + 80, body.lastIndex);
  putU32(bytes, at + 88, body.config.length);
  putU32(bytes, at + 92, snapshotBytes);
  bytes.set(body.config, at + groupStateFixedBytes);
  if (body.snapshot !== null) {
    putSnapshotBody(bytes, at + groupStateFixedBytes + body.config.length, body.snapshot);
  }
  bytes.fill(0, end, at + recLen);
}

/** The body of a GROUP_STATE record whose head stands at `at`, or null where it cannot be one. */
export function groupStateAt(bytes: Uint8Array, at: number): GroupStateBody | null {
  const recLen = u32At(bytes, at + 4);
  if (recLen < groupStateFixedBytes) return null;
  const end = at + recLen - ((bytes[at + 1] as number) & paddingMask);
  const configEnd = at + groupStateFixedBytes + u32At(bytes, at + 88);
  const snapshotBytes = u32At(bytes, at + 92);
  if (configEnd + snapshotBytes !== end) return null;
  const snapshot = snapshotBytes === 0 ? null : snapshotBodyAt(bytes, configEnd, end);
  if (snapshotBytes > 0 && snapshot === null) return null;
  const body: GroupStateBody = {
    generation: u64At(bytes, at + 16),
    replicaId: u64At(bytes, at + 24),
    term: u64At(bytes, at + 32),
    vote: voteAt(bytes, at + 40),
    commit: u64At(bytes, at + 56),
    firstIndex: u64At(bytes, at + 64),
    prevTerm: u64At(bytes, at + 72),
    lastIndex: u64At(bytes, at + 80),
    config: bytes.slice(at + groupStateFixedBytes, configEnd),
    snapshot,
  };
  const { generation, replicaId, term, commit, firstIndex, prevTerm, lastIndex } = body;
  const numbersHold =
    generation >= 0 && replicaId >= 0 && term >= 0 && body.vote.instance >= 0 && prevTerm >= 0;
  if (!numbersHold || firstIndex < 1 || lastIndex < firstIndex - 1) return null;
  if (commit < 0 || commit > lastIndex || firstIndex - 1 > Math.max(commit, 0)) return null;
  return generation % 0x1_0000 === u16At(bytes, at + 2) ? body : null;
}
