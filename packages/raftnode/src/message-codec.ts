// Bytes of the messages between nodes, for whoever has no form of his own. Everything is little-endian.
//
//   0  version (1)   1  type (1..)   2  flags   3  zero   4  from u32   8  to u32   12  term u64   20  body
//
//   requestVote      lastLogIndex u64, lastLogTerm u64                 flags: 1 pre-vote, 2 force
//   voteReply        -                                                 flags: 1 pre-vote, 4 granted
//   appendEntries    prevLogIndex u64, prevLogTerm u64, leaderCommit u64, stream u64, entries
//   appendReply      index u64, hintTerm u64, stream u64               flags: 4 success
//   heartbeat        leaderCommit u64
//   installSnapshot  index u64, term u64, stream u64, members, data
//   logReverted      index u64
//   entries          count u32, one term u64, then per entry: kind u8 (1 command, 2 blank, 3 members), bytes or members
//   members          count u32, node ids u32;   data, command: length u32, bytes
//
// Decoding believes nothing: every length is held against what is there before anything is made, and whatever does not
// fit is a FlotillaError PROTOCOL_VIOLATION, never another one. No frame makes it allocate more than a small multiple of
// its own length. What was decoded encodes to the same bytes.

import { putU32, putU64, u32At, u64At } from '@flotilla/codec';
import { votersMax } from '@flotilla/core';
import { FlotillaError } from '@flotilla/io';
import { messageTypes, type RaftMessage } from './events.ts';
import type { LogEntry } from './sync-log.ts';

const version = 1;
const flagPreVote = 1;
const flagForce = 2;
const flagGranted = 4;
const headBytes = 20;
const entryKinds = ['command', 'blank', 'members'] as const;

export function encodeMessage(message: RaftMessage): Uint8Array {
  const writer = new Writer();
  writer.u8(version);
  writer.u8(messageTypes.indexOf(message.type) + 1);
  writer.u8(flagsOf(message));
  writer.u8(0);
  writer.u32(message.from);
  writer.u32(message.to);
  writer.u64(message.term);
  switch (message.type) {
    case 'requestVote':
      writer.u64(message.lastLogIndex);
      writer.u64(message.lastLogTerm);
      break;
    case 'appendEntries':
      writer.u64(message.prevLogIndex);
      writer.u64(message.prevLogTerm);
      writer.u64(message.leaderCommit);
      writer.u64(message.stream);
      writeEntries(writer, message.entries);
      break;
    case 'appendReply':
      writer.u64(message.index);
      writer.u64(message.hintTerm);
      writer.u64(message.stream);
      break;
    case 'heartbeat':
      writer.u64(message.leaderCommit);
      break;
    case 'installSnapshot':
      writer.u64(message.snapshot.index);
      writer.u64(message.snapshot.term);
      writer.u64(message.stream);
      writeMembers(writer, message.snapshot.members);
      writer.bytes(message.snapshot.data);
      break;
    case 'logReverted':
      writer.u64(message.index);
      break;
    default:
      break;
  }
  return writer.finish();
}

function flagsOf(message: RaftMessage): number {
  if (message.type === 'requestVote') {
    return (message.isPreVote ? flagPreVote : 0) | (message.force ? flagForce : 0);
  }
  if (message.type === 'voteReply') {
    return (message.isPreVote ? flagPreVote : 0) | (message.granted ? flagGranted : 0);
  }
  return message.type === 'appendReply' && message.success ? flagGranted : 0;
}

function writeEntries(writer: Writer, entries: readonly LogEntry[]): void {
  writer.u32(entries.length);
  writer.u64(entries[0]?.term ?? 0);
  for (const entry of entries) {
    writer.u8(entryKinds.indexOf(entry.kind) + 1);
    if (entry.kind === 'command') writer.bytes(entry.command);
    if (entry.kind === 'members') writeMembers(writer, entry.members);
  }
}

function writeMembers(writer: Writer, members: readonly number[]): void {
  writer.u32(members.length);
  for (const nodeId of members) writer.u32(nodeId);
}

/** Throws FlotillaError PROTOCOL_VIOLATION. What it answers holds no reference to `bytes`. */
export function decodeMessage(bytes: Uint8Array): RaftMessage {
  if (bytes.length < headBytes) throw violation(`${bytes.length} bytes are no message`);
  if (bytes[0] !== version) throw violation(`version ${bytes[0]} is not known`);
  const type = messageTypes[(bytes[1] as number) - 1];
  if (type === undefined) throw violation(`type ${bytes[1]} is not known`);
  if (bytes[3] !== 0) throw violation('a reserved byte is not zero');
  const reader = new Reader(bytes);
  const flags = bytes[2] as number;
  const envelope = { from: reader.u32(), to: reader.u32(), term: reader.u64() };
  const message = { ...envelope, ...bodyOf(type, flags, reader) } as RaftMessage;
  reader.finish();
  if (flagsOf(message) !== flags) throw violation(`flags ${flags} do not belong to ${type}`);
  return message;
}

/** The body alone; each field is one of its type. */
function bodyOf(type: RaftMessage['type'], flags: number, reader: Reader): object {
  const isPreVote = (flags & flagPreVote) !== 0;
  switch (type) {
    case 'requestVote': {
      const force = (flags & flagForce) !== 0;
      return { type, isPreVote, lastLogIndex: reader.u64(), lastLogTerm: reader.u64(), force };
    }
    case 'voteReply':
      return { type, isPreVote, granted: (flags & flagGranted) !== 0 };
    case 'appendEntries': {
      const prevLogIndex = reader.u64();
      const prevLogTerm = reader.u64();
      const leaderCommit = reader.u64();
      const stream = reader.u64();
      const entries = readEntries(reader, prevLogIndex);
      return { type, prevLogIndex, prevLogTerm, entries, leaderCommit, stream };
    }
    case 'appendReply': {
      const success = (flags & flagGranted) !== 0;
      return { type, success, index: reader.u64(), hintTerm: reader.u64(), stream: reader.u64() };
    }
    case 'heartbeat':
      return { type, leaderCommit: reader.u64() };
    case 'installSnapshot': {
      const index = reader.u64();
      const term = reader.u64();
      const stream = reader.u64();
      const members = readMembers(reader);
      return { type, snapshot: { index, term, members, data: reader.bytes() }, stream };
    }
    case 'logReverted':
      return { type, index: reader.u64() };
    default:
      return { type };
  }
}

function readEntries(reader: Reader, prevLogIndex: number): LogEntry[] {
  const count = reader.u32();
  const term = reader.u64();
  if (count === 0 && term !== 0) throw violation('no entry has a term');
  // The smallest entry is one byte.
  if (count > reader.left) throw violation(`${count} entries do not fit ${reader.left} bytes`);
  if (prevLogIndex > Number.MAX_SAFE_INTEGER - count) throw violation('the indexes are used up');
  const entries: LogEntry[] = [];
  for (let index = prevLogIndex + 1; index <= prevLogIndex + count; index++) {
    const kind = entryKinds[reader.u8() - 1];
    if (kind === 'command') entries.push({ kind, index, term, command: reader.bytes() });
    else if (kind === 'members') entries.push({ kind, index, term, members: readMembers(reader) });
    else if (kind === 'blank') entries.push({ kind, index, term });
    else throw violation('an entry of no known kind');
  }
  return entries;
}

function readMembers(reader: Reader): number[] {
  const count = reader.u32();
  if (count < 1 || count > votersMax) throw violation(`${count} members are not possible`);
  const members: number[] = [];
  for (let i = 0; i < count; i++) {
    const nodeId = reader.u32();
    if (nodeId <= (members.at(-1) ?? 0)) throw violation('members do not ascend');
    members.push(nodeId);
  }
  return members;
}

function violation(message: string): FlotillaError {
  return new FlotillaError('PROTOCOL_VIOLATION', `not a message of a node: ${message}`);
}

class Writer {
  #bytes: Uint8Array = new Uint8Array(64);
  #length = 0;

  u8(value: number): void {
    this.#grow(1)[this.#length++] = value;
  }

  u32(value: number): void {
    putU32(this.#grow(4), this.#length, value);
    this.#length += 4;
  }

  u64(value: number): void {
    putU64(this.#grow(8), this.#length, value);
    this.#length += 8;
  }

  bytes(value: Uint8Array): void {
    this.u32(value.length);
    this.#grow(value.length).set(value, this.#length);
    this.#length += value.length;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #grow(count: number): Uint8Array {
    const needed = this.#length + count;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    return this.#bytes;
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 4;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  u32(): number {
    return u32At(this.#bytes, this.#take(4));
  }

  u64(): number {
    const value = u64At(this.#bytes, this.#take(8));
    if (value < 0) throw violation('a number is not a safe integer');
    return value;
  }

  bytes(): Uint8Array {
    const length = this.u32();
    const at = this.#take(length);
    return this.#bytes.slice(at, at + length);
  }

  finish(): void {
    if (this.left > 0) throw violation(`${this.left} bytes too many`);
  }

  #take(count: number): number {
    if (count > this.left) throw violation(`it ends ${count - this.left} bytes too soon`);
    const at = this.#at;
    this.#at += count;
    return at;
  }
}
