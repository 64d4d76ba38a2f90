// Every name of a directory with what can be said of it alone: kind, size, links, role and, for a segment, its header.
// Judges nothing and refuses nothing, so that a directory that cannot be opened can still be looked at.

import type { Disk, FileKind, IoError } from '@flotilla/io';
import {
  decodeSegmentHeader,
  pageBytes,
  pathIn,
  type SegmentHeader,
  segmentIdOf,
} from '../format.ts';
import { readPart } from './files.ts';
import { type NameRole, roleOf } from './names.ts';

export interface ListedFile {
  readonly name: string;
  readonly role: NameRole;
  /** `gone`: it vanished between listing and looking, as files of a running log do. */
  readonly kind: FileKind | 'gone';
  readonly bytes: number;
  readonly links: number;
  /** Null where it is no segment or its header is not whole. */
  readonly header: SegmentHeader | null;
}

/** Tells the files one by one, in order of name. `store` is null where STORE cannot be read. */
export function listFiles(
  disk: Disk,
  directory: string,
  store: { readonly oldestSeg: number; readonly newestSeg: number } | null,
  visit: (file: ListedFile) => void,
  callback: (error: IoError | null) => void,
): void {
  const range = store ?? { oldestSeg: 1, newestSeg: Number.MAX_SAFE_INTEGER };
  disk.list(directory, (listError, names) => {
    if (listError !== null) return callback(listError);
    let at = 0;
    const next = (): void => {
      const name = names[at++];
      if (name === undefined) return callback(null);
      const path = pathIn(directory, name);
      const role = roleOf(name, range);
      disk.stat(path, (statError, stat) => {
        const base = { name, role, header: null };
        if (statError !== null) {
          visit({ ...base, kind: 'gone', bytes: 0, links: 0 });
          return next();
        }
        const { kind, bytes, links } = stat;
        if (segmentIdOf(name) === 0 || kind !== 'file' || bytes < pageBytes) {
          visit({ ...base, kind, bytes, links });
          return next();
        }
        readPart(disk, path, 0, pageBytes, (error, page) => {
          const header = error === null ? decodeSegmentHeader(page) : null;
          visit({ ...base, kind, bytes, links, header });
          next();
        });
      });
    };
    next();
  });
}
