// A Disk that counts what is in flight, so that the log closes its files only when no operation uses them any more,
// whichever of its parts asked for it and however the log ended.

import type {
  AlignedMemory,
  Callback,
  Disk,
  Done,
  File,
  FileLock,
  FileStat,
  OpenMode,
  VolumeInfo,
} from '@flotilla/io';

export class TrackedDisk implements Disk {
  readonly #disk: Disk;
  #inFlight = 0;
  #idle: (() => void) | null = null;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** Calls back, once, as soon as nothing is in flight: now or from the completion of the last operation. */
  whenIdle(callback: () => void): void {
    if (this.#inFlight === 0) callback();
    else this.#idle = callback;
  }

  #counted<T>(callback: Callback<T>): Callback<T> {
    this.#inFlight++;
    return (error, value) => {
      this.#inFlight--;
      callback(error, value);
      if (this.#inFlight > 0 || this.#idle === null) return;
      const idle = this.#idle;
      this.#idle = null;
      idle();
    };
  }

  alignedMemory(bytes: number): AlignedMemory | null {
    return this.#disk.alignedMemory(bytes);
  }
  open(path: string, mode: OpenMode, callback: Callback<File>): void {
    this.#disk.open(path, mode, this.#counted(callback));
  }
  close(file: File, done: Done): void {
    this.#disk.close(file, this.#counted<void>(done));
  }
  writev(
    file: File,
    buffers: readonly Uint8Array[],
    offset: number,
    callback: Callback<number>,
  ): void {
    this.#disk.writev(file, buffers, offset, this.#counted(callback));
  }
  read(file: File, target: Uint8Array, offset: number, callback: Callback<number>): void {
    this.#disk.read(file, target, offset, this.#counted(callback));
  }
  datasync(file: File, done: Done): void {
    this.#disk.datasync(file, this.#counted<void>(done));
  }
  truncate(file: File, bytes: number, done: Done): void {
    this.#disk.truncate(file, bytes, this.#counted<void>(done));
  }
  syncDir(path: string, done: Done): void {
    this.#disk.syncDir(path, this.#counted<void>(done));
  }
  mkdir(path: string, done: Done): void {
    this.#disk.mkdir(path, this.#counted<void>(done));
  }
  rename(from: string, to: string, done: Done): void {
    this.#disk.rename(from, to, this.#counted<void>(done));
  }
  unlink(path: string, done: Done): void {
    this.#disk.unlink(path, this.#counted<void>(done));
  }
  link(from: string, to: string, done: Done): void {
    this.#disk.link(from, to, this.#counted<void>(done));
  }
  volume(path: string, callback: Callback<VolumeInfo>): void {
    this.#disk.volume(path, this.#counted(callback));
  }
  list(path: string, callback: Callback<readonly string[]>): void {
    this.#disk.list(path, this.#counted(callback));
  }
  stat(path: string, callback: Callback<FileStat>): void {
    this.#disk.stat(path, this.#counted(callback));
  }
  lock(path: string, callback: Callback<FileLock>): void {
    this.#disk.lock(path, this.#counted(callback));
  }
}
