// Group commit: takes one closed batch at a time, seals it, writes it, syncs it, and only then the next. Where a batch
// begins a segment the rotation comes first, whole and durable: header, name, directory, STORE.
//
//   idle -> [rotate] -> seal -> writev until all bytes -> fdatasync -> durable -> next batch or idle
//
// Guarantees: one batch in flight, so that a valid batch n + 1 proves that n was durable; a failed write or sync is never
// repeated (lack of space inside a batch's write excepted: nothing was promised and the same bytes go to the same place).

import { crc32 } from '@flotilla/codec';
import { assert, type Clock, type Disk, type File, type IoError } from '@flotilla/io';
import type { WalCounters } from './api.ts';
import {
  isInterrupted,
  isOutOfSpace,
  nothingWritten,
  withoutFirst,
  writeFully,
} from './disk-steps.ts';
import {
  batchFlags,
  batchHeaderBytes,
  encodeSegmentHeader,
  formatMajor,
  formatMinor,
  pageBytes,
  pathIn,
  putBatchHeader,
  segmentName,
} from './format.ts';
import type { SegmentSet, SegmentState } from './segment-set.ts';
import type { SyncMethod } from './api.ts';
import type { Spare, SpareMaker } from './spare-maker.ts';
import type { Batch, Stager } from './stager.ts';
import type { StoreFile } from './store-file.ts';

const spaceRetryMs = 100;
/** A batch that takes longer is told, so that a stalling disk is seen before somebody asks. */
const slowBatchMs = 1000;

/** Where the log ended when the flusher began. */
export interface LogEnd {
  readonly lastSeq: number;
  /** Next sequence number: lastSeq + 1, or higher behind a dropped tail. */
  readonly nextSeq: number;
  readonly lastHdrCrc: number;
  /** File offset behind the last batch in the newest segment. */
  readonly offset: number;
}

/** Where a failure happened, for the error that users see. */
export interface FailurePlace {
  readonly segment: string;
  readonly offset: number;
  readonly seq: number;
}

export interface FlusherOwner {
  /** A batch is durable; the next one, if any waits, was not yet started. */
  onBatchDurable(batch: Batch, seq: number): void;
  onFailure(what: string, error: IoError, place: FailurePlace): void;
  /** There is no space for what comes next: whether to try again. Where not, the flusher was stopped. */
  waitsForSpace(error: IoError): boolean;
  /** A new segment stands, and its first batch is on the way. */
  onRotation(): void;
  /** The lock file is still the one that was locked. */
  isLockIntact(): boolean;
  onInfo(line: string): void;
}

export class Flusher {
  readonly #clock: Clock;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #stager: Stager;
  readonly #segments: SegmentSet;
  readonly #spares: SpareMaker;
  readonly #store: StoreFile;
  readonly #owner: FlusherOwner;
  readonly #syncMethod: SyncMethod;
  readonly #counters: WalCounters;

  #lastSeq: number;
  #nextSeq: number;
  #lastHdrCrc: number;
  #lastEnd: number;
  #durableSeq: number;
  #isStopped = false;

  // The batch in flight.
  #batch: Batch | null = null;
  #seq = 0;
  #file: File | null = null;
  #buffers: readonly Uint8Array[] = [];
  #offset = 0;
  #bytesLeft = 0;
  #bodyCrc = 0;
  #startedMs = 0;
  readonly #views: Uint8Array[] = [];

  constructor(
    world: { readonly clock: Clock; readonly disk: Disk },
    parts: {
      readonly directory: string;
      readonly stager: Stager;
      readonly segments: SegmentSet;
      readonly spares: SpareMaker;
      readonly store: StoreFile;
      readonly syncMethod: SyncMethod;
      readonly counters: WalCounters;
    },
    end: LogEnd,
    owner: FlusherOwner,
  ) {
    this.#clock = world.clock;
    this.#disk = world.disk;
    this.#directory = parts.directory;
    this.#stager = parts.stager;
    this.#segments = parts.segments;
    this.#spares = parts.spares;
    this.#store = parts.store;
    this.#syncMethod = parts.syncMethod;
    this.#counters = parts.counters;
    this.#lastSeq = end.lastSeq;
    this.#nextSeq = end.nextSeq;
    this.#lastHdrCrc = end.lastHdrCrc;
    this.#lastEnd = end.offset;
    this.#durableSeq = end.lastSeq;
    this.#owner = owner;
  }

  get isBusy(): boolean {
    return this.#batch !== null;
  }

  /** Highest batch that is durable. */
  get durableSeq(): number {
    return this.#durableSeq;
  }

  /** Starts nothing more; what is in flight ends without an answer. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Begins to make a closed batch durable. Only while idle. */
  start(batch: Batch): void {
    assert(this.#batch === null && !this.#isStopped, 'two batches in flight');
    this.#batch = batch;
    this.#seq = this.#nextSeq;
    const { segment } = batch;
    if (segment.isOnDisk) this.#write(batch);
    else this.#rotate(segment, batch);
  }

  // --- Rotation ------------------------------------------------------------------------------------------------------

  #rotate(segment: SegmentState, batch: Batch): void {
    if (!this.#owner.isLockIntact()) {
      const error = Object.assign(new Error('the lock file was replaced or removed'), {
        code: 'ENOLCK',
      });
      return this.#clock.nextTurn(() => this.#fail('check the lock', error));
    }
    const onNoSpace = (error: IoError): void => void this.#owner.waitsForSpace(error);
    this.#spares.take(onNoSpace, (spare) => {
      if (this.#isStopped) return this.#disk.close(spare.file, () => {});
      const previous = this.#segments.at(segment.slot - 1);
      previous.end = this.#lastEnd;
      previous.lastSeq = this.#lastSeq;
      previous.lastHdrCrc = this.#lastHdrCrc;
      const { slot } = this.#store;
      const header = encodeSegmentHeader({
        major: formatMajor,
        minor: formatMinor,
        headerLen: pageBytes,
        uuid: slot.uuid,
        segId: segment.segId,
        salt: segment.salt,
        epoch: slot.epoch,
        firstSeq: this.#nextSeq,
        oldestSeg: slot.oldestSeg,
        prevSegId: previous.segId,
        prevEnd: this.#lastEnd,
        prevLastSeq: this.#lastSeq,
        prevHdrCrc: this.#lastHdrCrc,
        capacityPages: segment.capacityBytes / pageBytes,
        incompat: 0,
        compat: 0,
        createdMs: Math.max(0, Math.floor(this.#clock.wallMs())),
      });
      const path = pathIn(this.#directory, segmentName(segment.segId));
      const steps: [string, (done: (error: IoError | null) => void) => void][] = [
        ['write the segment header', (done) => writeFully(this.#disk, spare.file, header, 0, done)],
        ['sync the segment header', (done) => this.#sync(spare.file, done)],
        ['rename the spare', (done) => this.#disk.rename(spare.path, path, done)],
        ['sync the directory', (done) => this.#disk.syncDir(this.#directory, done)],
        ['open the segment', (done) => this.#openSegment(spare, path, segment, done)],
        [
          'write STORE',
          (done) =>
            this.#store.update({ newestSeg: segment.segId, durableSeq: this.#lastSeq }, done),
        ],
      ];
      const next = (at: number): void => {
        const step = steps[at];
        if (step === undefined) {
          segment.isOnDisk = true;
          this.#counters.rotations++;
          this.#spares.want();
          this.#write(batch);
          return this.#owner.onRotation();
        }
        step[1]((error) => {
          if (this.#isStopped) return;
          if (error === null) return next(at + 1);
          // The header alone may be written again: the file is not part of the log yet.
          if (at > 0 || !isOutOfSpace(error)) return this.#fail(step[0], error);
          if (!this.#owner.waitsForSpace(error)) return this.#disk.close(spare.file, () => {});
          this.#owner.onInfo(`no space for a segment header (${error.code}), trying again`);
          this.#clock.at(this.#clock.monotonicMs() + spaceRetryMs, () => {
            if (!this.#isStopped) next(at);
          });
        });
      };
      next(0);
    });
  }

  /** Goes on with the spare's descriptor, or with one whose writes are durable when they are answered. */
  #openSegment(
    spare: Spare,
    path: string,
    segment: SegmentState,
    done: (error: IoError | null) => void,
  ): void {
    segment.file = spare.file;
    if (this.#syncMethod !== 'dsync') return done(null);
    this.#disk.open(path, 'writeSync', (error, file) => {
      if (error !== null) return done(error);
      segment.file = file;
      this.#disk.close(spare.file, done);
    });
  }

  #sync(file: File, done: (error: IoError | null) => void): void {
    this.#counters.syncs++;
    this.#disk.datasync(file, done);
  }

  // --- One batch -----------------------------------------------------------------------------------------------------

  #write(batch: Batch): void {
    const { segment } = batch;
    assert(segment.file !== null, 'a segment without a file');
    this.#file = segment.file;
    this.#seal(batch);
    this.#views.length = 0;
    this.#stager.visit(segment, batch.start, batch.pageEnd, this.#addView);
    this.#startedMs = this.#clock.monotonicMs();
    this.#buffers = this.#views;
    this.#offset = batch.start;
    this.#bytesLeft = batch.pageEnd - batch.start;
    this.#writeRest();
  }

  #seal(batch: Batch): void {
    const { segment } = batch;
    this.#bodyCrc = 0;
    this.#stager.visit(segment, batch.start + batchHeaderBytes, batch.pageEnd, this.#addToCrc);
    const head = segment.slabs[Math.floor(batch.start / this.#segments.slabBytes)];
    assert(head !== null && head !== undefined, 'a batch that is not in memory');
    this.#lastHdrCrc = putBatchHeader(head.bytes, batch.start - head.fileStart, {
      flags: this.#syncMethod === 'none' ? batchFlags.unsynced : 0,
      segId: segment.segId,
      seq: this.#seq,
      salt: segment.salt,
      pageNo: batch.start / pageBytes,
      bodyLen: batch.bodyLen,
      recordCount: batch.recordCount,
      durableSeq: this.#durableSeq,
      prevHdrCrc: this.#lastHdrCrc,
      bodyCrc: this.#bodyCrc,
      epoch: this.#store.slot.epoch,
    });
  }

  readonly #addToCrc = (bytes: Uint8Array, start: number, end: number): void => {
    this.#bodyCrc = crc32(bytes, start, end, this.#bodyCrc);
  };

  readonly #addView = (bytes: Uint8Array, start: number, end: number): void => {
    this.#views.push(bytes.subarray(start, end));
  };

  readonly #writeRest = (): void => {
    if (this.#isStopped) return;
    this.#disk.writev(this.#file as File, this.#buffers, this.#offset, this.#onWritten);
  };

  readonly #onWritten = (error: IoError | null, written: number): void => {
    if (this.#isStopped) return;
    if (error !== null) {
      if (isInterrupted(error)) return this.#writeRest();
      if (!isOutOfSpace(error)) return this.#fail('write a batch', error);
      if (!this.#owner.waitsForSpace(error)) return;
      this.#owner.onInfo(`no space for batch ${this.#seq} (${error.code}), trying again`);
      this.#clock.at(this.#clock.monotonicMs() + spaceRetryMs, this.#writeRest);
      return;
    }
    if (written <= 0) return this.#fail('write a batch', nothingWritten());
    this.#bytesLeft -= written;
    this.#offset += written;
    if (this.#bytesLeft > 0) {
      this.#buffers = withoutFirst(this.#buffers, written);
      return this.#writeRest();
    }
    if (this.#syncMethod !== 'fdatasync') return this.#onSynced(null);
    this.#sync(this.#file as File, this.#onSynced);
  };

  readonly #onSynced = (error: IoError | null): void => {
    if (this.#isStopped) return;
    if (error !== null) return this.#fail('sync a batch', error);
    const batch = this.#batch as Batch;
    this.#batch = null;
    this.#buffers = [];
    this.#lastSeq = this.#seq;
    this.#durableSeq = this.#seq;
    this.#nextSeq = this.#seq + 1;
    this.#lastEnd = batch.pageEnd;
    const elapsedMs = this.#clock.monotonicMs() - this.#startedMs;
    if (elapsedMs > slowBatchMs) {
      this.#owner.onInfo(`batch ${this.#seq} took ${Math.round(elapsedMs)} ms to become durable`);
    }
    this.#counters.batches++;
    this.#counters.batchBytes += batch.pageEnd - batch.start;
    this.#owner.onBatchDurable(batch, this.#seq);
  };

  #fail(what: string, error: IoError): void {
    const batch = this.#batch as Batch;
    const segment = segmentName(batch.segment.segId);
    this.#isStopped = true;
    this.#owner.onFailure(what, error, { segment, offset: this.#offset, seq: this.#seq });
  }
}
