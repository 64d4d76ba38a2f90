// A disk whose syncs can be made slow while a host runs on it: everything goes to the real one, and a sync's answer is
// held back until the time is over. Passed in through HostOptions.world, as any other disk would be; the host knows of
// nothing.

import type {
  AlignedMemory,
  Callback,
  Clock,
  Disk,
  Done,
  File,
  FileLock,
  FileStat,
  OpenMode,
  VolumeInfo,
} from '@flotilla/io';

export class SlowDisk implements Disk {
  readonly #disk: Disk;
  readonly #clock: Clock;
  /** What a sync takes at least. */
  syncMs = 0;

  constructor(disk: Disk, clock: Clock) {
    this.#disk = disk;
    this.#clock = clock;
  }

  datasync(file: File, done: Done): void {
    const dueMs = this.#clock.monotonicMs() + this.syncMs;
    const isSlow = this.syncMs > 0;
    this.#disk.datasync(file, (error) => {
      if (isSlow && this.#clock.monotonicMs() < dueMs) this.#clock.at(dueMs, () => done(error));
      else done(error);
    });
  }

  alignedMemory(bytes: number): AlignedMemory | null {
    return this.#disk.alignedMemory(bytes);
  }
  open(path: string, mode: OpenMode, callback: Callback<File>): void {
    this.#disk.open(path, mode, callback);
  }
  close(file: File, done: Done): void {
    this.#disk.close(file, done);
  }
  writev(
    file: File,
    buffers: readonly Uint8Array[],
    offset: number,
    callback: Callback<number>,
  ): void {
    this.#disk.writev(file, buffers, offset, callback);
  }
  read(file: File, target: Uint8Array, offset: number, callback: Callback<number>): void {
    this.#disk.read(file, target, offset, callback);
  }
  truncate(file: File, bytes: number, done: Done): void {
    this.#disk.truncate(file, bytes, done);
  }
  syncDir(path: string, done: Done): void {
    this.#disk.syncDir(path, done);
  }
  mkdir(path: string, done: Done): void {
    this.#disk.mkdir(path, done);
  }
  rename(from: string, to: string, done: Done): void {
    this.#disk.rename(from, to, done);
  }
  unlink(path: string, done: Done): void {
    this.#disk.unlink(path, done);
  }
  link(from: string, to: string, done: Done): void {
    this.#disk.link(from, to, done);
  }
  volume(path: string, callback: Callback<VolumeInfo>): void {
    this.#disk.volume(path, callback);
  }
  list(path: string, callback: Callback<readonly string[]>): void {
    this.#disk.list(path, callback);
  }
  stat(path: string, callback: Callback<FileStat>): void {
    this.#disk.stat(path, callback);
  }
  lock(path: string, callback: Callback<FileLock>): void {
    this.#disk.lock(path, callback);
  }
}
