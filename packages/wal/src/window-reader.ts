// Reads a file front to back through one large buffer, for scanners that then work synchronously on what is there. What
// the buffer holds already of the next window is moved to its front and not read again.

import { wordsOf } from '@flotilla/codec';
import type { Disk, File, IoError } from '@flotilla/io';
import { readFully } from './disk-steps.ts';
import { pageBytes } from './format.ts';
import type { ScanAhead } from './scan-ahead.ts';

const windowBytes = 2 * 1024 * 1024;

/** Memory that readers use one after the other, so that a log of many files is read through one window. */
export class WindowBuffer {
  bytes: Uint8Array = new Uint8Array(0);
  /** The same as little-endian words. */
  words: Int32Array = wordsOf(this.bytes);

  /** Makes room for `length` bytes, the first of which are `kept`: here or elsewhere. */
  reach(length: number, kept: Uint8Array): void {
    if (this.bytes.length < length) {
      this.bytes = new Uint8Array(length);
      this.words = wordsOf(this.bytes);
    }
    if (kept.length > 0) this.bytes.set(kept);
  }
}

export class WindowReader {
  readonly #disk: Disk;
  readonly #file: File;
  readonly #buffer: WindowBuffer;
  readonly #ahead: ScanAhead | null;
  /** The memory that the window stands in, and where in it: the buffer's, or that of a window that was read ahead. */
  bytes: Uint8Array;
  words: Int32Array;
  #base = 0;
  start = 0;
  length = 0;
  /** File offset that nothing is read beyond: the file's end as far as known. */
  end: number;
  bytesRead = 0;
  /** Batches of the window that end at this file offset or before were checked by a thread. */
  verifiedEnd = 0;

  constructor(
    disk: Disk,
    file: File,
    fileBytes: number,
    buffer: WindowBuffer = new WindowBuffer(),
    ahead: ScanAhead | null = null,
  ) {
    this.#disk = disk;
    this.#file = file;
    this.#buffer = buffer;
    this.#ahead = ahead;
    this.bytes = buffer.bytes;
    this.words = buffer.words;
    this.end = fileBytes;
  }

  has(offset: number, length: number): boolean {
    return offset >= this.start && offset + length <= this.start + this.length;
  }

  /** Index in `bytes` of a file offset in the window. */
  at(offset: number): number {
    return this.#base + offset - this.start;
  }

  /** As load(), at a batch's header: the window may have been read ahead, and the batches in it been checked. */
  next(offset: number, length: number, callback: (error: IoError | null) => void): void {
    const isTaken = this.#ahead?.take(offset, length, (window) => {
      if (window === null) return this.load(offset, length, callback);
      if (window.error !== null) return callback(window.error);
      this.bytes = window.bytes;
      this.words = window.words;
      this.#base = window.base;
      this.start = window.offset;
      this.length = window.length;
      this.bytesRead += window.bytesRead;
      this.verifiedEnd = window.verifiedEnd;
      if (window.isShort) this.end = window.offset + window.length;
      callback(null);
    });
    if (isTaken !== true) this.load(offset, length, callback);
  }

  /** Makes the window begin at `offset` and hold `length` bytes at least, as far as the file goes (then `end` tells). */
  load(offset: number, length: number, callback: (error: IoError | null) => void): void {
    const wanted = Math.min(Math.max(length, windowBytes), Math.max(0, this.end - offset));
    const from = this.at(offset);
    const kept = this.has(offset, 0) ? Math.min(this.start + this.length - offset, wanted) : 0;
    this.#buffer.reach(Math.max(wanted, pageBytes), this.bytes.subarray(from, from + kept));
    this.bytes = this.#buffer.bytes;
    this.words = this.#buffer.words;
    this.#base = 0;
    this.verifiedEnd = 0;
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
