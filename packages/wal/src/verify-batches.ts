// What of the checking of a log needs nothing but the bytes: where batches end, whether their checksums hold and whether
// their records can be. Threads beside the one that replays do this ahead of it; a batch that does not hold is left to
// the replaying thread, which finds the same and says so.

import { alignUp, crc32, recordHeadBytes } from '@flotilla/codec';
import { checkRecords } from './check-records.ts';
import {
  batchBodyBytesMax,
  batchBodyCrcAt,
  batchBodyLenAt,
  batchHeaderBytes,
  batchRecordsAt,
  isBatchHeader,
  pageBytes,
} from './format.ts';

/** Bytes to the page end behind the batch whose header stands at `at`, or 0 where no batch can be that ends by `end`. */
function batchLengthAt(bytes: Uint8Array, at: number, end: number): number {
  if (end - at < batchHeaderBytes || !isBatchHeader(bytes, at)) return 0;
  const bodyLen = batchBodyLenAt(bytes, at);
  if (bodyLen < recordHeadBytes || bodyLen > batchBodyBytesMax) return 0;
  const length = alignUp(batchHeaderBytes + bodyLen, pageBytes);
  return length > end - at ? 0 : length;
}

/** Where the batches end that stand whole, one behind the other, from `start` on. */
export function wholeBatchesEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  for (;;) {
    const length = batchLengthAt(bytes, at, end);
    if (length === 0) return at;
    at += length;
  }
}

/** The same, as far as each holds: its body's checksum, and its records with the checksums of their blocks. */
export function verifiedBatchesEnd(
  bytes: Uint8Array,
  words: Int32Array,
  start: number,
  end: number,
): number {
  let at = start;
  for (;;) {
    const length = batchLengthAt(bytes, at, end);
    if (length === 0) return at;
    const body = at + batchHeaderBytes;
    if (crc32(bytes, body, at + length) !== batchBodyCrcAt(bytes, at)) return at;
    const recordsEnd = body + batchBodyLenAt(bytes, at);
    const count = batchRecordsAt(bytes, at);
    if (checkRecords(bytes, body, recordsEnd, count, undefined, words) !== null) return at;
    at += length;
  }
}
