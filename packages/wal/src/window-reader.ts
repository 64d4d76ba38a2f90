// Reads a file front to back through one large buffer, for scanners that then work synchronously on what is there.

import type { Disk, File, IoError } from '@flotilla/io';
import { readFully } from './disk-steps.ts';
import { pageBytes } from './format.ts';

const windowBytes = 2 * 1024 * 1024;

/** Memory that readers use one after the other, so that a log of many files is read through one window. */
export class WindowBuffer {
  bytes: Uint8Array = new Uint8Array(0);

  reach(length: number): void {
    if (this.bytes.length < length) this.bytes = new Uint8Array(length);
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
    this.#buffer.reach(Math.max(wanted, pageBytes));
    readFully(this.#disk, this.#file, this.bytes.subarray(0, wanted), offset, (error, bytes) => {
      if (error !== null) return callback(error);
      this.start = offset;
      this.length = bytes;
      this.bytesRead += bytes;
      if (bytes < wanted) this.end = offset + bytes;
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
