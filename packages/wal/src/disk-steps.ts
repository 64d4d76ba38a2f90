// Small chains of disk calls that several parts of the log need: write all bytes, read all bytes, fill with zeros, make a
// small file or an empty directory.

import { type Disk, type Done, type File, FlotillaError, type IoError } from '@flotilla/io';
import { refusedBySystem } from './refusal.ts';

/** Errors of a write after which the same bytes may be written again: nothing was promised for them. */
export function isOutOfSpace(error: IoError): boolean {
  return error.code === 'ENOSPC' || error.code === 'EDQUOT';
}
export function isInterrupted(error: IoError): boolean {
  return error.code === 'EINTR' || error.code === 'EAGAIN';
}

/** What a file system answers that writes nothing past its cache; nothing was written. */
export function isUnsupported(error: IoError): boolean {
  return error.code === 'EINVAL' || error.code === 'ENOTSUP' || error.code === 'EOPNOTSUPP';
}

/** A write that neither fails nor writes would be tried for ever. */
export function nothingWritten(): IoError {
  return Object.assign(new Error('a write wrote nothing'), { code: 'EIO' });
}

/** The buffers that are left after `written` bytes of them. */
export function withoutFirst(buffers: readonly Uint8Array[], written: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = written;
  for (const buffer of buffers) {
    if (skip >= buffer.length) skip -= buffer.length;
    else {
      rest.push(skip === 0 ? buffer : buffer.subarray(skip));
      skip = 0;
    }
  }
  return rest;
}

/** Writes all of `bytes` at `offset`, however short the single writes are. */
export function writeFully(
  disk: Disk,
  file: File,
  bytes: Uint8Array,
  offset: number,
  done: Done,
): void {
  disk.writev(file, [bytes], offset, (error, written) => {
    if (error !== null && isInterrupted(error)) return writeFully(disk, file, bytes, offset, done);
    if (error !== null) return done(error);
    if (written >= bytes.length) return done(null);
    if (written <= 0) return done(nothingWritten());
    writeFully(disk, file, bytes.subarray(written), offset + written, done);
  });
}

/** Reads until `target` is full or the file ends; `value` is the number of bytes read. */
export function readFully(
  disk: Disk,
  file: File,
  target: Uint8Array,
  offset: number,
  callback: (error: IoError | null, bytes: number) => void,
): void {
  let filled = 0;
  const step = (error: IoError | null, bytes: number): void => {
    if (error !== null && !isInterrupted(error)) return callback(error, filled);
    if (error === null) {
      filled += bytes;
      if (bytes === 0 || filled === target.length) return callback(null, filled);
    }
    disk.read(file, target.subarray(filled), offset + filled, step);
  };
  if (target.length === 0) disk.read(file, target, offset, (error) => callback(error, 0));
  else disk.read(file, target, offset, step);
}

/** One of several disk calls that follow on each other, and what it is called where it fails. */
export type Step = readonly [what: string, path: string, run: (done: Done) => void];

/** Runs disk steps one after the other; stops at the first error. */
export function runSteps(
  steps: readonly Step[],
  done: (error: IoError | null, what: string, path: string) => void,
): void {
  const next = (at: number): void => {
    const step = steps[at];
    if (step === undefined) return done(null, '', '');
    step[2]((error) => (error === null ? next(at + 1) : done(error, step[0], step[1])));
  };
  next(0);
}

/** Makes a file with this content, synced. */
export function putFile(disk: Disk, path: string, content: Uint8Array, done: Done): void {
  disk.open(path, 'create', (error, file) => {
    if (error !== null) return done(error);
    const close = (failed: IoError | null): void =>
      disk.close(file, (closeError) => done(failed ?? closeError));
    writeFully(disk, file, content, 0, (writeError) => {
      if (writeError !== null) close(writeError);
      else disk.datasync(file, close);
    });
  });
}

/** Makes a directory, or takes one that is empty; `notEmpty` is what is said of one that is not. */
export function makeEmptyDirectory(
  disk: Disk,
  path: string,
  notEmpty: string,
  callback: (error: FlotillaError | null) => void,
): void {
  disk.mkdir(path, (error) => {
    if (error === null) return callback(null);
    if (error.code !== 'EEXIST') return callback(refusedBySystem('create', path, error));
    disk.list(path, (listError, names) => {
      if (listError !== null) return callback(refusedBySystem('list', path, listError));
      if (names.length === 0) return callback(null);
      callback(new FlotillaError('WAL_NOT_EMPTY', notEmpty, { file: path }));
    });
  });
}

const zeroStepBytes = 1024 * 1024;

/** Writes zeros from offset 0 to `bytes`. `pause` is asked before each further step; `done` may be called with an error. */
export function fillWithZeros(
  disk: Disk,
  file: File,
  bytes: number,
  pause: (goOn: () => void) => void,
  done: Done,
): void {
  const zeros = new Uint8Array(Math.min(zeroStepBytes, bytes));
  const step = (offset: number): void => {
    const part = zeros.subarray(0, Math.min(zeros.length, bytes - offset));
    writeFully(disk, file, part, offset, (error) => {
      if (error !== null) return done(error);
      const next = offset + part.length;
      if (next >= bytes) done(null);
      else pause(() => step(next));
    });
  };
  step(0);
}
