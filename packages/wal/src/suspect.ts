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
  isBatchHeader,
  pageBytes,
} from './format.ts';
import { checkRecords } from './replay.ts';
import { type ExpectedBatch, headerFault } from './scan.ts';

/** Bodies up to this are searched for a flipped bit. */
export const searchBytesMax: number = blockBytesMax;
/** Where a header's CRC field stands; the bytes before it are what it covers. */
const coveredHeaderBytes: number = batchHeaderBytes - 4;

/** The evidence of a flipped bit, or null where no single bit explains the damage. */
export function searchFlippedBit(
  disk: Disk,
  file: File,
  offset: number,
  damaged: 'header' | 'body',
  expected: ExpectedBatch,
  callback: (error: IoError | null, evidence: string | null) => void,
): void {
  const head = new Uint8Array(batchHeaderBytes);
  readFully(disk, file, head, offset, (error, bytes) => {
    if (error !== null) return callback(error, null);
    if (bytes < batchHeaderBytes) return callback(null, null);
    const evidence = damaged === 'header' ? mendHeader(head) : '';
    if (evidence === null || headerFault(head, 0, expected) !== null) return callback(null, null);
    const bodyLen = batchBodyLenAt(head, 0);
    if (damaged === 'body' && bodyLen > searchBytesMax) return callback(null, null);
    const batch = new Uint8Array(alignUp(batchHeaderBytes + bodyLen, pageBytes));
    readFully(disk, file, batch, offset, (readError, length) => {
      if (readError !== null) return callback(readError, null);
      if (length < batch.length) return callback(null, null);
      batch.set(head);
      const found = damaged === 'header' ? evidence : mendBody(batch);
      const end = batchHeaderBytes + bodyLen;
      const isWhole =
        crc32(batch, batchHeaderBytes, batch.length) === batchBodyCrcAt(batch, 0) &&
        checkRecords(batch, batchHeaderBytes, end, batchRecordsAt(batch, 0)) === null;
      callback(null, isWhole ? found : null);
    });
  });
}

/** Flips the one bit of the header that makes its CRC hold; says which, or null. */
function mendHeader(head: Uint8Array): string | null {
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
  return `flipping bit ${bit} of header byte ${byte} makes the whole batch hold`;
}

function mendBody(batch: Uint8Array): string | null {
  const computed = crc32(batch, batchHeaderBytes, batch.length);
  const found = findFlippedBit(batch.length - batchHeaderBytes, batchBodyCrcAt(batch, 0), computed);
  if (found === null) return null;
  const at = batchHeaderBytes + found.byte;
  batch[at] = (batch[at] as number) ^ (1 << found.bit);
  return `flipping bit ${found.bit} of body byte ${found.byte} makes the whole batch hold`;
}
