// Finds the batches of a log directory by the layout in packages/wal/FORMAT.md, for tests that damage them on purpose. A
// reader of its own, so that a mistake in the log's reader cannot hide behind itself. It checks nothing.

import { createHash } from 'node:crypto';
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

export const pageBytes = 4096;
const headerBytes = 64;
const magic = Buffer.from('FLWB');

export interface Batch {
  /** Name of the segment. */
  readonly file: string;
  readonly path: string;
  readonly page: number;
  /** Of the header, in the file. */
  readonly offset: number;
  /** Header, body and padding. */
  readonly bytes: number;
  readonly bodyBytes: number;
  readonly seq: number;
  /** Highest batch that was known to be durable when this one was sealed. */
  readonly durableSeq: number;
}

/** All batches that count, in order: what a later segment declares to lie outside the log is left out. */
export function batchesOf(directory: string): Batch[] {
  const names = readdirSync(directory)
    .filter((name) => /^[0-9a-f]{16}\.seg$/.test(name))
    .sort();
  const images = names.map((name) => readFileSync(join(directory, name)));
  return images.flatMap((image, i) => {
    const next = images[i + 1];
    const end = next === undefined ? image.length : Number(next.readBigUInt64LE(72));
    return batchesIn(image, join(directory, names[i] as string), names[i] as string, end);
  });
}

function batchesIn(image: Buffer, path: string, file: string, end: number): Batch[] {
  const segId = image.readBigUInt64LE(32);
  const salt = image.readUInt32LE(40);
  const batches: Batch[] = [];
  let at = pageBytes;
  while (at + headerBytes <= end) {
    const isBatch =
      image.subarray(at, at + 4).equals(magic) &&
      image.readBigUInt64LE(at + 8) === segId &&
      image.readUInt32LE(at + 24) === salt;
    if (!isBatch) break;
    const bodyBytes = image.readUInt32LE(at + 32);
    const bytes = Math.ceil((headerBytes + bodyBytes) / pageBytes) * pageBytes;
    batches.push({
      file,
      path,
      page: at / pageBytes,
      offset: at,
      bytes,
      bodyBytes,
      seq: Number(image.readBigUInt64LE(at + 16)),
      durableSeq: Number(image.readBigUInt64LE(at + 40)),
    });
    at += bytes;
  }
  return batches;
}

/** The highest batch that any slot of STORE (A, B, the lazy W) vouches for: all have their durableSeq at 64. */
export function storeWitness(directory: string): number {
  const store = readFileSync(join(directory, 'STORE'));
  const slots = [0, pageBytes, 2 * pageBytes];
  return Math.max(...slots.map((at) => Number(store.readBigUInt64LE(at + 64))));
}

/** Name and content of every file below a directory, as one text a file. */
export function hashesOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .filter((name) => statSync(join(directory, name)).isFile())
    .map((name) => {
      const hash = createHash('sha256').update(readFileSync(join(directory, name)));
      return `${name} ${hash.digest('hex')}`;
    });
}

/** Changes one byte by XOR; the same call again restores it. */
export function flipByte(path: string, offset: number, mask: number): void {
  const fd = openSync(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    readSync(fd, byte, 0, 1, offset);
    byte[0] = (byte[0] as number) ^ mask;
    writeSync(fd, byte, 0, 1, offset);
  } finally {
    closeSync(fd);
  }
}

export function zeroPage(path: string, page: number): void {
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, Buffer.alloc(pageBytes), 0, pageBytes, page * pageBytes);
  } finally {
    closeSync(fd);
  }
}
