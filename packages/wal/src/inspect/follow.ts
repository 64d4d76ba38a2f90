// Following a log that another process writes: each poll tells the batches that came since, in order, across rotations.
// Reads only, keeps one position, and believes a batch only once its checksums hold, so that one that is being written
// is told a poll later.

import type { Disk, IoError } from '@flotilla/io';
import { decodeSegmentHeader, pageBytes, pathIn, segmentName } from '../format.ts';
import { type ScannedBatch, scanSegment } from '../scan.ts';
import { kindText, readPart, withFile } from './files.ts';
import { readStore } from './store-report.ts';
import type { SegmentFile } from './survey.ts';

interface Position {
  readonly segment: SegmentFile;
  offset: number;
  nextSeq: number;
  hdrCrc: number;
}

export class LogFollower {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #visit: (segment: SegmentFile, batch: ScannedBatch) => void;
  #position: Position | null = null;

  /** Starts with the first batch of the newest segment. `visit` must not keep the batch. */
  constructor(
    disk: Disk,
    directory: string,
    visit: (segment: SegmentFile, batch: ScannedBatch) => void,
  ) {
    this.#disk = disk;
    this.#directory = directory;
    this.#visit = visit;
  }

  /** Tells what is new. An error is for this poll: the next one tries again, at the newest segment where the old one is gone. */
  poll(done: (error: Error | null) => void): void {
    readStore(this.#disk, this.#directory, (result) => {
      if ('refusal' in result) {
        const { file, summary } = result.refusal;
        return done(new Error(`${file}: ${summary}`));
      }
      this.#advance(result.report.current.newestSeg, done);
    });
  }

  #advance(newestSeg: number, done: (error: Error | null) => void): void {
    const position = this.#position;
    if (position === null) return this.#enter(newestSeg, newestSeg, done);
    this.#read(position, (error) => {
      if (error !== null) {
        if (error.code === 'ENOENT') this.#position = null;
        return done(error);
      }
      const { segId } = position.segment;
      if (segId < newestSeg) this.#enter(segId + 1, newestSeg, done);
      else done(null);
    });
  }

  /** Goes on at the first batch of the segment; one that was purged meanwhile is passed over to the newest. */
  #enter(segId: number, newestSeg: number, done: (error: Error | null) => void): void {
    const name = segmentName(segId);
    const path = pathIn(this.#directory, name);
    this.#disk.stat(path, (statError, stat) => {
      if (statError?.code === 'ENOENT' && segId < newestSeg)
        return this.#enter(newestSeg, newestSeg, done);
      if (statError !== null) return done(statError);
      if (stat.kind !== 'file')
        return done(new Error(`${name} is a ${kindText(stat.kind)}, not a file`));
      readPart(this.#disk, path, 0, pageBytes, (error, page) => {
        if (error !== null) return done(error);
        const header = decodeSegmentHeader(page);
        if (header === null || header.segId !== segId)
          return done(new Error(`${name} has no header of its own`));
        const { bytes, links } = stat;
        this.#position = {
          segment: { segId, name, bytes, links, header },
          offset: pageBytes,
          nextSeq: header.firstSeq,
          hdrCrc: header.prevHdrCrc,
        };
        this.#advance(newestSeg, done);
      });
    });
  }

  #read(position: Position, done: (error: IoError | null) => void): void {
    const { segment } = position;
    const { header } = segment;
    const plan = {
      segId: segment.segId,
      salt: header.salt,
      capacityBytes: header.capacityPages * pageBytes,
      firstSeq: position.nextSeq,
      prevHdrCrc: position.hdrCrc,
      epochMin: header.epoch,
      epochMax: Number.MAX_SAFE_INTEGER,
      end: 0,
      from: position.offset,
    };
    const visit = (batch: ScannedBatch): null => {
      this.#visit(segment, batch);
      position.offset = batch.offset + batch.length;
      position.nextSeq = batch.seq + 1;
      position.hdrCrc = batch.hdrCrc;
      return null;
    };
    withFile<void>(
      this.#disk,
      pathIn(this.#directory, segment.name),
      (file, close) =>
        scanSegment(this.#disk, file, plan.capacityBytes, plan, visit, (error) =>
          close(error, undefined),
        ),
      done,
    );
  }
}
