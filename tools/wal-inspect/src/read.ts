// Reading parts of files as promises, with every length bounded by the caller.

import type { Disk, File, FileStat, IoError } from '@flotilla/io';

export function statOf(disk: Disk, path: string): Promise<FileStat> {
  return new Promise((resolve, reject) => {
    disk.stat(path, (error, stat) => (error === null ? resolve(stat) : reject(error)));
  });
}

/** Opens, uses and closes a file. */
export async function withOpen<T>(
  disk: Disk,
  path: string,
  use: (file: File) => Promise<T>,
): Promise<T> {
  const file = await new Promise<File>((resolve, reject) => {
    disk.open(path, 'read', (error, opened) => (error === null ? resolve(opened) : reject(error)));
  });
  try {
    return await use(file);
  } finally {
    await new Promise<void>((resolve) => disk.close(file, () => resolve()));
  }
}

/** Up to `bytes` bytes at an offset; fewer at the end of the file. */
export function readAt(disk: Disk, file: File, offset: number, bytes: number): Promise<Uint8Array> {
  const target = new Uint8Array(bytes);
  return new Promise((resolve, reject) => {
    let filled = 0;
    const step = (error: IoError | null, count: number): void => {
      if (error !== null) return reject(error);
      filled += count;
      if (count === 0 || filled === bytes) return resolve(target.subarray(0, filled));
      disk.read(file, target.subarray(filled), offset + filled, step);
    };
    disk.read(file, target, offset, step);
  });
}

export function readPath(
  disk: Disk,
  path: string,
  offset: number,
  bytes: number,
): Promise<Uint8Array> {
  return withOpen(disk, path, (file) => readAt(disk, file, offset, bytes));
}
