// Segments with ids above the newest that STORE knows. A rotation or a recovery that was cut short leaves at most
// carry-over batches there; a normal batch means that STORE is older than the data (a backup put back, a lost write). Its
// header was durable before it had its name: one that is sound and of another segment or store was put there by somebody.

import type { Callback, Disk } from '@flotilla/io';
import {
  batchFlags,
  batchFlagsAt,
  batchSaltAt,
  batchSegIdAt,
  batchSeqAt,
  decodeSegmentHeader,
  isBatchHeader,
  pageBytes,
  pathIn,
  type SegmentHeader,
  segmentIdOf,
} from '../format.ts';
import { type WindowBuffer, WindowReader } from '../window-reader.ts';
import { withFile } from './files.ts';
import type { FoundFile } from './survey.ts';

export interface BeyondFacts {
  /** Page and number of the first batch that is no carry-over, 0 = there is none. */
  readonly normalPage: number;
  readonly normalSeq: number;
  /** Its header page; null where that is none, as in a file that was never written. */
  readonly header: SegmentHeader | null;
  /** Highest sequence number in the file. */
  readonly seqMax: number;
  readonly bytesScanned: number;
}

export function lookBeyond(
  disk: Disk,
  directory: string,
  found: FoundFile,
  window: WindowBuffer,
  callback: Callback<BeyondFacts>,
): void {
  const segId = segmentIdOf(found.name);
  let header: SegmentHeader | null = null;
  let normalPage = 0;
  let normalSeq = 0;
  let seqMax = 0;
  withFile<BeyondFacts>(
    disk,
    pathIn(directory, found.name),
    (file, done) => {
      const reader = new WindowReader(disk, file, found.bytes, window);
      let offset = 0;
      const look = (bytes: Uint8Array, at: number): void => {
        if (!isBatchHeader(bytes, at) || batchSegIdAt(bytes, at) !== segId) return;
        // Without a header to name the life of the file, any batch under its id counts.
        if (header !== null && batchSaltAt(bytes, at) !== header.salt) return;
        const seq = batchSeqAt(bytes, at);
        seqMax = Math.max(seqMax, seq);
        if ((batchFlagsAt(bytes, at) & batchFlags.carryOver) !== 0 || normalPage > 0) return;
        normalPage = offset / pageBytes;
        normalSeq = seq;
      };
      const step = (): void => {
        for (; offset + pageBytes <= reader.end; offset += pageBytes) {
          if (!reader.has(offset, pageBytes)) {
            return reader.load(offset, pageBytes, (error) =>
              error === null ? step() : done(error, undefined as never),
            );
          }
          const at = reader.at(offset);
          const { bytes } = reader;
          if (offset > 0) look(bytes, at);
          else header = decodeSegmentHeader(bytes.subarray(at, at + pageBytes));
        }
        done(null, { header, normalPage, normalSeq, seqMax, bytesScanned: reader.bytesRead });
      };
      step();
    },
    callback,
  );
}
