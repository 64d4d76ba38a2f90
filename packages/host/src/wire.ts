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

import { highHalf, u64AtWord } from '@flotilla/codec';
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
const fromGenerationAt = 16;
const toGenerationAt = 20;
const termAt = 24;

/**
 * Writes `message` of the group at byte `at` of the memory (room for messageBytesMax) and answers its length. Everything
 * here takes memory as words and places in it as bytes: a record begins at a multiple of 8 of its frame.
 */
export function putMessage(
  words: Int32Array,
  at: number,
  message: Message,
  groupId: number,
  sharedAt: number,
): number {
  const kind = message.kind;
  const recordBytes = recordBytesByKind[kind] as number;
  const flags = (message.granted ? flagGranted : 0) | (message.forced ? flagForced : 0);
  const word = at >>> 2;
  words[word] = kind | (flags << 8) | (recordBytes << 16);
  words[word + 1] = 0;
  putU64(words, word + 2, groupId);
  words[word + 4] = message.fromGeneration;
  words[word + 5] = message.toGeneration;
  putU64(words, word + 6, message.term);
  switch (kind) {
    case messageKinds.append:
      putU64(words, word + 8, message.prevIndex);
      putU64(words, word + 10, message.prevTerm);
      putU64(words, word + 12, message.commit);
      putU64(words, word + 14, message.lastIndex);
      putU64(words, word + 16, message.entriesTerm);
      words[word + 18] = message.stream;
      words[word + 19] = sharedAt;
      break;
    case messageKinds.appendAnswer:
      putU64(words, word + 8, message.index);
      putU64(words, word + 10, message.hintTerm);
      words[word + 12] = message.stream;
      words[word + 13] = 0;
      break;
    case messageKinds.heartbeat:
      putU64(words, word + 8, message.commit);
      putU64(words, word + 10, message.token);
      break;
    case messageKinds.heartbeatAnswer:
    case messageKinds.readIndex:
      putU64(words, word + 8, message.token);
      break;
    case messageKinds.preVote:
    case messageKinds.vote:
      putU64(words, word + 8, message.index);
      putU64(words, word + 10, message.logTerm);
      break;
    case messageKinds.readIndexAnswer:
      putU64(words, word + 8, message.token);
      putU64(words, word + 10, message.index);
      break;
    case messageKinds.logReverted:
      putU64(words, word + 8, message.index);
      break;
    default: // the vote answers and timeoutNow have nothing more
  }
  return recordBytes;
}

function putU64(words: Int32Array, word: number, value: number): void {
  words[word] = value;
  words[word + 1] = highHalf(value);
}

/**
 * Bytes of the record at `at` of a body that ends at `end`, or 0 where it cannot be one: an unknown type, another
 * length than its type has, or no room.
 */
export function messageBytesAt(words: Int32Array, at: number, end: number): number {
  if (end - at < 32) return 0;
  const head = words[at >>> 2] as number;
  const recordBytes = recordBytesByKind[head & 0xff] as number;
  return recordBytes > 0 && recordBytes === head >>> 16 && recordBytes <= end - at
    ? recordBytes
    : 0;
}

/** Whether the record at `at` is not a Raft message but one of member-wire.ts. */
export function isHostRecord(words: Int32Array, at: number): boolean {
  return messageKindAt(words, at) >= hostRecordTypeMin;
}

export function messageKindAt(words: Int32Array, at: number): number {
  return (words[at >>> 2] as number) & 0xff;
}
export function messageGroupId(words: Int32Array, at: number): number {
  return u64AtWord(words, (at + groupIdAt) >>> 2);
}
export function messageToGeneration(words: Int32Array, at: number): number {
  return (words[(at + toGenerationAt) >>> 2] as number) >>> 0;
}
export function messageFromGeneration(words: Int32Array, at: number): number {
  return (words[(at + fromGenerationAt) >>> 2] as number) >>> 0;
}
export function messageTerm(words: Int32Array, at: number): number {
  return u64AtWord(words, (at + termAt) >>> 2);
}
/** Whether the record is the answer of a follower that took an append. */
export function isGrantedAnswer(words: Int32Array, at: number): boolean {
  return (
    ((words[at >>> 2] as number) & 0xffff) === (messageKinds.appendAnswer | (flagGranted << 8))
  );
}
/** The index that an append's answer names. */
export function answerIndex(words: Int32Array, at: number): number {
  return u64AtWord(words, (at + 32) >>> 2);
}
export function answerHintTerm(words: Int32Array, at: number): number {
  return u64AtWord(words, (at + 40) >>> 2);
}
export function answerStream(words: Int32Array, at: number): number {
  return (words[(at + 48) >>> 2] as number) >>> 0;
}
/** An append's offset into the frame's shared part. */
export function messageSharedAt(words: Int32Array, at: number): number {
  return (words[(at + 76) >>> 2] as number) >>> 0;
}

/**
 * Reads the record at `at`, whose length has been checked, into `message`. False where a number exceeds 2^53 - 1 or the
 * sender's generation is 0.
 */
export function readMessage(words: Int32Array, at: number, message: Message): boolean {
  message.clear();
  const word = at >>> 2;
  const head = words[word] as number;
  const kind = (head & 0xff) as MessageKind;
  message.kind = kind;
  message.granted = (head & (flagGranted << 8)) !== 0;
  message.forced = (head & (flagForced << 8)) !== 0;
  message.fromGeneration = (words[word + 4] as number) >>> 0;
  message.term = u64AtWord(words, word + 6);
  switch (kind) {
    case messageKinds.append:
      message.prevIndex = u64AtWord(words, word + 8);
      message.prevTerm = u64AtWord(words, word + 10);
      message.commit = u64AtWord(words, word + 12);
      message.lastIndex = u64AtWord(words, word + 14);
      message.entriesTerm = u64AtWord(words, word + 16);
      message.stream = (words[word + 18] as number) >>> 0;
      break;
    case messageKinds.appendAnswer:
      message.index = u64AtWord(words, word + 8);
      message.hintTerm = u64AtWord(words, word + 10);
      message.stream = (words[word + 12] as number) >>> 0;
      break;
    case messageKinds.heartbeat:
      message.commit = u64AtWord(words, word + 8);
      message.token = u64AtWord(words, word + 10);
      break;
    case messageKinds.heartbeatAnswer:
    case messageKinds.readIndex:
      message.token = u64AtWord(words, word + 8);
      break;
    case messageKinds.preVote:
    case messageKinds.vote:
      message.index = u64AtWord(words, word + 8);
      message.logTerm = u64AtWord(words, word + 10);
      break;
    case messageKinds.readIndexAnswer:
      message.token = u64AtWord(words, word + 8);
      message.index = u64AtWord(words, word + 10);
      break;
    case messageKinds.logReverted:
      message.index = u64AtWord(words, word + 8);
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
