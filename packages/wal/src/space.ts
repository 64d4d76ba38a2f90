// Keeps the log's space bounded. Segments are given up from the oldest on, never from the middle, so that what cancels
// a record is never gone before the record: a segment goes when nothing in it is needed any more and everything laid up to
// that moment is durable. Where too little of the oldest is needed, or the log is larger than it should be, what is
// needed there is laid again at the end (cleaner.ts).
//
//   three segments at least, and: the log holds more than 2 x live bytes + 2 segments, or less than 30 % of the oldest is
//   live -> clean the oldest
//   nothing in the oldest is needed, durably -> STORE says so -> its file becomes a spare, or is removed
//
// Files are used again only where nothing else can see them: one name (no checkpoint has a link), a file system that
// writes in place, the size of new segments. Their old batches are recognised by segment id and salt.

import type { Clock, Disk, File, IoError, Timer } from '@flotilla/io';
import type { WalCounters } from './api.ts';
import type { Cleaner } from './cleaner.ts';
import { isOutOfSpace, writeFully } from './disk-steps.ts';
import { pageBytes, pathIn, segmentName } from './format.ts';
import type { LogIndex } from './log-index.ts';
import type { SegmentSet, SegmentState } from './segment-set.ts';
import type { SpareMaker } from './spare-maker.ts';
import type { StoreFile } from './store-file.ts';

const cleanIntervalMs = 10_000;
const leastLiveRatio = 0.3;
/** How often groups that hold the oldest segment are asked to compact before their entries are written again. */
const hintsMax = 3;
/** File systems that never write in place (btrfs, zfs): a recycled file would be new blocks all the same. */
const copyOnWriteTypes: ReadonlySet<number> = new Set([0x9123_683e, 0x2fc1_2fc1]);

export interface SpaceOwner {
  fail(what: string, error: IoError): void;
  onCompactHint(slots: readonly number[]): void;
  /** A release ended after stop(). */
  onFreed(): void;
  /** Stream position behind everything laid, and up to which it is durable. */
  laidPosition(): number;
  durablePosition(): number;
}

export class SpaceKeeper {
  readonly #world: { readonly clock: Clock; readonly disk: Disk };
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #index: LogIndex;
  readonly #segments: SegmentSet;
  readonly #spares: SpareMaker;
  readonly #store: StoreFile;
  readonly #cleaner: Cleaner;
  readonly #counters: WalCounters;
  readonly #owner: SpaceOwner;
  readonly #volumeType: number;

  #isBusy = false;
  /** Given up and not yet released on disk. */
  #dropped: SegmentState[] = [];
  #isStopped = false;
  #pauses = 0;
  #timer: Timer | null = null;
  /** The oldest segment was seen without need, when the stream ended there. */
  #unusedSlot = -1;
  #unusedAt = 0;
  /** How often groups were asked to leave the segment of this slot. */
  #hintedSlot = -1;
  #hints = 0;

  constructor(
    world: { readonly clock: Clock; readonly disk: Disk },
    parts: {
      readonly directory: string;
      readonly segmentBytes: number;
      readonly index: LogIndex;
      readonly segments: SegmentSet;
      readonly spares: SpareMaker;
      readonly store: StoreFile;
      readonly cleaner: Cleaner;
      readonly counters: WalCounters;
      readonly volumeType: number;
    },
    owner: SpaceOwner,
  ) {
    this.#world = world;
    this.#directory = parts.directory;
    this.#segmentBytes = parts.segmentBytes;
    this.#index = parts.index;
    this.#segments = parts.segments;
    this.#spares = parts.spares;
    this.#store = parts.store;
    this.#cleaner = parts.cleaner;
    this.#counters = parts.counters;
    this.#volumeType = parts.volumeType;
    this.#owner = owner;
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#timer = null;
    this.#cleaner.stop();
  }

  /** Segments are being released on disk: a close waits for that. */
  get isFreeing(): boolean {
    return this.#dropped.length > 0;
  }

  /** Descriptors of segments whose release was cut short. */
  leftFiles(): File[] {
    const files: File[] = [];
    for (const { file } of this.#dropped) if (file !== null) files.push(file);
    this.#dropped = [];
    return files;
  }

  /** Nothing is given up until resume(): somebody uses the files. */
  pause(): void {
    this.#pauses++;
  }
  resume(): void {
    this.#pauses--;
    this.poke();
  }

  /** Something became durable: gives up what is not needed any more. */
  poke(): void {
    if (this.#segments.count < 2 || this.#isStopped) return;
    this.#arm();
    if (this.#isBusy || this.#pauses > 0) return;
    const freed = this.#countUnused();
    if (freed > 0) this.#free(freed);
  }

  /** A segment was begun: looks whether the oldest one is worth keeping. */
  consider(): void {
    if (this.#isBusy || this.#isStopped || this.#pauses > 0) return;
    const { oldest } = this.#segments;
    const after = this.#segments.after(oldest);
    if (after === null || !after.isOnDisk || !this.#isWorthCleaning(oldest)) return;
    if (this.#index.use.isUnused(oldest.slot)) return this.poke();
    if (this.#hintedSlot !== oldest.slot) {
      this.#hintedSlot = oldest.slot;
      this.#hints = 0;
    }
    this.#isBusy = true;
    this.#cleaner.run(oldest, this.#hints >= hintsMax, (heavy) => {
      this.#isBusy = false;
      if (this.#isStopped) return;
      if (heavy.length > 0) {
        this.#hints++;
        this.#owner.onCompactHint(heavy);
      }
      this.poke();
    });
  }

  #isWorthCleaning(oldest: SegmentState): boolean {
    const { use } = this.#index;
    // The newest sealed one is left alone: much of what is live there is about to be compacted anyway.
    if (this.#segments.count < 3) return false;
    if (use.bytesIn(oldest.slot) < leastLiveRatio * oldest.capacityBytes) return true;
    return this.#segments.diskBytes > 2 * use.totalBytes + 2 * this.#segmentBytes;
  }

  #arm(): void {
    if (this.#timer !== null) return;
    const { clock } = this.#world;
    this.#timer = clock.at(clock.monotonicMs() + cleanIntervalMs, () => {
      this.#timer = null;
      if (this.#isStopped) return;
      this.consider();
      // While there is something to do and nobody writes, nothing else would look again.
      const { oldest } = this.#segments;
      if (this.#segments.count > 1 && this.#isWorthCleaning(oldest)) this.#arm();
    });
  }

  // --- Giving up -----------------------------------------------------------------------------------------------------

  /** How many of the oldest segments nothing needs, durably so. */
  #countUnused(): number {
    const { use } = this.#index;
    let count = 0;
    for (let segment = this.#segments.oldest; ; ) {
      const after = this.#segments.after(segment);
      if (after === null || !after.isOnDisk || segment.readers > 0) break;
      if (!use.isUnused(segment.slot)) break;
      if (segment.slot > this.#unusedSlot) {
        // Seen for the first time: what made it unneeded may have been laid just now.
        this.#unusedSlot = segment.slot;
        this.#unusedAt = this.#owner.laidPosition();
      }
      if (this.#owner.durablePosition() < this.#unusedAt) break;
      count++;
      segment = after;
    }
    return count;
  }

  #free(count: number): void {
    this.#isBusy = true;
    for (let i = 0; i < count; i++) this.#dropped.push(this.#segments.dropOldest());
    const { oldest } = this.#segments;
    this.#index.use.forgetBelow(oldest.slot);
    this.#store.update({ oldestSeg: oldest.segId }, (error) => {
      if (error !== null) return this.#owner.fail('write STORE', error);
      this.#release();
    });
  }

  #release(): void {
    const segment = this.#dropped[0];
    if (segment === undefined) {
      return this.#world.disk.syncDir(this.#directory, (error) => {
        this.#isBusy = false;
        if (error !== null) return this.#owner.fail('sync the directory', error);
        if (this.#isStopped) return this.#owner.onFreed();
        this.consider();
        this.poke();
      });
    }
    const next = (): void => {
      this.#counters.segmentsFreed++;
      this.#dropped.shift();
      this.#release();
    };
    this.#mayRecycle(segment, (may) => {
      if (may) this.#recycle(segment, next);
      else this.#remove(segment, next);
    });
  }

  #mayRecycle(segment: SegmentState, callback: (may: boolean) => void): void {
    const isFit =
      segment.capacityBytes === this.#segmentBytes &&
      this.#spares.takesMore &&
      !copyOnWriteTypes.has(this.#volumeType);
    if (!isFit) return callback(false);
    this.#world.disk.stat(this.#pathOf(segment), (error, stat) =>
      callback(error === null && stat.links === 1 && stat.bytes === this.#segmentBytes),
    );
  }

  #remove(segment: SegmentState, next: () => void): void {
    const { disk } = this.#world;
    const unlink = (): void =>
      disk.unlink(this.#pathOf(segment), (error) => {
        if (error !== null && error.code !== 'ENOENT') {
          return this.#owner.fail('remove a segment', error);
        }
        next();
      });
    if (segment.file === null) return unlink();
    disk.close(segment.file, unlink);
    segment.file = null;
  }

  /** Zeroes the header page, so that no life of the file can be read any more, and hands it to the spares. */
  #recycle(segment: SegmentState, next: () => void): void {
    const { disk } = this.#world;
    const path = this.#pathOf(segment);
    const sparePath = this.#spares.freePath();
    const fail = (what: string, error: IoError): void => this.#owner.fail(what, error);
    const use = (file: File): void => {
      segment.file = file;
      writeFully(disk, file, new Uint8Array(pageBytes), 0, (writeError) => {
        // Where even a page in place finds no space, the file is worth more as space.
        if (writeError !== null && isOutOfSpace(writeError)) return this.#remove(segment, next);
        if (writeError !== null) return fail('clear a segment', writeError);
        disk.datasync(file, (syncError) => {
          if (syncError !== null) return fail('clear a segment', syncError);
          disk.rename(path, sparePath, (error) => {
            if (error !== null) return fail('rename a segment', error);
            segment.file = null;
            this.#counters.segmentsRecycled++;
            this.#spares.offer({ path: sparePath, file });
            next();
          });
        });
      });
    };
    if (segment.file !== null) return use(segment.file);
    disk.open(path, 'write', (error, file) => {
      if (error !== null) fail('open a segment', error);
      else use(file);
    });
  }

  #pathOf(segment: SegmentState): string {
    return pathIn(this.#directory, segmentName(segment.segId));
  }
}
