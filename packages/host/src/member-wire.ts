// What hosts ask each other about membership, as records beside the Raft messages on the control lane. They are about a
// group and a node, and may arrive where no replica of the group lives.
//
//   question   0 type 64, 1 zero, 2 recordBytes u16, 4 zero u32, 8 groupId u64, 16 fromGeneration u32 of the leader that
//              asks, 20 zero u32, 24 configurationIndex u64, 32 token u64
//              "You are no member of this group by the configuration committed at configurationIndex. Which generation
//              would your next replica have?"
//   answer     0 type 65, 1 flags, 2 recordBytes u16, 4 zero u32, 8 groupId u64, 16 generation u32, 20 toGeneration u32,
//              24 token u64
//              flags: 1 = a replica of that generation stands there and waits to join
//
//   beat       0 type 66, 1 zero, 2 recordBytes u16, the rest zero: "this connection lives"; on the append lane too, in a
//              frame of answers
//
// The instance of the node that answers is not here: it is what its connection has proven.

import { putU16, putU32, putU64, u16At, u32At, u64At } from '@flotilla/codec';

export const memberRecordTypes = { question: 64, answer: 65, beat: 66 } as const;
export const questionBytes = 40;
export const answerBytes = 32;
export const beatBytes = 32;
/** Types of records that are no Raft messages begin here. */
export const hostRecordTypeMin = 64;
const flagReady = 1;

export interface MemberQuestion {
  readonly groupId: number;
  readonly fromGeneration: number;
  readonly configurationIndex: number;
  readonly token: number;
}

export interface MemberAnswer {
  readonly groupId: number;
  readonly generation: number;
  readonly toGeneration: number;
  readonly token: number;
  readonly isReady: boolean;
}

export function encodeQuestion(question: MemberQuestion): Uint8Array {
  const bytes = headOf(memberRecordTypes.question, questionBytes, question.groupId);
  putU32(bytes, 16, question.fromGeneration);
  putU64(bytes, 24, question.configurationIndex);
  putU64(bytes, 32, question.token);
  return bytes;
}

export function encodeAnswer(answer: MemberAnswer): Uint8Array {
  const bytes = headOf(memberRecordTypes.answer, answerBytes, answer.groupId);
  bytes[1] = answer.isReady ? flagReady : 0;
  putU32(bytes, 16, answer.generation);
  putU32(bytes, 20, answer.toGeneration);
  putU64(bytes, 24, answer.token);
  return bytes;
}

/** Says nothing; whoever sends it learns whether its connection is dead. */
export const beatRecord: Uint8Array = headOf(memberRecordTypes.beat, beatBytes, 0);

export function isBeat(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === memberRecordTypes.beat;
}

function headOf(type: number, length: number, groupId: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes[0] = type;
  putU16(bytes, 2, length);
  putU64(bytes, 8, groupId);
  return bytes;
}

function isHead(bytes: Uint8Array, at: number, type: number, length: number): boolean {
  return bytes[at] === type && u16At(bytes, at + 2) === length && u64At(bytes, at + 8) >= 1;
}

/** The question at `at`, whose length has been checked; null where a number cannot be one. */
export function questionAt(bytes: Uint8Array, at: number): MemberQuestion | null {
  const question = {
    groupId: u64At(bytes, at + 8),
    fromGeneration: u32At(bytes, at + 16),
    configurationIndex: u64At(bytes, at + 24),
    token: u64At(bytes, at + 32),
  };
  const isSound =
    isHead(bytes, at, memberRecordTypes.question, questionBytes) &&
    question.fromGeneration >= 1 &&
    question.configurationIndex >= 0 &&
    question.token >= 1;
  return isSound ? question : null;
}

/** The answer at `at`, whose length has been checked; null where a number cannot be one. */
export function answerAt(bytes: Uint8Array, at: number): MemberAnswer | null {
  const flags = bytes[at + 1] as number;
  const answer = {
    groupId: u64At(bytes, at + 8),
    generation: u32At(bytes, at + 16),
    toGeneration: u32At(bytes, at + 20),
    token: u64At(bytes, at + 24),
    isReady: flags === flagReady,
  };
  const isSound =
    isHead(bytes, at, memberRecordTypes.answer, answerBytes) &&
    flags <= flagReady &&
    answer.generation >= 1 &&
    answer.toGeneration >= 1 &&
    answer.token >= 1;
  return isSound ? answer : null;
}
