// Memory for one slab: plain, or such as a file can be written from past the page cache and CRCs are computed over.

import { type BlockCrc, blockCrcFrontBytes, blockCrcOver, wordsOf } from '@flotilla/codec';
import type { Disk } from '@flotilla/io';

export class SlabMemory {
  readonly bytes: Uint8Array;
  /** The same as words. */
  readonly words: Int32Array;
  /** A file past the page cache can be written from it. */
  readonly isAligned: boolean;
  /** Computes the CRCs of blocks in it; null where that takes JavaScript. */
  readonly blockCrc: BlockCrc | null;

  constructor(bytes: Uint8Array, isAligned: boolean, blockCrc: BlockCrc | null) {
    this.bytes = bytes;
    this.words = wordsOf(bytes);
    this.isAligned = isAligned;
    this.blockCrc = blockCrc;
  }

  static plain(bytes: number): SlabMemory {
    return new SlabMemory(new Uint8Array(bytes), false, null);
  }

  /** Memory that begins at a page; null where there is none to be had. */
  static aligned(disk: Pick<Disk, 'alignedMemory'>, bytes: number): SlabMemory | null {
    const memory = disk.alignedMemory(blockCrcFrontBytes + bytes);
    if (memory === null) return null;
    const blockCrc = memory.wasm === null ? null : blockCrcOver(memory.wasm);
    return new SlabMemory(memory.bytes.subarray(blockCrcFrontBytes), true, blockCrc);
  }
}
