// STORE, as the open log writes it: slots A and B in turn with fdatasync, slot W when asked. Writes go one after the
// other in the order they were asked for, so that no two touch the file at once. Any error is final for the log.

import type { Disk, Done, File } from '@flotilla/io';
import { writeFully } from './disk-steps.ts';
import { encodeStoreSlot, encodeWitnessSlot, pageBytes, type StoreSlot } from './format.ts';

/** Where the slot with this sequence number stands. */
export function slotOffset(slotSeq: number): number {
  return (slotSeq % 2) * pageBytes;
}
export const witnessOffset: number = 2 * pageBytes;

interface Write {
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly sync: boolean;
  readonly done: Done;
}

export class StoreFile {
  readonly file: File;
  readonly #disk: Disk;
  /** The slot written or asked for last. */
  #slot: StoreSlot;
  readonly #queue: Write[] = [];
  #isWriting = false;
  #isStopped = false;

  constructor(disk: Disk, file: File, slot: StoreSlot) {
    this.#disk = disk;
    this.file = file;
    this.#slot = slot;
  }

  get slot(): StoreSlot {
    return this.#slot;
  }

  /** Writes nothing more; what is in flight ends without an answer. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Writes the next slot with these changes; durable when `done` is called without an error. */
  update(changes: Partial<StoreSlot>, done: Done): void {
    this.#slot = { ...this.#slot, ...changes, slotSeq: this.#slot.slotSeq + 1 };
    const { slotSeq } = this.#slot;
    this.#add({
      bytes: encodeStoreSlot(this.#slot),
      offset: slotOffset(slotSeq),
      sync: true,
      done,
    });
  }

  /** Writes slot W: batches up to `durableSeq` were durable. */
  witness(durableSeq: number, sync: boolean, done: Done): void {
    const { uuid, epoch } = this.#slot;
    const bytes = encodeWitnessSlot({ uuid, epoch, durableSeq });
    this.#add({ bytes, offset: witnessOffset, sync, done });
  }

  #add(write: Write): void {
    if (this.#isStopped) return;
    this.#queue.push(write);
    if (!this.#isWriting) this.#next();
  }

  #next(): void {
    const write = this.#queue.shift();
    this.#isWriting = write !== undefined;
    if (write === undefined) return;
    const finish: Done = (error) => {
      this.#isWriting = false;
      if (this.#isStopped) return;
      write.done(error);
      if (error === null && !this.#isWriting) this.#next();
    };
    writeFully(this.#disk, this.file, write.bytes, write.offset, (error) => {
      if (error !== null || !write.sync || this.#isStopped) finish(error);
      else this.#disk.datasync(this.file, finish);
    });
  }
}
