// Finding whole batches in a file by looking at every page, without STORE, without the segment's header, without order:
// what is left when nothing else can be trusted. A body's checksum is computed piece by piece, so that no length found
// in the file ever becomes memory.

import { alignUp, crc32 } from '@flotilla/codec';
import type { Disk, File, IoError } from '@flotilla/io';
import { readFully } from '../disk-steps.ts';
import {
  batchBodyBytesMax,
  batchBodyLenAt,
  type BatchHeader,
  batchHeaderAt,
  batchHeaderBytes,
  isBatchHeader,
  pageBytes,
} from '../format.ts';
import { isZeroPage } from '../window-reader.ts';

const pieceBytes = 1024 * 1024;

export interface CarvedBatch {
  readonly header: BatchHeader & { readonly hdrCrc: number };
  readonly offset: number;
  /** Bytes to the end of its last page, as the header says. */
  readonly length: number;
  /** Whether the body is there and its checksum holds. */
  readonly isWhole: boolean;
}

export interface CarveEnd {
  readonly pages: number;
  readonly zeroPages: number;
  /** Pages that are neither zero nor part of a batch with a whole header. */
  readonly otherPages: number;
}

/** Visits every batch header that holds, in order of place. Behind a whole batch the search goes on after it. */
export function carveFile(
  disk: Disk,
  file: File,
  fileBytes: number,
  visit: (batch: CarvedBatch) => void,
  callback: (error: IoError | null, end: CarveEnd) => void,
): void {
  const window = new Uint8Array(pieceBytes);
  const body = new Uint8Array(pieceBytes);
  let start = 0;
  let length = 0;
  let offset = 0;
  let zeroPages = 0;
  let otherPages = 0;
  const fail = (error: IoError): void => callback(error, undefined as never);

  const step = (): void => {
    while (offset < fileBytes) {
      const left = Math.min(pageBytes, fileBytes - offset);
      if (offset < start || offset + left > start + length) return load();
      const at = offset - start;
      if (left >= batchHeaderBytes && isBatchHeader(window, at)) return judge(at);
      if (isZeroPage(window, at, left)) zeroPages++;
      else otherPages++;
      offset += pageBytes;
    }
    callback(null, { pages: Math.ceil(fileBytes / pageBytes), zeroPages, otherPages });
  };

  const load = (): void => {
    const wanted = Math.min(pieceBytes, fileBytes - offset);
    readFully(disk, file, window.subarray(0, wanted), offset, (error, bytes) => {
      if (error !== null) return fail(error);
      // The file became shorter than it was: what is not there holds nothing.
      if (bytes < wanted) window.fill(0, bytes, wanted);
      start = offset;
      length = wanted;
      step();
    });
  };

  const judge = (at: number): void => {
    const header = batchHeaderAt(window, at);
    const bodyLen = batchBodyLenAt(window, at);
    const batchBytes = alignUp(batchHeaderBytes + bodyLen, pageBytes);
    const canBe = bodyLen <= batchBodyBytesMax && offset + batchBytes <= fileBytes;
    const found = offset;
    const tell = (isWhole: boolean): void => {
      visit({ header, offset: found, length: batchBytes, isWhole });
      offset = found + (isWhole ? batchBytes : pageBytes);
      step();
    };
    if (!canBe) return tell(false);
    sum(found + batchHeaderBytes, found + batchBytes, 0, (error, crc) => {
      if (error !== null) fail(error);
      else tell(crc === header.bodyCrc);
    });
  };

  /** Checksum of the file's bytes [from, to), continued from `seed`. */
  const sum = (
    from: number,
    to: number,
    seed: number,
    done: (error: IoError | null, crc: number) => void,
  ): void => {
    if (from === to) return done(null, seed);
    if (from >= start && to <= start + length) {
      return done(null, crc32(window, from - start, to - start, seed));
    }
    const part = body.subarray(0, Math.min(pieceBytes, to - from));
    readFully(disk, file, part, from, (error, bytes) => {
      if (error !== null) return done(error, 0);
      if (bytes < part.length) part.fill(0, bytes);
      sum(from + part.length, to, crc32(part, 0, part.length, seed), done);
    });
  };

  step();
}
