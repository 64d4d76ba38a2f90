// Takes the entries of an append message out of a received frame: first checks every block that the message claims, then
// lays those that the core accepted. A block is verified once, whole; where only a part of it is taken (the replica
// holds a prefix already), that part is sealed anew.

import {
  blockBytesAt,
  blockBytesMax,
  blockCount,
  blockFirstIndex,
  blockHeaderBytes,
  blockTableSlotBytes,
  blockTerm,
  hasOnlyKnownEntries,
  isConfigurationBlock,
  recordHeadAt,
  recordHeadBytes,
  recordTypes,
  sliceBlock,
  slicedBlockBytes,
  verifyBlockInRecord,
} from '@flotilla/codec';
import type { Configuration, ConfigurationAt, Message } from '@flotilla/core';
import { assert } from '@flotilla/io';
import type { Wal } from '@flotilla/wal';
import { decodeConfiguration } from './configuration-codec.ts';
import type { Replica } from './replica.ts';

export class IncomingAppend {
  readonly #wal: Wal;
  #bytes: Uint8Array = new Uint8Array(0);
  /** Offsets of the record heads of the message checked last, and how many there are. */
  readonly #recordsAt: number[] = [];
  #records = 0;
  #configurations: ConfigurationAt[] = [];

  constructor(wal: Wal) {
    this.#wal = wal;
  }

  /**
   * Checks that the records from `at` on are ENTRIES of this group that hold the indexes prevIndex+1..lastIndex of the
   * message without a hole, all of entriesTerm, each block sound and no longer than `recordBytesMax`. (Not than entryBytesMax, which may have been
   * lowered since the entry was written.) Answers why not, or null; then the message has the configurations among them.
   */
  check(
    message: Message,
    groupId: number,
    bytes: Uint8Array,
    at: number,
    end: number,
    recordBytesMax: number,
  ): string | null {
    this.#bytes = bytes;
    this.#records = 0;
    if (this.#configurations.length > 0) this.#configurations = [];
    if (message.lastIndex === message.prevIndex) return null;
    if (message.lastIndex < message.prevIndex) return 'an append ends before it begins';
    let next = message.prevIndex + 1;
    let recordAt = at;
    while (next <= message.lastIndex) {
      const head = recordHeadAt(bytes, recordAt, end);
      if (head === null) return 'an append names entries that its frame does not hold';
      if (head.type !== recordTypes.entries || head.groupId !== groupId) {
        return 'an append points at a record that is not its own';
      }
      const blockAt = recordAt + recordHeadBytes;
      const verdict = verifyBlockInRecord(bytes, blockAt, recordAt + head.recLen);
      if (verdict !== 'ok') return `a block is damaged (${verdict})`;
      if (!hasOnlyKnownEntries(bytes, blockAt)) {
        return 'an entry has a codec or a type that this version does not know';
      }
      const first = blockFirstIndex(bytes, blockAt);
      const count = blockCount(bytes, blockAt);
      const isContiguous = this.#records === 0 ? first <= next : first === next;
      if (
        !isContiguous ||
        first + count <= next ||
        blockTerm(bytes, blockAt) !== message.entriesTerm
      ) {
        return 'the blocks of an append do not fit its indexes and term';
      }
      if (count > 1 && blockBytesAt(bytes, blockAt) > blockBytesMax) {
        return 'a block of several entries is too long';
      }
      if (head.recLen > recordBytesMax)
        return 'an entry is longer than a log segment here can hold';
      if (isConfigurationBlock(bytes, blockAt)) {
        const configuration = configurationOf(bytes, blockAt);
        if (configuration === null) return 'an append holds a configuration that none can be';
        this.#configurations.push({ index: first, configuration });
      }
      this.#recordsAt[this.#records++] = recordAt;
      recordAt += head.recLen;
      next = first + count;
    }
    if (this.#configurations.length > 0) {
      message.configurations = this.#configurations;
      this.#configurations = [];
    }
    return null;
  }

  /** Lays the entries first..last of the message checked last into the log of the replica. */
  lay(replica: Replica, term: number, first: number, last: number): void {
    const bytes = this.#bytes;
    let next = first;
    for (let i = 0; i < this.#records && next <= last; i++) {
      const blockAt = (this.#recordsAt[i] as number) + recordHeadBytes;
      const blockFirst = blockFirstIndex(bytes, blockAt);
      const blockLast = blockFirst + blockCount(bytes, blockAt) - 1;
      if (blockLast < next) continue;
      const end = Math.min(blockLast, last);
      if (blockFirst === next && blockLast === end) this.#layWhole(replica, term, blockAt);
      else this.#layPart(replica, term, blockAt, next, end);
      next = end + 1;
    }
    assert(next === last + 1, 'the message that was checked holds what the core took');
  }

  #layWhole(replica: Replica, term: number, blockAt: number): void {
    const wal = this.#wal;
    const bytes = this.#bytes;
    const blockBytes = blockBytesAt(bytes, blockAt);
    const firstIndex = blockFirstIndex(bytes, blockAt);
    wal.beginEntries(replica.slot, firstIndex, blockCount(bytes, blockAt), term, blockBytes);
    copyBytes(bytes, blockAt, blockBytes, wal.entriesBytes, wal.entriesAt);
    wal.finishEntries();
  }

  #layPart(replica: Replica, term: number, blockAt: number, first: number, last: number): void {
    const wal = this.#wal;
    const bytes = this.#bytes;
    const blockBytes = slicedBlockBytes(bytes, blockAt, first, last);
    wal.beginEntries(replica.slot, first, last - first + 1, term, blockBytes);
    sliceBlock(bytes, blockAt, first, last, wal.entriesBytes, wal.entriesAt);
    wal.finishEntries();
  }
}

/** The configuration that the block at `blockAt` holds, or null where it cannot be read. */
export function configurationOf(bytes: Uint8Array, blockAt: number): Configuration | null {
  const payloadAt = blockAt + blockHeaderBytes + blockTableSlotBytes;
  return decodeConfiguration(bytes, payloadAt, blockAt + blockBytesAt(bytes, blockAt));
}

/** Copies bytes without slicing where they are few. */
export function copyBytes(
  source: Uint8Array,
  from: number,
  length: number,
  target: Uint8Array,
  at: number,
): void {
  if (length > 32) {
    target.set(source.subarray(from, from + length), at);
    return;
  }
  for (let i = 0; i < length; i++) target[at + i] = source[from + i] as number;
}
