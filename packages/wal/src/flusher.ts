// Group commit: takes one closed batch at a time, seals it, writes it, syncs it, and only then the next. Where a batch
// begins a segment the rotation comes first, whole and durable: header, name, directory, STORE.
//
//   idle -> [rotate] -> seal -> write and sync (batch-writer.ts) -> durable -> next batch or idle
//
// Guarantees: one batch in flight, so that a valid batch n + 1 proves that n was durable; a failed step of a rotation is
// not repeated (lack of space for the header excepted: the file is not part of the log yet).

import { crc32 } from '@flotilla/codec';
import { assert, type Clock, type Disk, type File, type IoError } from '@flotilla/io';
import type { WalCounters } from './api.ts';
import { BatchWriter } from './batch-writer.ts';
import { isOutOfSpace, writeFully } from './disk-steps.ts';
import {
  batchFlags,
  encodeSegmentHeader,
  formatMajor,
  formatMinor,
  pageBytes,
  pathIn,
  putBatchHeader,
  segmentName,
} from './format.ts';
import type { SegmentSet, SegmentState } from './segment-set.ts';
import type { Slab } from './slab-ring.ts';
import type { SyncMethod } from './api.ts';
import type { SpareMaker } from './spare-maker.ts';
import type { Batch, Stager } from './stager.ts';
import type { StoreFile } from './store-file.ts';

const spaceRetryMs = 100;
/** A batch that takes longer is told, so that a stalling disk is seen before somebody asks. */
const slowBatchMs = 1000;
/** Fewer bytes are not worth a call. */
const prepareBytesMin = 4096;

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
  readonly #writer: BatchWriter;
  readonly #counters: WalCounters;

  #lastSeq: number;
  #nextSeq: number;
  #lastHdrCrc: number;
  #lastEnd: number;
  #durableSeq: number;
  #isStopped = false;

  // The batch in flight; #bodyCrc: of the one that is being taken in.
  #batch: Batch | null = null;
  #seq = 0;
  #bodyCrc = 0;
  #startedMs = 0;

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
    this.#writer = new BatchWriter(world, parts, {
      onDurable: () => this.#onDurable(),
      onFailure: (what, error, offset) => this.#fail(what, error, offset),
      waitsForSpace: (error) => this.#waitsForSpace(error),
      onInfo: (line) => owner.onInfo(line),
    });
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
    this.#writer.stop();
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
      return this.#clock.nextTurn(() => this.#fail('check the lock', error, batch.start));
    }
    const onNoSpace = (error: IoError): void => void this.#owner.waitsForSpace(error);
    this.#spares.take(onNoSpace, (spare) => {
      if (this.#isStopped) return this.#disk.close(spare.file, () => {});
      // From here on it is closed with the segment, however the rotation ends.
      segment.file = spare.file;
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
          this.#writer.leave(previous);
          this.#counters.rotations++;
          this.#spares.want();
          this.#write(batch);
          return this.#owner.onRotation();
        }
        step[1]((error) => {
          if (this.#isStopped) return;
          if (error === null) return next(at + 1);
          // The header alone may be written again: the file is not part of the log yet.
          if (at > 0 || !isOutOfSpace(error)) return this.#fail(step[0], error, batch.start);
          if (!this.#owner.waitsForSpace(error)) return;
          this.#owner.onInfo(`no space for a segment header (${error.code}), trying again`);
          this.#clock.at(this.#clock.monotonicMs() + spaceRetryMs, () => {
            if (!this.#isStopped) next(at);
          });
        });
      };
      next(0);
    });
  }

  #sync(file: File, done: (error: IoError | null) => void): void {
    this.#counters.syncs++;
    this.#disk.datasync(file, done);
  }

  // --- One batch -----------------------------------------------------------------------------------------------------

  /** Takes what is laid of the next batch into its CRC, while another one is in flight: sealing it takes less then. */
  prepare(batch: Batch, end: number): void {
    if (end - batch.digestedEnd >= prepareBytesMin) this.#digest(batch, end);
  }

  #write(batch: Batch): void {
    this.#seal(batch);
    this.#startedMs = this.#clock.monotonicMs();
    this.#writer.write(batch);
  }

  #seal(batch: Batch): void {
    const { segment } = batch;
    this.#digest(batch, batch.pageEnd);
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
      bodyCrc: batch.bodyCrc,
      epoch: this.#store.slot.epoch,
    });
  }

  #digest(batch: Batch, end: number): void {
    this.#bodyCrc = batch.bodyCrc;
    this.#stager.visit(batch.segment, batch.digestedEnd, end, this.#addToCrc);
    batch.bodyCrc = this.#bodyCrc;
    batch.digestedEnd = end;
  }

  readonly #addToCrc = (slab: Slab, start: number, end: number): void => {
    this.#bodyCrc = crc32(slab.bytes, start, end, this.#bodyCrc);
  };

  #waitsForSpace(error: IoError): boolean {
    if (!this.#owner.waitsForSpace(error)) return false;
    this.#owner.onInfo(`no space for batch ${this.#seq} (${error.code}), trying again`);
    return true;
  }

  #onDurable(): void {
    const batch = this.#batch as Batch;
    this.#batch = null;
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
  }

  #fail(what: string, error: IoError, offset: number): void {
    const batch = this.#batch as Batch;
    const segment = segmentName(batch.segment.segId);
    this.stop();
    this.#owner.onFailure(what, error, { segment, offset, seq: this.#seq });
  }
}
