// Makes one sealed batch durable, as the log's `syncMethod` says:
//
//   fdatasync   write until all bytes -> fdatasync
//   dsync       write until all bytes, to a descriptor whose writes are durable when they are answered
//   direct      the same past the page cache, from memory that is aligned for it
//   none        write until all bytes
//
// The second descriptor of `dsync` and `direct` (SegmentState.writer) is opened when a segment gets its first batch and
// closed when the next one begins; everything else, reads above all, uses the first one. Where a file system writes
// nothing past its cache it says so (isUnsupported) before anything was promised: the same bytes then go the way of
// `fdatasync`, and so does every later batch. A batch in memory that is not aligned goes that way alone, and so does the
// rest of one whose write past the cache ended inside a page.
//
// Guarantees: a failed write or sync is never repeated, lack of space and isUnsupported as above excepted: nothing was
// promised and the same bytes go to the same place.

import { assert, type Clock, type Disk, type File, type IoError } from '@flotilla/io';
import type { SyncMethod, WalCounters } from './api.ts';
import {
  isInterrupted,
  isOutOfSpace,
  isUnsupported,
  nothingWritten,
  withoutFirst,
} from './disk-steps.ts';
import { pageBytes, pathIn, segmentName } from './format.ts';
import type { SegmentState } from './segment-set.ts';
import type { Slab } from './slab-ring.ts';
import type { Batch, Stager } from './stager.ts';

const spaceRetryMs = 100;

export interface BatchWriterOwner {
  /** The batch is durable. */
  onDurable(): void;
  /** The writer has stopped; `offset` is the first byte in the file that was not written. */
  onFailure(what: string, error: IoError, offset: number): void;
  /** There is no space for the batch: whether to try again. Where not, the writer was stopped. */
  waitsForSpace(error: IoError): boolean;
  onInfo(line: string): void;
}

export class BatchWriter {
  readonly #clock: Clock;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #stager: Stager;
  readonly #counters: WalCounters;
  readonly #owner: BatchWriterOwner;
  readonly #isSynced: boolean;
  /** How the second descriptor is opened; null where there is none. */
  #mode: 'writeSync' | 'writeDirect' | null;
  #isStopped = false;
  /** It was said that memory is not aligned. */
  #hasToldMemory = false;

  // The batch in flight.
  #segment: SegmentState | null = null;
  #file: File | null = null;
  /** The bytes go past the page cache. */
  #isDirect = false;
  #isAligned = false;
  #buffers: readonly Uint8Array[] = [];
  #offset = 0;
  #bytesLeft = 0;
  readonly #views: Uint8Array[] = [];

  constructor(
    world: { readonly clock: Clock; readonly disk: Disk },
    parts: {
      readonly directory: string;
      readonly stager: Stager;
      readonly syncMethod: SyncMethod;
      readonly counters: WalCounters;
    },
    owner: BatchWriterOwner,
  ) {
    this.#clock = world.clock;
    this.#disk = world.disk;
    this.#directory = parts.directory;
    this.#stager = parts.stager;
    this.#counters = parts.counters;
    this.#owner = owner;
    const { syncMethod } = parts;
    this.#isSynced = syncMethod !== 'none';
    this.#mode = syncMethod === 'direct' ? 'writeDirect' : null;
    if (syncMethod === 'dsync') this.#mode = 'writeSync';
  }

  /** Starts nothing more; what is in flight ends without an answer. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Makes the sealed batch durable. Only while none is in flight. */
  write(batch: Batch): void {
    const { segment } = batch;
    this.#offset = batch.start;
    if (this.#mode !== null && segment.writer === null)
      return this.#openWriter(batch, segment, this.#mode);
    this.#views.length = 0;
    this.#isAligned = true;
    this.#stager.visit(segment, batch.start, batch.pageEnd, this.#addView);
    this.#segment = segment;
    this.#buffers = this.#views;
    this.#bytesLeft = batch.pageEnd - batch.start;
    this.#isDirect = this.#mode === 'writeDirect' && this.#isAligned;
    if (this.#mode === 'writeDirect' && !this.#isAligned) this.#tellMemory();
    const usesWriter = this.#isDirect || this.#mode === 'writeSync';
    this.#file = usesWriter ? segment.writer : segment.file;
    this.#writeRest();
  }

  /** No further batch goes into the segment. */
  leave(segment: SegmentState): void {
    const { writer } = segment;
    segment.writer = null;
    if (writer !== null) this.#disk.close(writer, () => {});
  }

  #openWriter(batch: Batch, segment: SegmentState, mode: 'writeSync' | 'writeDirect'): void {
    const path = pathIn(this.#directory, segmentName(segment.segId));
    this.#disk.open(path, mode, (error, file) => {
      if (error === null) segment.writer = file;
      if (this.#isStopped) return;
      if (error === null) return this.write(batch);
      if (mode !== 'writeDirect' || !isUnsupported(error)) {
        return this.#fail('open the segment for its batches', error);
      }
      this.#leaveDirect(error);
      this.write(batch);
    });
  }

  #leaveDirect(error: IoError): void {
    this.#mode = null;
    this.#owner.onInfo(
      `the file system does not write past its cache (${error.message}): ` +
        "batches are written and synced, as with syncMethod 'fdatasync'",
    );
  }

  #tellMemory(): void {
    if (this.#hasToldMemory) return;
    this.#hasToldMemory = true;
    this.#owner.onInfo(
      'there is no memory to be had that begins at a page: ' +
        "batches in other memory are written and synced, as with syncMethod 'fdatasync'",
    );
  }

  /** What is left of the batch goes through the page cache, and is synced. */
  #writeRestCached(): void {
    this.#isDirect = false;
    this.#file = (this.#segment as SegmentState).file;
    this.#writeRest();
  }

  readonly #addView = (slab: Slab, start: number, end: number): void => {
    this.#isAligned &&= slab.memory.isAligned;
    this.#views.push(slab.bytes.subarray(start, end));
  };

  readonly #writeRest = (): void => {
    if (this.#isStopped) return;
    const file = this.#file;
    assert(file !== null, 'a segment without a file');
    this.#disk.writev(file, this.#buffers, this.#offset, this.#onWritten);
  };

  readonly #onWritten = (error: IoError | null, written: number): void => {
    if (this.#isStopped) return;
    if (error !== null) return this.#onWriteError(error);
    // The rest of a direct write begins at a page, too.
    const kept = this.#isDirect ? written - (written % pageBytes) : written;
    if (written <= 0) return this.#fail('write a batch', nothingWritten());
    if (kept === 0) return this.#writeRestCached();
    this.#bytesLeft -= kept;
    this.#offset += kept;
    if (this.#bytesLeft > 0) {
      this.#buffers = withoutFirst(this.#buffers, kept);
      return this.#writeRest();
    }
    const segment = this.#segment as SegmentState;
    if (!this.#isSynced || this.#file === segment.writer) return this.#onSynced(null);
    this.#counters.syncs++;
    this.#disk.datasync(this.#file as File, this.#onSynced);
  };

  #onWriteError(error: IoError): void {
    if (isInterrupted(error)) return this.#writeRest();
    if (this.#isDirect && isUnsupported(error)) {
      this.#leaveDirect(error);
      return this.#writeRestCached();
    }
    if (!isOutOfSpace(error)) return this.#fail('write a batch', error);
    if (!this.#owner.waitsForSpace(error)) return;
    this.#clock.at(this.#clock.monotonicMs() + spaceRetryMs, this.#writeRest);
  }

  readonly #onSynced = (error: IoError | null): void => {
    if (this.#isStopped) return;
    if (error !== null) return this.#fail('sync a batch', error);
    this.#buffers = [];
    this.#owner.onDurable();
  };

  #fail(what: string, error: IoError): void {
    this.#isStopped = true;
    this.#owner.onFailure(what, error, this.#offset);
  }
}
