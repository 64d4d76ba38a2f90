// Whether the batch that should stand at the end of the log is whole but for exactly one bit. A candidate bit is believed
// only if, with it flipped back, header, body CRC and every record (block CRCs included) hold.

import { alignUp, blockBytesMax, crc32, u32At } from '@flotilla/codec';
import type { Disk, File, IoError } from '@flotilla/io';
import { findFlippedBit, flippedCrcBit } from './bitflip.ts';
import { readFully } from './disk-steps.ts';
import {
  batchBodyCrcAt,
  batchBodyLenAt,
  batchHeaderBytes,
  batchRecordsAt,
  decodeSegmentHeader,
  isBatchHeader,
  pageBytes,
  segmentHeaderBytes,
} from './format.ts';
import { sumOfFile, wholeBatchBytesMax } from './large-batch.ts';
import type { Refusal } from './refusal.ts';
import { checkRecords } from './replay.ts';
import { type ExpectedBatch, headerFault } from './scan.ts';

/** Bodies up to this are searched for a flipped bit. */
export const searchBytesMax: number = blockBytesMax;
/** Where a header's CRC field stands; the bytes before it are what it covers. */
const coveredHeaderBytes: number = batchHeaderBytes - 4;
const segmentCrcAt: number = segmentHeaderBytes - 4;

/** One bit whose flip explains the damage: where it stands in the file, and the same in words. */
export interface MendingBit {
  readonly offset: number;
  readonly bit: number;
  readonly text: string;
}

/** The flipped bit, or null where no single bit explains the damage. */
export function searchFlippedBit(
  disk: Disk,
  file: File,
  offset: number,
  damaged: 'header' | 'body',
  expected: ExpectedBatch,
  callback: (error: IoError | null, found: MendingBit | null) => void,
): void {
  const head = new Uint8Array(batchHeaderBytes);
  readFully(disk, file, head, offset, (error, bytes) => {
    if (error !== null) return callback(error, null);
    if (bytes < batchHeaderBytes) return callback(null, null);
    const mended = damaged === 'header' ? mendHeader(head, offset) : null;
    if (damaged === 'header' && mended === null) return callback(null, null);
    if (headerFault(head, 0, expected) !== null) return callback(null, null);
    const bodyLen = batchBodyLenAt(head, 0);
    if (damaged === 'body' && bodyLen > searchBytesMax) return callback(null, null);
    const length = alignUp(batchHeaderBytes + bodyLen, pageBytes);
    if (length > wholeBatchBytesMax) {
      // Not held at once: that the mended header's sum of the body holds is taken for proof.
      const range = { from: offset + batchHeaderBytes, to: offset + length, seed: 0 };
      return sumOfFile(disk, file, range, (sumError, crc) => {
        if (sumError !== null) return callback(sumError, null);
        callback(null, crc === batchBodyCrcAt(head, 0) ? mended : null);
      });
    }
    const batch = new Uint8Array(length);
    readFully(disk, file, batch, offset, (readError, found) => {
      if (readError !== null) return callback(readError, null);
      if (found < batch.length) return callback(null, null);
      batch.set(head);
      const bit = damaged === 'header' ? mended : mendBody(batch, offset);
      const end = batchHeaderBytes + bodyLen;
      const isWhole =
        crc32(batch, batchHeaderBytes, batch.length) === batchBodyCrcAt(batch, 0) &&
        checkRecords(batch, batchHeaderBytes, end, batchRecordsAt(batch, 0)) === null;
      callback(null, isWhole ? bit : null);
    });
  });
}

/** Flips the one bit of the header that makes its CRC hold; says which, or null. */
function mendHeader(head: Uint8Array, offset: number): MendingBit | null {
  const stored = u32At(head, coveredHeaderBytes);
  const computed = crc32(head, 0, coveredHeaderBytes);
  const crcBit = flippedCrcBit(stored, computed);
  let byte = coveredHeaderBytes + (crcBit >>> 3);
  let bit = crcBit & 7;
  if (crcBit < 0) {
    const found = findFlippedBit(coveredHeaderBytes, stored, computed);
    if (found === null) return null;
    ({ byte, bit } = found);
  }
  head[byte] = (head[byte] as number) ^ (1 << bit);
  if (!isBatchHeader(head, 0)) return null;
  const text = `flipping bit ${bit} of header byte ${byte} makes the whole batch hold`;
  return { offset: offset + byte, bit, text };
}

function mendBody(batch: Uint8Array, offset: number): MendingBit | null {
  const computed = crc32(batch, batchHeaderBytes, batch.length);
  const found = findFlippedBit(batch.length - batchHeaderBytes, batchBodyCrcAt(batch, 0), computed);
  if (found === null) return null;
  const at = batchHeaderBytes + found.byte;
  batch[at] = (batch[at] as number) ^ (1 << found.bit);
  const text = `flipping bit ${found.bit} of body byte ${found.byte} makes the whole batch hold`;
  return { offset: offset + at, bit: found.bit, text };
}

/** The one bit of a segment's header page that makes it hold and be segment `segId`, or null. */
export function searchFlippedSegmentBit(page: Uint8Array, segId: number): MendingBit | null {
  const stored = u32At(page, segmentCrcAt);
  const computed = crc32(page, 0, segmentCrcAt);
  const crcBit = flippedCrcBit(stored, computed);
  const found =
    crcBit >= 0
      ? { byte: segmentCrcAt + (crcBit >>> 3), bit: crcBit & 7 }
      : findFlippedBit(segmentCrcAt, stored, computed);
  if (found === null) return null;
  const mended = page.slice();
  mended[found.byte] = (mended[found.byte] as number) ^ (1 << found.bit);
  if (decodeSegmentHeader(mended)?.segId !== segId) return null;
  const text = `flipping bit ${found.bit} of byte ${found.byte} makes the segment's header hold`;
  return { offset: found.byte, bit: found.bit, text };
}

/** The part of a refusal that names the bit. */
export function flippedBitOf(bit: MendingBit | null): Pick<Refusal, 'flippedBit'> {
  return bit === null ? {} : { flippedBit: { offset: bit.offset, bit: bit.bit } };
}
