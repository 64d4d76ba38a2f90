// Raft messages as records in the body of a frame.
//
//   offset size field
//   0      1    type            a messageKinds number of the core
//   1      1    flags           1 granted, 2 forced
//   2      2    recordBytes     of this record; a multiple of 8
//   4      4    zero
//   8      8    groupId
//   16     4    fromGeneration  of the sender's replica
//   20     4    toGeneration    of the addressee's replica; a message for another generation is dropped
//   24     8    term
//   then, by type:
//   append           32 prevIndex u64, 40 prevTerm u64, 48 commit u64, 56 lastIndex u64, 64 entriesTerm u64,
//                    72 stream u32, 76 sharedAt u32 (where its run of ENTRIES records begins in the frame's shared part)
//   appendAnswer     32 index u64, 40 hintTerm u64, 48 stream u32, 52 zero
//   heartbeat        32 commit u64, 40 token u64
//   heartbeatAnswer  32 token u64
//   preVote, vote    32 index u64, 40 logTerm u64
//   their answers    nothing more
//   readIndex        32 token u64
//   readIndexAnswer  32 token u64, 40 index u64
//   timeoutNow       nothing more
//   logReverted      32 index u64
//
// The sender's node id is not here: it is the proven identity of the connection. Types 64 and above are in member-wire.ts.

import { putU16, putU32, putU64, u16At, u32At, u64At } from '@flotilla/codec';
import { type Message, type MessageKind, messageKinds } from '@flotilla/core';
import {
  answerBytes,
  beatBytes,
  hostRecordTypeMin,
  memberRecordTypes,
  questionBytes,
} from './member-wire.ts';

const flagGranted = 1;
const flagForced = 2;

/** Bytes of a record by type; 0 = no such type. A snapshot is no record: it needs a lane of its own. */
const recordBytesByKind: Uint8Array = new Uint8Array(256);
recordBytesByKind.set([0, 80, 56, 48, 40, 48, 32, 48, 32, 40, 48, 32, 0, 40]);
recordBytesByKind[memberRecordTypes.question] = questionBytes;
recordBytesByKind[memberRecordTypes.answer] = answerBytes;
recordBytesByKind[memberRecordTypes.beat] = beatBytes;
export const messageBytesMax = 80;
const groupIdAt = 8;
const toGenerationAt = 20;
const termAt = 24;

/** Writes `message` of the group at `at` (room for messageBytesMax) and answers its length. */
export function putMessage(
  bytes: Uint8Array,
  at: number,
  message: Message,
  groupId: number,
  sharedAt: number,
): number {
  const kind = message.kind;
  const recordBytes = recordBytesByKind[kind] as number;
  bytes[at] = kind;
  bytes[at + 1] = (message.granted ? flagGranted : 0) | (message.forced ? flagForced : 0);
  putU16(bytes, at + 2, recordBytes);
  putU32(bytes, at + 4, 0);
  putU64(bytes, at + groupIdAt, groupId);
  putU32(bytes, at + 16, message.fromGeneration);
  putU32(bytes, at + toGenerationAt, message.toGeneration);
  putU64(bytes, at + termAt, message.term);
  switch (kind) {
    case messageKinds.append:
      putU64(bytes, at + 32, message.prevIndex);
      putU64(bytes, at + 40, message.prevTerm);
      putU64(bytes, at + 48, message.commit);
      putU64(bytes, at + 56, message.lastIndex);
      putU64(bytes, at + 64, message.entriesTerm);
      putU32(bytes, at + 72, message.stream);
      putU32(bytes, at + 76, sharedAt);
      break;
    case messageKinds.appendAnswer:
      putU64(bytes, at + 32, message.index);
      putU64(bytes, at + 40, message.hintTerm);
      putU32(bytes, at + 48, message.stream);
      putU32(bytes, at + 52, 0);
      break;
    case messageKinds.heartbeat:
      putU64(bytes, at + 32, message.commit);
      putU64(bytes, at + 40, message.token);
      break;
    case messageKinds.heartbeatAnswer:
    case messageKinds.readIndex:
      putU64(bytes, at + 32, message.token);
      break;
    case messageKinds.preVote:
    case messageKinds.vote:
      putU64(bytes, at + 32, message.index);
      putU64(bytes, at + 40, message.logTerm);
      break;
    case messageKinds.readIndexAnswer:
      putU64(bytes, at + 32, message.token);
      putU64(bytes, at + 40, message.index);
      break;
    case messageKinds.logReverted:
      putU64(bytes, at + 32, message.index);
      break;
    default: // the vote answers and timeoutNow have nothing more
  }
  return recordBytes;
}

/**
 * Bytes of the record at `at` of a body that ends at `end`, or 0 where it cannot be one: an unknown type, another
 * length than its type has, or no room.
 */
export function messageBytesAt(bytes: Uint8Array, at: number, end: number): number {
  if (end - at < 32) return 0;
  const recordBytes = recordBytesByKind[bytes[at] as number] ?? 0;
  return recordBytes > 0 && recordBytes === u16At(bytes, at + 2) && recordBytes <= end - at
    ? recordBytes
    : 0;
}

/** Whether the record at `at` is not a Raft message but one of member-wire.ts. */
export function isHostRecord(bytes: Uint8Array, at: number): boolean {
  return (bytes[at] as number) >= hostRecordTypeMin;
}

export function messageGroupId(bytes: Uint8Array, at: number): number {
  return u64At(bytes, at + groupIdAt);
}
export function messageToGeneration(bytes: Uint8Array, at: number): number {
  return u32At(bytes, at + toGenerationAt);
}
export function isAppendAnswer(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === messageKinds.appendAnswer;
}
/** The index that an append's answer names. */
export function answerIndex(bytes: Uint8Array, at: number): number {
  return u64At(bytes, at + 32);
}
/** An append's offset into the frame's shared part. */
export function messageSharedAt(bytes: Uint8Array, at: number): number {
  return u32At(bytes, at + 76);
}

/**
 * Reads the record at `at`, whose length has been checked, into `message`. False where a number exceeds 2^53 - 1 or the
 * sender's generation is 0.
 */
export function readMessage(bytes: Uint8Array, at: number, message: Message): boolean {
  message.clear();
  const kind = bytes[at] as MessageKind;
  const flags = bytes[at + 1] as number;
  message.kind = kind;
  message.granted = (flags & flagGranted) !== 0;
  message.forced = (flags & flagForced) !== 0;
  message.fromGeneration = u32At(bytes, at + 16);
  message.term = u64At(bytes, at + termAt);
  switch (kind) {
    case messageKinds.append:
      message.prevIndex = u64At(bytes, at + 32);
      message.prevTerm = u64At(bytes, at + 40);
      message.commit = u64At(bytes, at + 48);
      message.lastIndex = u64At(bytes, at + 56);
      message.entriesTerm = u64At(bytes, at + 64);
      message.stream = u32At(bytes, at + 72);
      break;
    case messageKinds.appendAnswer:
      message.index = u64At(bytes, at + 32);
      message.hintTerm = u64At(bytes, at + 40);
      message.stream = u32At(bytes, at + 48);
      break;
    case messageKinds.heartbeat:
      message.commit = u64At(bytes, at + 32);
      message.token = u64At(bytes, at + 40);
      break;
    case messageKinds.heartbeatAnswer:
    case messageKinds.readIndex:
      message.token = u64At(bytes, at + 32);
      break;
    case messageKinds.preVote:
    case messageKinds.vote:
      message.index = u64At(bytes, at + 32);
      message.logTerm = u64At(bytes, at + 40);
      break;
    case messageKinds.readIndexAnswer:
      message.token = u64At(bytes, at + 32);
      message.index = u64At(bytes, at + 40);
      break;
    case messageKinds.logReverted:
      message.index = u64At(bytes, at + 32);
      break;
    default: // the vote answers and timeoutNow have nothing more
  }
  return (
    message.fromGeneration >= 1 &&
    message.term >= 0 &&
    message.prevIndex >= 0 &&
    message.prevTerm >= 0 &&
    message.commit >= 0 &&
    message.lastIndex >= 0 &&
    message.entriesTerm >= 0 &&
    message.index >= 0 &&
    message.logTerm >= 0 &&
    message.hintTerm >= 0 &&
    message.token >= 0
  );
}
