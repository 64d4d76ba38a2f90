// Copies files of a log into a new directory, piece by piece, with bytes changed on the way. The source is only read; a
// copy is synced before it counts.

import type { Disk, Done, File, IoError } from '@flotilla/io';
import { readFully, writeFully } from '../disk-steps.ts';
import { withFile } from '../inspect/files.ts';

const pieceBytes = 1024 * 1024;

/** Called with each piece and its file offset before it is written. */
export type Change = (piece: Uint8Array, offset: number) => void;

/** Copies `from` to the new file `to`. */
export function copyFile(disk: Disk, from: string, to: string, change: Change, done: Done): void {
  withFile<void>(
    disk,
    from,
    (source, closeSource) => {
      disk.open(to, 'create', (error, target) => {
        if (error !== null) return closeSource(error, undefined);
        copyAll(disk, source, target, change, (copyError) =>
          disk.close(target, (closeError) => closeSource(copyError ?? closeError, undefined)),
        );
      });
    },
    done,
  );
}

function copyAll(disk: Disk, source: File, target: File, change: Change, done: Done): void {
  const buffer = new Uint8Array(pieceBytes);
  let offset = 0;
  const step = (): void =>
    readFully(disk, source, buffer, offset, (error, bytes) => {
      if (error !== null) return done(error);
      if (bytes === 0) return disk.datasync(target, done);
      const piece = buffer.subarray(0, bytes);
      change(piece, offset);
      writeFully(disk, target, piece, offset, (writeError) => {
        if (writeError !== null) return done(writeError);
        offset += bytes;
        step();
      });
    });
  step();
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
