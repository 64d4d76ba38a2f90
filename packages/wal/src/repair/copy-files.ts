// Copies files of a log into a new directory, piece by piece, with bytes changed on the way. The source is only read; a
// copy is synced before it counts.

import type { Disk, Done, File, IoError } from '@flotilla/io';
import { readFully, writeFully } from '../disk-steps.ts';
import { withFile } from '../inspect/files.ts';

const pieceBytes = 1024 * 1024;

/** Called with each piece and its file offset before it is written. */
export type Change = (piece: Uint8Array, offset: number) => void;

/** Makes the new file `to` from `from`, synced. */
export type Copy = (disk: Disk, from: string, to: string, done: Done) => void;

export const copyWhole: Copy = (disk, from, to, done) => copyFile(disk, from, to, () => {}, done);

export function copyChanged(change: Change): Copy {
  return (disk, from, to, done) => copyFile(disk, from, to, change, done);
}

function copyFile(disk: Disk, from: string, to: string, change: Change, done: Done): void {
  withBoth(
    disk,
    from,
    to,
    (source, target, end) => copyFrom(disk, source, target, 0, change, end),
    done,
  );
}

/** Opens the old file and makes the new one; syncs it once `use` is through. */
export function withBoth(
  disk: Disk,
  from: string,
  to: string,
  use: (source: File, target: File, done: Done) => void,
  done: Done,
): void {
  withFile<void>(
    disk,
    from,
    (source, closeSource) => {
      disk.open(to, 'create', (error, target) => {
        if (error !== null) return closeSource(error, undefined);
        const close = (failed: IoError | null): void =>
          disk.close(target, (closeError) => closeSource(failed ?? closeError, undefined));
        use(source, target, (useError) => {
          if (useError !== null) close(useError);
          else disk.datasync(target, close);
        });
      });
    },
    done,
  );
}

/** Copies everything from this offset on. */
export function copyFrom(
  disk: Disk,
  source: File,
  target: File,
  start: number,
  change: Change,
  done: Done,
): void {
  const buffer = new Uint8Array(pieceBytes);
  let offset = start;
  const step = (): void =>
    readFully(disk, source, buffer, offset, (error, bytes) => {
      if (error !== null) return done(error);
      if (bytes === 0) return done(null);
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
