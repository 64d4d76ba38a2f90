// The byte layouts of the log's files: STORE slots, segment headers and batch headers. FORMAT.md is the same in prose.
//
// Every reader here answers null for bytes that are not such a thing (magic or CRC), and never interprets a field
// before its CRC held. Whether the values fit the place they stand in is the caller's question (scan.ts, inspect/).

import { crc32, putU16, putU32, putU64, u16At, u32At, u64At } from '@flotilla/codec';

export const pageBytes = 4096;
/** The version of segment and batch headers that this code writes and the only one it reads. */
export const formatMajor = 1;
export const formatMinor = 0;
/** Incompatible features this code knows, a bit each: none yet. */
export const knownIncompat = 0;
/** No batch has a longer body. */
export const batchBodyBytesMax: number = 64 * 1024 * 1024;

/**
 * No sequence number, segment id or slot number on disk is higher, and no epoch: what is counted on from them must still
 * be a number that can be written. A log that reached them would have written a batch a microsecond for 285 years.
 */
export const counterMax: number = 2 ** 53 - 2 ** 32;
export const epochLast = 0xffff_0000;

// --- STORE: three slots of one page; A and B alternate by slotSeq, W is the lazy witness. ---------------------------
//
//   offset size field              offset size field
//   0      8    magic              56     8    newestSeg
//   8      8    slotSeq            64     8    durableSeq
//   16     16   uuid               72     8    cleanSeq (0 = not closed in good order)
//   32     8    instance           80     4    incompat
//   40     8    epoch              84     4    compat
//   48     8    oldestSeg          88     8    createdMs
//                                  252    4    crc32 of bytes 0..252
//
// Slot W has a magic of its own, and only uuid, epoch and durableSeq in it.

export const storeSlotBytes = 256;
export const storeFileBytes: number = 3 * pageBytes;
const storeMagic = 'FLSTORE1';
const witnessMagic = 'FLSTOREW';

export interface StoreSlot {
  readonly slotSeq: number;
  readonly uuid: Uint8Array;
  readonly instance: number;
  readonly epoch: number;
  readonly oldestSeg: number;
  readonly newestSeg: number;
  readonly durableSeq: number;
  readonly cleanSeq: number;
  readonly incompat: number;
  readonly compat: number;
  readonly createdMs: number;
}

export interface WitnessSlot {
  readonly uuid: Uint8Array;
  readonly epoch: number;
  readonly durableSeq: number;
}

function putMagic(bytes: Uint8Array, at: number, magic: string): void {
  for (let i = 0; i < magic.length; i++) bytes[at + i] = magic.charCodeAt(i);
}

function hasMagic(bytes: Uint8Array, at: number, magic: string): boolean {
  for (let i = 0; i < magic.length; i++) {
    if (bytes[at + i] !== magic.charCodeAt(i)) return false;
  }
  return true;
}

/** A page with the slot at its start. */
export function encodeStoreSlot(slot: StoreSlot): Uint8Array {
  const page = new Uint8Array(pageBytes);
  putMagic(page, 0, storeMagic);
  putU64(page, 8, slot.slotSeq);
  page.set(slot.uuid.subarray(0, 16), 16);
  putU64(page, 32, slot.instance);
  putU64(page, 40, slot.epoch);
  putU64(page, 48, slot.oldestSeg);
  putU64(page, 56, slot.newestSeg);
  putU64(page, 64, slot.durableSeq);
  putU64(page, 72, slot.cleanSeq);
  putU32(page, 80, slot.incompat);
  putU32(page, 84, slot.compat);
  putU64(page, 88, slot.createdMs);
  putU32(page, 252, crc32(page, 0, 252));
  return page;
}

/** Whether the slot at `at` has its magic and a checksum that holds, whatever its numbers say. */
export function isStoreSlot(bytes: Uint8Array, at: number): boolean {
  if (bytes.length - at < storeSlotBytes || !hasMagic(bytes, at, storeMagic)) return false;
  return crc32(bytes, at, at + 252) === u32At(bytes, at + 252);
}

/** The slot at `at`, or null where it is not a whole one with numbers that can be. */
export function decodeStoreSlot(bytes: Uint8Array, at: number): StoreSlot | null {
  if (!isStoreSlot(bytes, at)) return null;
  const slot: StoreSlot = {
    slotSeq: u64At(bytes, at + 8),
    uuid: bytes.slice(at + 16, at + 32),
    instance: u64At(bytes, at + 32),
    epoch: u64At(bytes, at + 40),
    oldestSeg: u64At(bytes, at + 48),
    newestSeg: u64At(bytes, at + 56),
    durableSeq: u64At(bytes, at + 64),
    cleanSeq: u64At(bytes, at + 72),
    incompat: u32At(bytes, at + 80),
    compat: u32At(bytes, at + 84),
    createdMs: u64At(bytes, at + 88),
  };
  const { slotSeq, instance, epoch, oldestSeg, newestSeg, durableSeq, cleanSeq, createdMs } = slot;
  const numbersHold =
    slotSeq >= 1 && instance >= 1 && epoch >= 1 && createdMs >= 0 && durableSeq >= 0;
  if (!numbersHold || oldestSeg < 1 || newestSeg < oldestSeg) return null;
  if (Math.max(slotSeq, newestSeg, durableSeq, cleanSeq) > counterMax) return null;
  return cleanSeq < 0 || epoch > epochLast ? null : slot;
}

export function encodeWitnessSlot(slot: WitnessSlot): Uint8Array {
  const page = new Uint8Array(pageBytes);
  putMagic(page, 0, witnessMagic);
  page.set(slot.uuid.subarray(0, 16), 16);
  putU64(page, 40, slot.epoch);
  putU64(page, 64, slot.durableSeq);
  putU32(page, 252, crc32(page, 0, 252));
  return page;
}

export function decodeWitnessSlot(bytes: Uint8Array, at: number): WitnessSlot | null {
  if (bytes.length - at < storeSlotBytes || !hasMagic(bytes, at, witnessMagic)) return null;
  if (crc32(bytes, at, at + 252) !== u32At(bytes, at + 252)) return null;
  const slot: WitnessSlot = {
    uuid: bytes.slice(at + 16, at + 32),
    epoch: u64At(bytes, at + 40),
    durableSeq: u64At(bytes, at + 64),
  };
  return slot.epoch < 1 || slot.durableSeq < 0 ? null : slot;
}

// --- Segment header: page 0 of a segment, 128 bytes used. ------------------------------------------------------------

export const segmentHeaderBytes = 128;
/** No segment is larger than 2^34 bytes: what a header says becomes memory and offsets. */
export const capacityPagesMax: number = 2 ** 34 / pageBytes;
const segmentMagic = 'FLOTSEG1';

export interface SegmentHeader {
  readonly major: number;
  readonly minor: number;
  readonly headerLen: number;
  readonly uuid: Uint8Array;
  readonly segId: number;
  readonly salt: number;
  readonly epoch: number;
  /** Sequence number of the first batch in it; it may leave a gap after `prevLastSeq` where the epoch is new. */
  readonly firstSeq: number;
  readonly oldestSeg: number;
  /** 0 = none. */
  readonly prevSegId: number;
  /** Where the log ends in the previous segment: what stands after it there is not part of the log. */
  readonly prevEnd: number;
  readonly prevLastSeq: number;
  readonly prevHdrCrc: number;
  readonly capacityPages: number;
  readonly incompat: number;
  readonly compat: number;
  readonly createdMs: number;
}

/** The header page: the header and zeros. */
export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const page = new Uint8Array(pageBytes);
  putMagic(page, 0, segmentMagic);
  putU16(page, 8, header.major);
  putU16(page, 10, header.minor);
  putU32(page, 12, header.headerLen);
  page.set(header.uuid.subarray(0, 16), 16);
  putU64(page, 32, header.segId);
  putU32(page, 40, header.salt);
  putU32(page, 44, header.epoch);
  putU64(page, 48, header.firstSeq);
  putU64(page, 56, header.oldestSeg);
  putU64(page, 64, header.prevSegId);
  putU64(page, 72, header.prevEnd);
  putU64(page, 80, header.prevLastSeq);
  putU32(page, 88, header.prevHdrCrc);
  putU32(page, 92, header.capacityPages);
  putU32(page, 96, header.incompat);
  putU32(page, 100, header.compat);
  putU64(page, 104, header.createdMs);
  putU32(page, 124, crc32(page, 0, 124));
  return page;
}

/** The header in a page, or null where magic, CRC or a number's range fails, or the rest of the page is not zero. */
export function decodeSegmentHeader(page: Uint8Array): SegmentHeader | null {
  if (page.length < pageBytes || !hasMagic(page, 0, segmentMagic)) return null;
  if (crc32(page, 0, 124) !== u32At(page, 124)) return null;
  const header: SegmentHeader = {
    major: u16At(page, 8),
    minor: u16At(page, 10),
    headerLen: u32At(page, 12),
    uuid: page.slice(16, 32),
    segId: u64At(page, 32),
    salt: u32At(page, 40),
    epoch: u32At(page, 44),
    firstSeq: u64At(page, 48),
    oldestSeg: u64At(page, 56),
    prevSegId: u64At(page, 64),
    prevEnd: u64At(page, 72),
    prevLastSeq: u64At(page, 80),
    prevHdrCrc: u32At(page, 88),
    capacityPages: u32At(page, 92),
    incompat: u32At(page, 96),
    compat: u32At(page, 100),
    createdMs: u64At(page, 104),
  };
  // A newer major may put anything behind the fields that tell it: the caller refuses by version.
  if (header.major !== formatMajor) return header;
  if (header.segId < 1 || header.firstSeq < 1 || header.oldestSeg < 1) return null;
  if (Math.max(header.segId, header.firstSeq) > counterMax || header.epoch > epochLast) return null;
  if (header.prevSegId < 0 || header.prevEnd < 0 || header.prevLastSeq < 0) return null;
  if (header.createdMs < 0 || header.headerLen !== pageBytes) return null;
  if (header.capacityPages < 2 || header.capacityPages > capacityPagesMax) return null;
  return isZero(page, segmentHeaderBytes, pageBytes) ? header : null;
}

// --- Batch header: 64 bytes at a page boundary. ---------------------------------------------------------------------

export const batchHeaderBytes = 64;
/** `FLWB` as a little-endian u32. */
export const batchMagic = 0x4257_4c46;

export const batchFlags = {
  /** Written by recovery: the content of a batch that stood un-witnessed at the end of the log. */
  carryOver: 1,
  footer: 2,
  rewriteOnly: 4,
  /** Nothing vouches that this batch was ever synced (syncMethod `none`). */
  unsynced: 8,
} as const;
export const knownBatchFlags = 15;

export interface BatchHeader {
  readonly flags: number;
  readonly segId: number;
  readonly seq: number;
  readonly salt: number;
  readonly pageNo: number;
  readonly bodyLen: number;
  readonly recordCount: number;
  /** Highest batch known to be durable when this one was sealed: witness W1. */
  readonly durableSeq: number;
  readonly prevHdrCrc: number;
  readonly bodyCrc: number;
  readonly epoch: number;
}

/** Writes the header and answers its CRC. */
export function putBatchHeader(bytes: Uint8Array, at: number, header: BatchHeader): number {
  putU32(bytes, at, batchMagic);
  bytes[at + 4] = formatMajor;
  bytes[at + 5] = header.flags;
  putU16(bytes, at + 6, batchHeaderBytes);
  putU64(bytes, at + 8, header.segId);
  putU64(bytes, at + 16, header.seq);
  putU32(bytes, at + 24, header.salt);
  putU32(bytes, at + 28, header.pageNo);
  putU32(bytes, at + 32, header.bodyLen);
  putU32(bytes, at + 36, header.recordCount);
  putU64(bytes, at + 40, header.durableSeq);
  putU32(bytes, at + 48, header.prevHdrCrc);
  putU32(bytes, at + 52, header.bodyCrc);
  putU32(bytes, at + 56, header.epoch);
  const hdrCrc = crc32(bytes, at, at + 60);
  putU32(bytes, at + 60, hdrCrc);
  return hdrCrc;
}

/** Whether a batch header with a CRC that holds stands at `at`. */
export function isBatchHeader(bytes: Uint8Array, at: number): boolean {
  return u32At(bytes, at) === batchMagic && crc32(bytes, at, at + 60) === u32At(bytes, at + 60);
}

/** All fields of the 64 bytes at `at`, whatever they say: for tools that explain. */
export function batchHeaderAt(
  bytes: Uint8Array,
  at: number,
): BatchHeader & { readonly hasMagic: boolean; readonly major: number; readonly hdrCrc: number } {
  return {
    hasMagic: u32At(bytes, at) === batchMagic,
    major: batchMajorAt(bytes, at),
    flags: batchFlagsAt(bytes, at),
    segId: batchSegIdAt(bytes, at),
    seq: batchSeqAt(bytes, at),
    salt: batchSaltAt(bytes, at),
    pageNo: batchPageAt(bytes, at),
    bodyLen: batchBodyLenAt(bytes, at),
    recordCount: batchRecordsAt(bytes, at),
    durableSeq: batchDurableSeqAt(bytes, at),
    prevHdrCrc: batchPrevHdrCrcAt(bytes, at),
    bodyCrc: batchBodyCrcAt(bytes, at),
    epoch: batchEpochAt(bytes, at),
    hdrCrc: batchHdrCrcAt(bytes, at),
  };
}

// Fields of a header whose CRC holds; a u64 above 2^53 - 1 reads as -1.
export const batchMajorAt = (bytes: Uint8Array, at: number): number => bytes[at + 4] as number;
export const batchFlagsAt = (bytes: Uint8Array, at: number): number => bytes[at + 5] as number;
export const batchHeaderLenAt = (bytes: Uint8Array, at: number): number => u16At(bytes, at + 6);
export const batchSegIdAt = (bytes: Uint8Array, at: number): number => u64At(bytes, at + 8);
export const batchSeqAt = (bytes: Uint8Array, at: number): number => u64At(bytes, at + 16);
export const batchSaltAt = (bytes: Uint8Array, at: number): number => u32At(bytes, at + 24);
export const batchPageAt = (bytes: Uint8Array, at: number): number => u32At(bytes, at + 28);
export const batchBodyLenAt = (bytes: Uint8Array, at: number): number => u32At(bytes, at + 32);
export const batchRecordsAt = (bytes: Uint8Array, at: number): number => u32At(bytes, at + 36);
export const batchDurableSeqAt = (bytes: Uint8Array, at: number): number => u64At(bytes, at + 40);
export const batchPrevHdrCrcAt = (bytes: Uint8Array, at: number): number => u32At(bytes, at + 48);
export const batchBodyCrcAt = (bytes: Uint8Array, at: number): number => u32At(bytes, at + 52);
export const batchEpochAt = (bytes: Uint8Array, at: number): number => u32At(bytes, at + 56);
export const batchHdrCrcAt = (bytes: Uint8Array, at: number): number => u32At(bytes, at + 60);

// --- Names -----------------------------------------------------------------------------------------------------------

export const storeName = 'STORE';
/** Stands only while a store is being created; it marks an interrupted creation. */
export const storeNewName = 'STORE.new';
export const lockName = 'LOCK';
const lockPattern = /^LOCK(\.pid(\.[0-9a-z.]+)?)?$/;
/** A segment file kept back for the day the disk is full. */
export const reserveName = 'reserve.seg';
const segmentPattern = /^([0-9a-f]{16})\.seg$/;
const sparePattern = /^spare-[0-9]{4,}\.seg$/;

export function segmentName(segId: number): string {
  return `${segId.toString(16).padStart(16, '0')}.seg`;
}

/** The id that a segment's file name says, or 0 where it is not a segment's name. */
export function segmentIdOf(name: string): number {
  const match = segmentPattern.exec(name);
  if (match === null) return 0;
  const id = Number.parseInt(match[1] as string, 16);
  return Number.isSafeInteger(id) ? id : 0;
}

export function spareName(counter: number): string {
  return `spare-${counter.toString().padStart(4, '0')}.seg`;
}

export function isSpareName(name: string): boolean {
  return sparePattern.test(name);
}

export function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    if (bytes[i] !== 0) return false;
  }
  return true;
}

/** A path inside the log's directory. */
export function pathIn(directory: string, name: string): string {
  return directory.endsWith('/') ? directory + name : `${directory}/${name}`;
}
/** The lock, and what stands beside it on systems without flock(1). */
export function isLockName(name: string): boolean {
  return lockPattern.test(name);
}
