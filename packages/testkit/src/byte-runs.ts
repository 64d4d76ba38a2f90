// Buffers of one write, taken as a copy when they are handed over and compared with it when they are used.

import { AssertionFailure } from '@flotilla/io';

export function concatenate(buffers: readonly Uint8Array[]): Uint8Array {
  let total = 0;
  for (const buffer of buffers) total += buffer.length;
  const all = new Uint8Array(total);
  let at = 0;
  for (const buffer of buffers) {
    all.set(buffer, at);
    at += buffer.length;
  }
  return all;
}

/** Fails with `complaint` where the buffers do not hold any more what `taken` was copied from. */
export function assertUnchanged(
  buffers: readonly Uint8Array[],
  taken: Uint8Array,
  complaint: string,
): void {
  let at = 0;
  for (const buffer of buffers) {
    const copy = taken.subarray(at, at + buffer.length);
    if (Buffer.compare(buffer, copy) !== 0) throw new AssertionFailure(complaint);
    at += buffer.length;
  }
}
