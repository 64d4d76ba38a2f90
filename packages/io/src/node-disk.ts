// Disk over node:fs. Files are opened without following links and made with mode 0600; a lock is flock(2), taken by
// the flock(1) program on our descriptor, so that it lives as long as the open file description does, or, where that
// program is missing, a file that names its owner (pid-file.ts).

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { alignedMemory } from './aligned-memory.ts';
import type { IoThread } from './io-thread.ts';
import { PidFile } from './pid-file.ts';
import type {
  AlignedMemory,
  Callback,
  Disk,
  Done,
  File,
  FileKind,
  FileLock,
  FileStat,
  IoError,
  OpenMode,
  VolumeInfo,
} from './world.ts';

const { O_CREAT, O_DIRECT, O_DSYNC, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_SYNC } = fs.constants;
/** Null: the system has no such mode. */
const openFlags: Record<OpenMode, number | null> = {
  read: O_RDONLY | O_NOFOLLOW | fs.constants.O_NONBLOCK,
  write: O_RDWR | O_NOFOLLOW,
  writeSync: O_RDWR | O_NOFOLLOW | (O_DSYNC ?? O_SYNC),
  writeDirect: O_DIRECT === undefined ? null : O_RDWR | O_NOFOLLOW | O_DIRECT | (O_DSYNC ?? O_SYNC),
  create: O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW,
};

class NodeFile implements File {
  readonly path: string;
  readonly fd: number;
  /** Opened as `writeDirect`. */
  readonly isDirect: boolean;

  constructor(path: string, fd: number, isDirect: boolean) {
    this.path = path;
    this.fd = fd;
    this.isDirect = isDirect;
  }
}

class NodeFileLock implements FileLock {
  readonly #path: string;
  readonly #fd: number;
  /** Null where the lock is a flock. */
  readonly #pidFile: PidFile | null;

  constructor(path: string, fd: number, pidFile: PidFile | null) {
    this.#path = path;
    this.#fd = fd;
    this.#pidFile = pidFile;
  }

  release(): void {
    this.#pidFile?.release();
    fs.closeSync(this.#fd);
  }

  isIntact(): boolean {
    try {
      if (this.#pidFile?.holds() === false) return false;
      const byName = fs.statSync(this.#path);
      const byDescriptor = fs.fstatSync(this.#fd);
      return byName.ino === byDescriptor.ino && byName.dev === byDescriptor.dev;
    } catch {
      return false;
    }
  }
}

function fdOf(file: File): number {
  return (file as NodeFile).fd;
}

function kindOf(stat: fs.Stats): FileKind {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  return stat.isSymbolicLink() ? 'symlink' : 'other';
}

export class NodeDisk implements Disk {
  /** Writes to files that are written past the page cache; null: Node's pool of threads does. */
  readonly #thread: IoThread | null;

  constructor(thread: IoThread | null = null) {
    this.#thread = thread;
  }

  alignedMemory(bytes: number): AlignedMemory | null {
    return this.#thread === null ? alignedMemory(bytes) : this.#thread.memory(bytes);
  }

  open(path: string, mode: OpenMode, callback: Callback<File>): void {
    const flags = openFlags[mode];
    if (flags === null)
      return void setImmediate(callback, noDirectWrites(path), undefined as never);
    fs.open(path, flags, 0o600, (error, fd) => {
      const isDirect = mode === 'writeDirect';
      callback(error, error === null ? new NodeFile(path, fd, isDirect) : (undefined as never));
    });
  }

  close(file: File, done: Done): void {
    fs.close(fdOf(file), (error) => done(error ?? null));
  }

  writev(
    file: File,
    buffers: readonly Uint8Array[],
    offset: number,
    callback: Callback<number>,
  ): void {
    const { fd, isDirect } = file as NodeFile;
    if (isDirect && this.#thread?.write(fd, buffers, offset, callback) === true) return;
    const only = buffers.length === 1 ? buffers[0] : undefined;
    if (only === undefined) fs.writev(fd, buffers, offset, callback);
    else fs.write(fd, only, 0, only.length, offset, callback);
  }

  read(file: File, target: Uint8Array, offset: number, callback: Callback<number>): void {
    fs.read(fdOf(file), target, 0, target.length, offset, callback);
  }

  datasync(file: File, done: Done): void {
    fs.fdatasync(fdOf(file), done);
  }

  truncate(file: File, bytes: number, done: Done): void {
    fs.ftruncate(fdOf(file), bytes, done);
  }

  syncDir(path: string, done: Done): void {
    fs.open(path, O_RDONLY, (openError, fd) => {
      if (openError !== null) return done(openError);
      fs.fsync(fd, (syncError) =>
        fs.close(fd, (closeError) => done(syncError ?? closeError ?? null)),
      );
    });
  }

  mkdir(path: string, done: Done): void {
    fs.mkdir(path, 0o700, done);
  }

  rename(from: string, to: string, done: Done): void {
    fs.rename(from, to, done);
  }

  unlink(path: string, done: Done): void {
    fs.unlink(path, done);
  }

  link(from: string, to: string, done: Done): void {
    fs.link(from, to, done);
  }

  volume(path: string, callback: Callback<VolumeInfo>): void {
    fs.statfs(path, (error, stat) => {
      const value =
        error === null ? { type: stat.type >>> 0, freeBytes: stat.bavail * stat.bsize } : undefined;
      callback(error, value as VolumeInfo);
    });
  }

  list(path: string, callback: Callback<readonly string[]>): void {
    fs.readdir(path, (error, names) => callback(error, error === null ? names.sort() : []));
  }

  stat(path: string, callback: Callback<FileStat>): void {
    fs.lstat(path, (error, stat) => {
      const value =
        error === null ? { kind: kindOf(stat), bytes: stat.size, links: stat.nlink } : undefined;
      callback(error, value as FileStat);
    });
  }

  lock(path: string, callback: Callback<FileLock>): void {
    let lock: FileLock | IoError;
    try {
      lock = takeLock(path);
    } catch (error) {
      lock = error as IoError;
    }
    setImmediate(() => {
      if (lock instanceof Error) callback(lock, undefined as never);
      else callback(null, lock);
    });
  }
}

function takeLock(path: string): FileLock | IoError {
  const fd = fs.openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  const flock = spawnSync('flock', ['-n', '-x', '3'], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
  });
  if (flock.status === 0) return new NodeFileLock(path, fd, null);
  if (flock.error === undefined) {
    fs.closeSync(fd);
    return wouldBlock(path);
  }
  let pidFile: PidFile | null;
  try {
    pidFile = PidFile.take(`${path}.pid`);
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
  if (pidFile !== null) return new NodeFileLock(path, fd, pidFile);
  fs.closeSync(fd);
  return wouldBlock(path);
}

function noDirectWrites(path: string): IoError {
  const message = `${path}: this system has no writes past the page cache (O_DIRECT)`;
  return Object.assign(new Error(message), { code: 'EINVAL' });
}

function wouldBlock(path: string): IoError {
  return Object.assign(new Error(`${path} is locked by another process`), { code: 'EWOULDBLOCK' });
}
