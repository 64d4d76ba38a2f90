// Reads a file front to back through one large buffer, for scanners that then work synchronously on what is there. What
// the buffer holds already of the next window is moved to its front and not read again.

import { wordsOf } from '@flotilla/codec';
import type { Disk, File, IoError } from '@flotilla/io';
import { readFully } from './disk-steps.ts';
import { pageBytes } from './format.ts';

const windowBytes = 2 * 1024 * 1024;

/** Memory that readers use one after the other, so that a log of many files is read through one window. */
export class WindowBuffer {
  bytes: Uint8Array = new Uint8Array(0);
  /** The same as little-endian words, where the machine has them so. */
  words: Int32Array | null = null;

  /** Makes room for `length` bytes, of which those from `from` to `to` stay and come first. */
  reach(length: number, from: number, to: number): void {
    if (this.bytes.length >= length) {
      if (from > 0) this.bytes.copyWithin(0, from, to);
      return;
    }
    const larger = new Uint8Array(length);
    larger.set(this.bytes.subarray(from, to));
    this.bytes = larger;
    this.words = wordsOf(larger);
  }
}

export class WindowReader {
  readonly #disk: Disk;
  readonly #file: File;
  readonly #buffer: WindowBuffer;
  start = 0;
  length = 0;
  /** File offset that nothing is read beyond: the file's end as far as known. */
  end: number;
  bytesRead = 0;

  constructor(
    disk: Disk,
    file: File,
    fileBytes: number,
    buffer: WindowBuffer = new WindowBuffer(),
  ) {
    this.#disk = disk;
    this.#file = file;
    this.#buffer = buffer;
    this.end = fileBytes;
  }

  /** The bytes of the window; those from file offset `start` to `start + length` are valid. */
  get bytes(): Uint8Array {
    return this.#buffer.bytes;
  }

  get words(): Int32Array | null {
    return this.#buffer.words;
  }

  has(offset: number, length: number): boolean {
    return offset >= this.start && offset + length <= this.start + this.length;
  }

  /** Index in `bytes` of a file offset in the window. */
  at(offset: number): number {
    return offset - this.start;
  }

  /** Makes the window begin at `offset` and hold `length` bytes at least, as far as the file goes (then `end` tells). */
  load(offset: number, length: number, callback: (error: IoError | null) => void): void {
    const wanted = Math.min(Math.max(length, windowBytes), Math.max(0, this.end - offset));
    const from = this.has(offset, 0) ? this.at(offset) : this.length;
    const kept = Math.min(this.length - from, wanted);
    this.#buffer.reach(Math.max(wanted, pageBytes), from, from + kept);
    this.start = offset;
    this.length = kept;
    const rest = this.bytes.subarray(kept, wanted);
    readFully(this.#disk, this.#file, rest, offset + kept, (error, bytes) => {
      if (error !== null) return callback(error);
      this.length = kept + bytes;
      this.bytesRead += bytes;
      if (this.length < wanted) this.end = offset + this.length;
      callback(null);
    });
  }
}

const zeroPage = Buffer.alloc(pageBytes);

/** Whether the page at `at` (the rest of it, at the end of the bytes) holds only zeros. */
export function isZeroPage(bytes: Uint8Array, at: number, length: number = pageBytes): boolean {
  if (bytes[at] !== 0) return false;
  const page = Buffer.from(bytes.buffer, bytes.byteOffset + at, length);
  return page.equals(length === pageBytes ? zeroPage : zeroPage.subarray(0, length));
}
