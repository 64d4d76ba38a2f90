// The entry block: a run of entries of one group with consecutive indexes and one term, encoded once by the leader and
// carried unchanged by its log, its append streams and its followers' logs.
//
//   offset size field
//   0      8    firstIndex
//   8      8    term
//   16     4    count       entries, at least 1
//   20     4    blockBytes  of the whole block: header, table and payloads, without padding
//   24     4    crc         CRC-32 of groupId (8 bytes, LE), bytes 0..24, bytes 28..blockBytes
//   28     4    reserved    zero
//   32     4n   table       per entry u32: storedLen in bits 0..26, codec in bits 27..28, entry type in bits 29..31
//   32+4n  ...  payloads back to back, as stored
//
// The CRC covers the group id, so a block under the wrong group is caught; it does not cover the record head around the
// block, so every log writes its own head and copies the block. In a record (record.ts) the group id stands directly
// before the block, which makes the covered bytes two ranges.

import type { BlockCrc } from './block-crc.ts';
import { crc32, crc32OfWords } from './crc.ts';
import { highHalf, putU32, putU64, u32At, u64At, u64AtWord } from './integers.ts';
import { recordHeadBytes } from './record.ts';

export const blockHeaderBytes = 32;
export const blockTableSlotBytes = 4;
/** A block of several entries is at most this long; one larger entry has a block of its own. */
export const blockBytesMax = 65_536;
/** From this length on the native CRC wins over a BlockCrc. */
const nativeBlockBytesMin = 1536;
/** The longest stored payload that the table can say: 2^27 - 1. */
export const storedLenMax = 0x7ff_ffff;

export const entryTypes = {
  /** A command for the state machine. */
  command: 0,
  /** A leader's first entry of its term; no payload. */
  blank: 1,
  /** A membership change: always alone in its block, so that who has the block's head sees that it is one. */
  config: 2,
} as const;
export const payloadCodecs = { raw: 0, lz4: 1 } as const;

export function tableSlot(storedLen: number, codec: number, entryType: number): number {
  return (storedLen | (codec << 27) | (entryType << 29)) >>> 0;
}
export function storedLenOf(slot: number): number {
  return slot & storedLenMax;
}
export function codecOf(slot: number): number {
  return (slot >>> 27) & 3;
}
export function entryTypeOf(slot: number): number {
  return slot >>> 29;
}
/** Whether this version can apply such an entry: raw, and of a type above. Others may stand in logs of later versions. */
export function isKnownEntry(slot: number): boolean {
  return codecOf(slot) === payloadCodecs.raw && entryTypeOf(slot) <= entryTypes.config;
}

/** Bytes of a block of `count` entries whose stored payloads have `payloadBytes` together. */
export function blockBytesOf(count: number, payloadBytes: number): number {
  return blockHeaderBytes + blockTableSlotBytes * count + payloadBytes;
}

/** The CRC of the block at `at`, whose group id must stand in the 8 bytes before it (as it does in a record). */
function crcInRecord(
  bytes: Uint8Array,
  at: number,
  blockBytes: number,
  words: Int32Array | null = null,
): number {
  const end = at + blockBytes;
  if (words === null) return crc32(bytes, at + 28, end, crc32(bytes, at - 8, at + 24));
  const head = crc32OfWords(words, bytes, at - 8, at + 24);
  return crc32OfWords(words, bytes, at + 28, end, head);
}

/** What is said of a block whose table and payloads stand already. */
export interface BlockHead {
  readonly firstIndex: number;
  readonly term: number;
  readonly count: number;
  readonly blockBytes: number;
}

/**
 * Writes header and CRC of the block at `at`, whose table and payloads stand already, and whose record head (with the
 * group id) stands directly before it. Who has the memory as little-endian words too (`words`, from byte 0 on; `at` is a
 * multiple of 4) gets a fifth of the time back, and who has the function for just this memory (`blockCrc`) some more.
 */
export function sealBlockInRecord(
  bytes: Uint8Array,
  at: number,
  block: BlockHead,
  words: Int32Array | null = null,
  blockCrc: BlockCrc | null = null,
): void {
  const { firstIndex, term, count, blockBytes } = block;
  if (words !== null && (at & 3) === 0) {
    const word = at >>> 2;
    words[word] = firstIndex;
    words[word + 1] = highHalf(firstIndex);
    words[word + 2] = term;
    words[word + 3] = highHalf(term);
    words[word + 4] = count;
    words[word + 5] = blockBytes;
    words[word + 7] = 0;
    words[word + 6] =
      blockCrc === null || blockBytes >= nativeBlockBytesMin
        ? crcInRecord(bytes, at, blockBytes, words)
        : blockCrc(at, blockBytes);
    return;
  }
  putU64(bytes, at, firstIndex);
  putU64(bytes, at + 8, term);
  putU32(bytes, at + 16, count);
  putU32(bytes, at + 20, blockBytes);
  putU32(bytes, at + 28, 0);
  putU32(bytes, at + 24, crcInRecord(bytes, at, blockBytes));
}

/** Why a block cannot be taken; `ok` means that its shape and its CRC hold. */
export type BlockVerdict = 'ok' | 'short' | 'shape' | 'crc';

/** The table slot at `at`; `words` only where that is a multiple of 4. */
function slotIn(bytes: Uint8Array, words: Int32Array | null, at: number): number {
  return words === null ? u32At(bytes, at) : (words[at >>> 2] as number) >>> 0;
}

/**
 * Checks the block at `at`, which must end at or before `end` and follow its record head: lengths first, then the CRC,
 * then that the table adds up. Trusts no number before it is checked. Who has the memory as little-endian words too
 * (`words`, from byte 0 on), and did not store it byte by byte, gets a fifth of the time back.
 */
export function verifyBlockInRecord(
  bytes: Uint8Array,
  at: number,
  end: number,
  words: Int32Array | null = null,
): BlockVerdict {
  if (at < recordHeadBytes || end - at < blockHeaderBytes) return 'short';
  const aligned = (at & 3) === 0 ? words : null;
  // Asked once for all of the header: where memory with and without words was seen, asking for each field costs 5 %.
  let firstIndex: number;
  let term: number;
  let count: number;
  let blockBytes: number;
  let crc: number;
  if (aligned === null) {
    firstIndex = u64At(bytes, at);
    term = u64At(bytes, at + 8);
    count = u32At(bytes, at + 16);
    blockBytes = u32At(bytes, at + 20);
    crc = u32At(bytes, at + 24);
  } else {
    const word = at >>> 2;
    firstIndex = u64AtWord(aligned, word);
    term = u64AtWord(aligned, word + 2);
    count = (aligned[word + 4] as number) >>> 0;
    blockBytes = (aligned[word + 5] as number) >>> 0;
    crc = (aligned[word + 6] as number) >>> 0;
  }
  if (blockBytes > end - at) return 'short';
  const tableEnd = blockHeaderBytes + blockTableSlotBytes * count;
  if (count === 0 || tableEnd > blockBytes) return 'shape';
  if (crcInRecord(bytes, at, blockBytes, aligned) !== crc) return 'crc';
  if (firstIndex < 1 || term < 0) return 'shape';
  let slotAt = at + blockHeaderBytes;
  let slots = slotIn(bytes, aligned, slotAt);
  let payloadEnd = tableEnd + storedLenOf(slots);
  // With many groups nearly all blocks are of one entry, and a loop that they enter costs them 3 %.
  if (count > 1) {
    // Not by a sum, which would be rounded to one that can be.
    if (count - 1 > Number.MAX_SAFE_INTEGER - firstIndex) return 'shape';
    const payloadsAt = at + tableEnd;
    for (slotAt += blockTableSlotBytes; slotAt < payloadsAt; slotAt += blockTableSlotBytes) {
      const slot = slotIn(bytes, aligned, slotAt);
      payloadEnd += storedLenOf(slot);
      slots |= slot;
    }
    if (entryTypeOf(slots) >= entryTypes.config) return 'shape';
  }
  return payloadEnd === blockBytes ? 'ok' : 'shape';
}

// Fields of a block that has been verified.

/** Whether the block is a configuration entry. */
export function isConfigurationBlock(bytes: Uint8Array, at: number): boolean {
  return (
    u32At(bytes, at + 16) === 1 &&
    entryTypeOf(u32At(bytes, at + blockHeaderBytes)) === entryTypes.config
  );
}
/** Whether this version can apply all of its entries. */
export function hasOnlyKnownEntries(bytes: Uint8Array, at: number): boolean {
  const count = blockCount(bytes, at);
  for (let i = 0; i < count; i++) {
    if (!isKnownEntry(u32At(bytes, at + blockHeaderBytes + blockTableSlotBytes * i))) return false;
  }
  return true;
}
export function blockFirstIndex(bytes: Uint8Array, at: number): number {
  return u64At(bytes, at);
}
export function blockTerm(bytes: Uint8Array, at: number): number {
  return u64At(bytes, at + 8);
}
export function blockCount(bytes: Uint8Array, at: number): number {
  return u32At(bytes, at + 16);
}
export function blockBytesAt(bytes: Uint8Array, at: number): number {
  return u32At(bytes, at + 20);
}
