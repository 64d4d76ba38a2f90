// Takes the entries of an append message out of a received frame: first checks every block that the message claims, then
// lays those that the core accepted. A block is verified once, whole; where only a part of it is taken (the replica
// holds a prefix already), that part is sealed anew.

import {
  blockBytesAt,
  blockBytesMax,
  blockHeaderBytes,
  blockTableSlotBytes,
  copyBytes,
  hasOnlyKnownEntries,
  isConfigurationBlock,
  recordHeadBytes,
  recordLengthAt,
  recordTypes,
  sliceBlock,
  slicedBlockBytes,
  u64AtWord,
  verifyBlockInRecord,
} from '@flotilla/codec';
import type { Configuration, ConfigurationAt, Message } from '@flotilla/core';
import { assert } from '@flotilla/io';
import type { ReceivedFrame } from '@flotilla/transport';
import type { Wal } from '@flotilla/wal';
import { decodeConfiguration } from './configuration-codec.ts';
import type { Replica } from './replica.ts';

export class IncomingAppend {
  readonly #wal: Wal;
  #bytes: Uint8Array = new Uint8Array(0);
  #words: Int32Array = new Int32Array(0);
  // Columns by record of the message checked last: where its block begins, and its first and last index.
  readonly #blocksAt: number[] = [];
  readonly #firsts: number[] = [];
  readonly #lasts: number[] = [];
  #records = 0;
  #configurations: ConfigurationAt[] = [];

  constructor(wal: Wal) {
    this.#wal = wal;
  }

  /**
   * Checks that the records from byte `at` of the frame on are ENTRIES of this group that hold the indexes
   * prevIndex+1..lastIndex of the message without a hole, all of entriesTerm, each block sound and no longer than
   * `recordBytesMax`. (Not than entryBytesMax, which may have been lowered since the entry was written.) Answers why not, or
   * null; then the message has the configurations among them.
   */
  check(
    message: Message,
    groupId: number,
    frame: Pick<ReceivedFrame, 'bytes' | 'words' | 'end'>,
    at: number,
    recordBytesMax: number,
  ): string | null {
    const { bytes, end, words } = frame;
    this.#bytes = bytes;
    this.#words = words;
    this.#records = 0;
    if (this.#configurations.length > 0) this.#configurations = [];
    if (message.lastIndex === message.prevIndex) return null;
    if (message.lastIndex < message.prevIndex) return 'an append ends before it begins';
    let next = message.prevIndex + 1;
    let recordAt = at;
    while (next <= message.lastIndex) {
      const recLen = recordLengthAt(words, recordAt, end);
      if (recLen === 0) return 'an append names entries that its frame does not hold';
      const word = recordAt >>> 2;
      const isOwn =
        ((words[word] as number) & 0xff) === recordTypes.entries &&
        u64AtWord(words, word + 2) === groupId;
      if (!isOwn) return 'an append points at a record that is not its own';
      const blockAt = recordAt + recordHeadBytes;
      const verdict = verifyBlockInRecord(bytes, blockAt, recordAt + recLen, words);
      if (verdict !== 'ok') return `a block is damaged (${verdict})`;
      const blockWord = blockAt >>> 2;
      const first = u64AtWord(words, blockWord);
      const term = u64AtWord(words, blockWord + 2);
      const count = (words[blockWord + 4] as number) >>> 0;
      if (!hasOnlyKnownEntries(bytes, blockAt)) {
        return 'an entry has a codec or a type that this version does not know';
      }
      const isContiguous = this.#records === 0 ? first <= next : first === next;
      if (!isContiguous || first + count <= next || term !== message.entriesTerm) {
        return 'the blocks of an append do not fit its indexes and term';
      }
      if (count > 1 && blockBytesAt(bytes, blockAt) > blockBytesMax) {
        return 'a block of several entries is too long';
      }
      if (recLen > recordBytesMax) return 'an entry is longer than a log segment here can hold';
      if (isConfigurationBlock(bytes, blockAt)) {
        const configuration = configurationOf(bytes, blockAt);
        if (configuration === null) return 'an append holds a configuration that none can be';
        this.#configurations.push({ index: first, configuration });
      }
      const place = this.#records++;
      this.#blocksAt[place] = blockAt;
      this.#firsts[place] = first;
      this.#lasts[place] = first + count - 1;
      recordAt += recLen;
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
    let next = first;
    for (let i = 0; i < this.#records && next <= last; i++) {
      const blockFirst = this.#firsts[i] as number;
      const blockLast = this.#lasts[i] as number;
      if (blockLast < next) continue;
      const end = Math.min(blockLast, last);
      const blockAt = this.#blocksAt[i] as number;
      if (blockFirst === next && blockLast === end) {
        this.#layWhole(replica, term, blockAt, next, end);
      } else {
        this.#layPart(replica, term, blockAt, next, end);
      }
      next = end + 1;
    }
    assert(next === last + 1, 'the message that was checked holds what the core took');
  }

  #layWhole(replica: Replica, term: number, blockAt: number, first: number, last: number): void {
    const wal = this.#wal;
    const bytes = this.#bytes;
    const words = this.#words;
    const blockBytes = (words[(blockAt >>> 2) + 5] as number) >>> 0;
    wal.beginEntries(replica.slot, first, last - first + 1, term, blockBytes);
    const { entriesAt, entriesBytes, entriesWords } = wal;
    copyBytes(bytes, words, blockAt, blockBytes, entriesBytes, entriesWords, entriesAt);
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
