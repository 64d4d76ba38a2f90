// Frames of the ceiling suite. They have the shape of the engine's traffic (a checksum, a head per group, a length per
// entry) and none of its meaning.
//
//   offset size field
//   0      4    frameBytes  this field included
//   4      4    crc         CRC-32 of the bytes from offset 8 on
//   8      4    seq
//   12     4    groups
//   16     ...  per group: u32 groupId, u32 count, 16 bytes in the place of terms and indexes;
//               per entry: u32 bytes, then the payload

import { crc32 } from '@flotilla/codec';

const headBytes = 16;
const groupHeadBytes = 24;
const entryHeadBytes = 4;
/** More than any turn of the suite's largest settings, far less than what a wild length could ask for. */
export const frameBytesMax: number = 256 * 2 ** 20;

/** Encodes the payloads that wait per group, and empties the lists. */
export function encodeFrame(seq: number, pending: readonly Uint8Array[][]): Uint8Array {
  let bytes = headBytes;
  let groups = 0;
  for (const entries of pending) {
    if (entries.length === 0) continue;
    groups++;
    bytes += groupHeadBytes;
    for (const entry of entries) bytes += entryHeadBytes + entry.length;
  }
  const frame = Buffer.allocUnsafe(bytes);
  const view = new DataView(frame.buffer, frame.byteOffset, bytes);
  view.setUint32(0, bytes, true);
  view.setUint32(8, seq, true);
  view.setUint32(12, groups, true);
  let at = headBytes;
  for (let group = 0; group < pending.length; group++) {
    const entries = pending[group] as Uint8Array[];
    if (entries.length === 0) continue;
    view.setUint32(at, group, true);
    view.setUint32(at + 4, entries.length, true);
    frame.fill(0, at + 8, at + groupHeadBytes);
    at += groupHeadBytes;
    for (const entry of entries) {
      view.setUint32(at, entry.length, true);
      frame.set(entry, at + entryHeadBytes);
      at += entryHeadBytes + entry.length;
    }
    entries.length = 0;
  }
  view.setUint32(4, crc32(frame, 8, bytes), true);
  return frame;
}

/** What has been read from one connection: whole frames are checked and walked through, as applying them would. */
export class FrameReader {
  #rest: Uint8Array | null = null;
  /** Entries walked through so far. */
  entries = 0;
  /** Sum of each entry's first byte, so that the walk has a result that cannot be left out. */
  checksum = 0;
  /** `seq` of the last whole frame. */
  lastSeq = 0;

  /** Takes a chunk; answers the bytes of the whole frames that it completes, or null. Throws on anything malformed. */
  push(chunk: Uint8Array): Uint8Array | null {
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 0;
    while (bytes.length - at >= headBytes) {
      const frameBytes = view.getUint32(at, true);
      if (frameBytes < headBytes || frameBytes > frameBytesMax) throw new Error('frame length');
      if (bytes.length - at < frameBytes) break;
      this.#walk(bytes, view, at, at + frameBytes);
      at += frameBytes;
    }
    this.#rest = at < bytes.length ? bytes.subarray(at) : null;
    return at === 0 ? null : bytes.subarray(0, at);
  }

  #walk(bytes: Uint8Array, view: DataView, start: number, end: number): void {
    if (crc32(bytes, start + 8, end) !== view.getUint32(start + 4, true)) {
      throw new Error('frame checksum');
    }
    const groups = view.getUint32(start + 12, true);
    let at = start + headBytes;
    for (let group = 0; group < groups; group++) {
      const count = view.getUint32(at + 4, true);
      at += groupHeadBytes;
      for (let i = 0; i < count; i++) {
        this.checksum = (this.checksum + (bytes[at + entryHeadBytes] as number)) >>> 0;
        at += entryHeadBytes + view.getUint32(at, true);
      }
      this.entries += count;
    }
    if (at !== end) throw new Error('frame contents');
    this.lastSeq = view.getUint32(start + 8, true);
  }
}
