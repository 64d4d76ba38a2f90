// How a log ends, and whether it has. In good order: what was laid becomes durable, STORE says so, the files are given back.
// By a failed operation: it is poisoned on the spot, and keeps its files, which can be read, until its owner closes it. On a
// full disk: a close does not wait for space, and gives the files back as they are.
//
// Contract:
// 1. The mark of a clean end is the last write, made where everything laid is durable; a poisoned log writes none.
// 2. From poisoned on nothing is written to segments or STORE any more; the owner is told once, with the first failure.
// 3. Descriptors and lock are given back once, when no operation uses them any more; only then is the close answered.

import {
  assert,
  type Done,
  type File,
  type FileLock,
  FlotillaError,
  type IoError,
} from '@flotilla/io';
import type { FailurePlace, Flusher } from './flusher.ts';
import type { SegmentSet } from './segment-set.ts';
import type { SpaceKeeper } from './space.ts';
import type { SpareMaker } from './spare-maker.ts';
import type { StoreFile } from './store-file.ts';
import type { TrackedDisk } from './tracked-disk.ts';
import type { LazyWitness } from './witness.ts';

/** What has to stop, and what is given back. */
export interface EndingParts {
  readonly disk: TrackedDisk;
  readonly lock: FileLock;
  readonly store: StoreFile;
  readonly segments: SegmentSet;
  readonly spares: SpareMaker;
  readonly flusher: Flusher;
  readonly witness: LazyWitness;
  readonly space: SpaceKeeper;
}

export interface EndingOwner {
  /** Lays what still waits in memory, as the last of the log. */
  layLast(): void;
  isAllDurable(): boolean;
  onPoisoned(error: FlotillaError): void;
}

export class Ending {
  /** The first failure; nothing is laid any more. */
  poisoned: FlotillaError | null = null;
  /** close() was called: nothing new is laid. */
  isClosing = false;
  /** Nothing is written any more but the mark of a clean end. */
  isClosed = false;
  readonly #parts: EndingParts;
  readonly #owner: EndingOwner;
  #isReleasing = false;
  #done: Done | null = null;

  constructor(parts: EndingParts, owner: EndingOwner) {
    this.#parts = parts;
    this.#owner = owner;
  }

  /** Throws where nothing may be laid any more. */
  checkOpen(): void {
    if (this.poisoned !== null) throw this.poisoned;
    if (this.isClosing) throw new FlotillaError('CLOSED', 'the log is closed');
  }

  close(done: Done): void {
    assert(!this.isClosing, 'close called twice');
    this.isClosing = true;
    this.#done = done;
    this.#parts.space.stop();
    if (this.poisoned !== null) return this.#release(null);
    this.#owner.layLast();
    this.closeWhenIdle();
  }

  /** What a close waits for may be done: a batch, or segments that were given up. */
  closeWhenIdle(): void {
    if (this.isClosed || !this.isClosing || this.poisoned !== null) return;
    const { flusher, space, store, witness } = this.#parts;
    if (flusher.isBusy || space.isFreeing) return;
    assert(this.#owner.isAllDurable(), 'a close before everything is durable');
    this.isClosed = true;
    witness.stop();
    const cleanSeq = flusher.durableSeq;
    store.update({ cleanSeq, durableSeq: cleanSeq }, (error) => {
      if (error !== null) this.fail('mark the store clean', error);
      else this.#release(null);
    });
  }

  /**
   * Whether to wait out a full disk. Not by a log that is to close: nobody can say for how long. It then ends as if killed,
   * without a clean mark: what was not durable was not acknowledged either, and the next opening recovers the rest.
   */
  waitsForSpace(error: IoError): boolean {
    if (!this.isClosing) return true;
    const outcome = new FlotillaError(
      'WAL_FULL',
      `the log is closed with no space for what was laid last: ${error.message}; none of that was acknowledged, and the next opening recovers what was`,
      { code: error.code },
      error,
    );
    this.#release(outcome);
    return false;
  }

  /** An operation failed that is never tried again. */
  fail(what: string, error: IoError, place?: FailurePlace): void {
    if (this.poisoned !== null) return;
    const where =
      place === undefined ? '' : ` (${place.segment} offset ${place.offset}, batch ${place.seq})`;
    this.poisoned = new FlotillaError(
      'WAL_POISONED',
      `the log failed to ${what}${where}: ${error.message}; nothing laid after the last durable batch is acknowledged`,
      { ...place, code: error.code },
      error,
    );
    this.#stopWriting();
    this.#parts.space.stop();
    this.#owner.onPoisoned(this.poisoned);
    if (this.isClosing) this.#release(this.poisoned);
  }

  #stopWriting(): void {
    const { flusher, store, witness } = this.#parts;
    flusher.stop();
    witness.stop();
    store.stop();
  }

  /** Gives back descriptors and lock, once no operation uses them any more. */
  #release(outcome: FlotillaError | null): void {
    if (this.#isReleasing) return;
    this.#isReleasing = true;
    this.isClosed = true;
    this.#stopWriting();
    const { disk, lock, segments, space, spares, store } = this.#parts;
    const closeNext = (files: File[]): void => {
      const file = files.pop();
      if (file !== undefined) return disk.close(file, () => closeNext(files));
      lock.release();
      this.#done?.(outcome);
    };
    spares.stop(() =>
      disk.whenIdle(() => {
        const files: File[] = [store.file, ...space.leftFiles()];
        for (const segment of segments.all) {
          if (segment.file !== null) files.push(segment.file);
          if (segment.writer !== null) files.push(segment.writer);
          segment.file = null;
          segment.writer = null;
        }
        closeNext(files);
      }),
    );
  }
}
