// Pieces of log segments that were read from disk a moment ago. Replay after a restart and the catch-up of a follower ask
// for records one by one, of many groups whose records lie side by side: without this each of them costs an open, a read
// and a close.
//
// Guarantees: a window holds only bytes that cannot change any more (it lies within one unit of a segment whose slab has
// left memory, which happens only when all of it is durable); the memory is bounded by windowsMax windows; what is handed
// out is a copy. It verifies nothing: that is its caller's duty, and a caller that finds damage reads the record itself.

import type { Disk, File, IoError } from '@flotilla/io';
import { readFully } from './disk-steps.ts';
import type { SegmentState } from './segment-set.ts';

export const windowBytes: number = 256 * 1024;
const windowsMax = 8;

/** The record's bytes, or null where no window can have them. */
type Found = (bytes: Uint8Array | null) => void;

interface Wanted {
  readonly offset: number;
  readonly length: number;
  readonly found: Found;
}

class Window {
  readonly segment: SegmentState;
  readonly start: number;
  readonly bytes: Uint8Array;
  /** Who waits for the read; null once it is done. */
  wanted: Wanted[] | null = [];
  /** Bytes that were read. */
  filled = 0;

  constructor(segment: SegmentState, start: number, length: number) {
    this.segment = segment;
    this.start = start;
    this.bytes = new Uint8Array(length);
  }

  copy(offset: number, length: number): Uint8Array | null {
    const at = offset - this.start;
    return at + length <= this.filled ? this.bytes.slice(at, at + length) : null;
  }
}

export class ReadWindows {
  readonly #disk: Disk;
  readonly #slabBytes: number;
  /** Used last at the end. */
  #windows: Window[] = [];

  constructor(disk: Disk, slabBytes: number) {
    this.#disk = disk;
    this.#slabBytes = slabBytes;
  }

  /**
   * The bytes from `offset` on where a window has them, at once. Only for records whose slab is not in memory.
   */
  peek(segment: SegmentState, offset: number, length: number): Uint8Array | null {
    const window = this.#windowAt(segment, offset);
    return window === null || window.wanted !== null ? null : window.copy(offset, length);
  }

  /** Reads the window around them; calls back once, later. False where they fit none, and nothing is called. */
  read(
    place: { readonly path: string; readonly segment: SegmentState },
    offset: number,
    length: number,
    found: Found,
  ): boolean {
    const { path, segment } = place;
    const { start, end } = this.#bounds(offset);
    // A large record is better read alone; one that crosses the border of its window is in neither.
    if (offset + length > end || length > windowBytes / 4) return false;
    const reading = this.#windowAt(segment, offset);
    if (reading !== null) {
      // A window that was read and has them would have been peeked into: it ends before them.
      if (reading.wanted === null) return false;
      reading.wanted.push({ offset, length, found });
      return true;
    }
    if (this.#windows.length >= windowsMax && !this.#evict()) return false;
    const window = new Window(segment, start, end - start);
    window.wanted?.push({ offset, length, found });
    this.#windows.push(window);
    // Its file must stay until those who wait have had their answer, which may be to read it themselves.
    segment.readers++;
    withFile(this.#disk, segment, path, (openError, file, release) => {
      if (openError !== null) return this.#done(window, 0);
      readFully(this.#disk, file, window.bytes, start, (error, bytes) => {
        release();
        this.#done(window, error === null ? bytes : 0);
      });
    });
    return true;
  }

  #done(window: Window, filled: number): void {
    const wanted = window.wanted ?? [];
    window.wanted = null;
    window.filled = filled;
    if (filled === 0) this.#windows = this.#windows.filter((other) => other !== window);
    for (const { offset, length, found } of wanted) found(window.copy(offset, length));
    window.segment.readers--;
  }

  #windowAt(segment: SegmentState, offset: number): Window | null {
    const { start } = this.#bounds(offset);
    const windows = this.#windows;
    for (let i = windows.length - 1; i >= 0; i--) {
      const window = windows[i] as Window;
      if (window.segment !== segment || window.start !== start) continue;
      if (i < windows.length - 1) {
        windows.splice(i, 1);
        windows.push(window);
      }
      return window;
    }
    return null;
  }

  /** Windows divide the units that slabs hold, so that none reaches into a unit that is still written. */
  #bounds(offset: number): { start: number; end: number } {
    const unitStart = Math.floor(offset / this.#slabBytes) * this.#slabBytes;
    const start = unitStart + Math.floor((offset - unitStart) / windowBytes) * windowBytes;
    return { start, end: Math.min(start + windowBytes, unitStart + this.#slabBytes) };
  }

  /** Forgets the window that was used longest ago; false where all are being read. */
  #evict(): boolean {
    const at = this.#windows.findIndex(({ wanted }) => wanted === null);
    if (at < 0) return false;
    this.#windows.splice(at, 1);
    return true;
  }
}

/** The segment's own descriptor where it is open, else one for this read. */
export function withFile(
  disk: Disk,
  segment: SegmentState,
  path: string,
  use: (error: IoError | null, file: File, release: () => void) => void,
): void {
  if (segment.file !== null) return use(null, segment.file, () => {});
  disk.open(path, 'read', (error, file) => {
    if (error !== null) return use(error, file, () => {});
    use(null, file, () => disk.close(file, () => {}));
  });
}
