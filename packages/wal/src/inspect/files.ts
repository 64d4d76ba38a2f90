// Reading one file of the directory: open, use, close; and how a refusal by the operating system reads.

import type { Callback, Disk, File, FileKind, IoError } from '@flotilla/io';
import { readFully } from '../disk-steps.ts';
import type { Refusal, RefusalReason } from '../refusal.ts';

/** What stands where a file should: `it is a ...`. */
export function kindText(kind: FileKind): string {
  return kind === 'other' ? 'pipe, socket or device' : kind;
}

/** What a step of the inspection hands back when it cannot go on. */
export interface Refused {
  readonly refusal: Refusal;
  readonly cause?: IoError;
}

export function refuse(
  reason: RefusalReason,
  file: string,
  summary: string,
  evidence: readonly string[] = [],
): Refused {
  return { refusal: { reason, file, page: 0, seq: 0, summary, evidence } };
}

export function refuseIo(what: string, file: string, error: IoError): Required<Refused> {
  const summary = `cannot ${what}: ${error.message}`;
  return {
    refusal: { reason: 'E_IO', file, page: 0, seq: 0, summary, evidence: [] },
    cause: error,
  };
}

/** Opens, uses and closes one file of the directory for reading. */
export function withFile<T>(
  disk: Disk,
  path: string,
  use: (file: File, done: Callback<T>) => void,
  callback: Callback<T>,
): void {
  disk.open(path, 'read', (openError, file) => {
    if (openError !== null) return callback(openError, undefined as never);
    use(file, (error, value) => disk.close(file, () => callback(error, value)));
  });
}

/** The bytes at an offset, zeros where the file ends before; `value.length` is `bytes`. */
export function readPart(
  disk: Disk,
  path: string,
  offset: number,
  bytes: number,
  callback: Callback<Uint8Array>,
): void {
  withFile<Uint8Array>(
    disk,
    path,
    (file, done) => {
      const target = new Uint8Array(bytes);
      readFully(disk, file, target, offset, (error) => done(error, target));
    },
    callback,
  );
}
