// CRC-32 (IEEE polynomial) over a range of a buffer, without slicing where the range is short.
//
// The JavaScript table of `crc-32` wins for short ranges, Node's native zlib.crc32 above (decision 0003); both give the
// same value. A value can be continued: crc32(b, m, n, crc32(b, 0, m)) === crc32(b, 0, n).

import { createRequire } from 'node:module';
import * as zlib from 'node:zlib';

interface Crc32Package {
  readonly table: Int32Array;
  buf(bytes: Uint8Array, seed?: number): number;
}
const crc32Package = createRequire(import.meta.url)('crc-32') as Crc32Package;
const table: Int32Array = Int32Array.from(crc32Package.table);

/** From this length on the native function wins over the table, its call and the slice included. */
const nativeBytesMin = 192;
const native: ((bytes: Uint8Array, seed: number) => number) | undefined = zlib.crc32;

/** CRC-32 of `bytes[start, end)`, continued from `seed`; an unsigned 32-bit number. */
export function crc32(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  if (end - start >= nativeBytesMin) {
    const range = start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end);
    return native === undefined ? crc32Package.buf(range, seed | 0) >>> 0 : native(range, seed);
  }
  let crc = ~seed;
  for (let i = start; i < end; i++) {
    crc = (crc >>> 8) ^ (table[(crc ^ (bytes[i] as number)) & 0xff] as number);
  }
  return ~crc >>> 0;
}
