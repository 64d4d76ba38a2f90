// Calls on a stand-alone disk that drain it and answer at once; an error is thrown.

import type { Callback, Done, File, FileLock, FileStat, IoError, OpenMode } from '@flotilla/io';
import { SimDisk, SimRng } from '@flotilla/testkit';

export function newDisk(seed = 1, options: ConstructorParameters<typeof SimDisk>[2] = {}): SimDisk {
  return SimDisk.standalone(new SimRng(seed).fork('disk'), options);
}

export class Sync {
  readonly disk: SimDisk;

  constructor(disk: SimDisk) {
    this.disk = disk;
  }

  #value<T>(call: (callback: Callback<T>) => void): T {
    let answer: { error: IoError | null; value: T } | null = null;
    call((error, value) => {
      answer = { error, value };
    });
    if (answer !== null) throw new Error('called back synchronously');
    this.disk.drain();
    const got = answer as { error: IoError | null; value: T } | null;
    if (got === null) throw new Error('never called back');
    if (got.error !== null) throw got.error;
    return got.value;
  }

  #done(call: (done: Done) => void): void {
    this.#value<null>((callback) => call((error) => callback(error, null)));
  }

  open(path: string, mode: OpenMode): File {
    return this.#value((callback) => this.disk.open(path, mode, callback));
  }
  close(file: File): void {
    this.#done((done) => this.disk.close(file, done));
  }
  write(file: File, offset: number, ...buffers: Uint8Array[]): number {
    return this.#value((callback) => this.disk.writev(file, buffers, offset, callback));
  }
  read(file: File, offset: number, bytes: number): Uint8Array {
    const target = new Uint8Array(bytes);
    const count = this.#value<number>((callback) => this.disk.read(file, target, offset, callback));
    return target.subarray(0, count);
  }
  datasync(file: File): void {
    this.#done((done) => this.disk.datasync(file, done));
  }
  truncate(file: File, bytes: number): void {
    this.#done((done) => this.disk.truncate(file, bytes, done));
  }
  syncDir(path: string): void {
    this.#done((done) => this.disk.syncDir(path, done));
  }
  mkdir(path: string): void {
    this.#done((done) => this.disk.mkdir(path, done));
  }
  rename(from: string, to: string): void {
    this.#done((done) => this.disk.rename(from, to, done));
  }
  unlink(path: string): void {
    this.#done((done) => this.disk.unlink(path, done));
  }
  list(path: string): readonly string[] {
    return this.#value((callback) => this.disk.list(path, callback));
  }
  stat(path: string): FileStat {
    return this.#value((callback) => this.disk.stat(path, callback));
  }
  lock(path: string): FileLock {
    return this.#value((callback) => this.disk.lock(path, callback));
  }
}

export function filled(bytes: number, value: number): Uint8Array {
  return new Uint8Array(bytes).fill(value);
}
