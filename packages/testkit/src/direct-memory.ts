// What a file that is written past the page cache asks of a write: whole blocks, in memory that begins at one. Real
// memory has addresses that nobody is told; here it is aligned if alignedMemory() made it. What a short write has written
// ends at a sector: disks with small sectors take whole blocks and may stop between two sectors of one.

import type { AlignedMemory, OpenMode } from '@flotilla/io';
import { sectorBytes } from './disk-tree.ts';

/** Offsets, lengths and places in memory are multiples of it. */
export const directBlockBytes = 4096;

const aligned = new WeakSet<ArrayBufferLike>();

export function alignedMemory(bytes: number): AlignedMemory {
  const memory = new Uint8Array(bytes);
  aligned.add(memory.buffer);
  return { bytes: memory, wasm: null };
}

/** Whether the system takes such a write to a file opened in this mode. */
export function isTaken(mode: OpenMode, buffers: readonly Uint8Array[], offset: number): boolean {
  if (mode !== 'writeDirect') return true;
  const isWhole = (bytes: number): boolean => bytes % directBlockBytes === 0;
  if (!isWhole(offset)) return false;
  return buffers.every(
    ({ buffer, byteOffset, length }) =>
      aligned.has(buffer) && isWhole(byteOffset) && isWhole(length),
  );
}

/** How many of `count` bytes a write that is cut short after `asked` of them has written. */
export function shortWrite(mode: OpenMode, count: number, asked: number): number {
  const unit = mode === 'writeDirect' ? sectorBytes : 1;
  return Math.min(count, Math.max(unit, asked - (asked % unit)));
}
