// A part of a block as a block of its own: some of its entries, sealed again. Only for a block that was verified whole.

import {
  blockBytesOf,
  blockCount,
  blockFirstIndex,
  blockHeaderBytes,
  blockTableSlotBytes,
  blockTerm,
  sealBlockInRecord,
  storedLenOf,
} from './block.ts';
import { putU32, u32At } from './integers.ts';

/** Where the payloads of the entries first..last stand in the block at `at`, and how many bytes they have. */
function payloadsOf(
  bytes: Uint8Array,
  at: number,
  first: number,
  last: number,
): { readonly from: number; readonly bytes: number } {
  const skipped = first - blockFirstIndex(bytes, at);
  const count = last - first + 1;
  if (!(skipped >= 0 && count >= 1 && skipped + count <= blockCount(bytes, at))) {
    throw new RangeError(`a block does not hold the entries ${first} to ${last}`);
  }
  const table = at + blockHeaderBytes;
  let from = table + blockTableSlotBytes * blockCount(bytes, at);
  let length = 0;
  for (let i = 0; i < skipped + count; i++) {
    const stored = storedLenOf(u32At(bytes, table + blockTableSlotBytes * i));
    if (i < skipped) from += stored;
    else length += stored;
  }
  return { from, bytes: length };
}

/** Bytes of the block that holds the entries first..last of the block at `at`. */
export function slicedBlockBytes(
  bytes: Uint8Array,
  at: number,
  first: number,
  last: number,
): number {
  return blockBytesOf(last - first + 1, payloadsOf(bytes, at, first, last).bytes);
}

/** Writes that block to `target` at `targetAt`, which is inside a record of the same group (its head stands before). */
export function sliceBlock(
  bytes: Uint8Array,
  at: number,
  first: number,
  last: number,
  target: Uint8Array,
  targetAt: number,
): void {
  const payloads = payloadsOf(bytes, at, first, last);
  const count = last - first + 1;
  const skipped = first - blockFirstIndex(bytes, at);
  const table = at + blockHeaderBytes + blockTableSlotBytes * skipped;
  let to = targetAt + blockHeaderBytes;
  for (let i = 0; i < count; i++) {
    putU32(target, to, u32At(bytes, table + blockTableSlotBytes * i));
    to += blockTableSlotBytes;
  }
  target.set(bytes.subarray(payloads.from, payloads.from + payloads.bytes), to);
  sealBlockInRecord(target, targetAt, {
    firstIndex: first,
    term: blockTerm(bytes, at),
    count,
    blockBytes: blockBytesOf(count, payloads.bytes),
  });
}
