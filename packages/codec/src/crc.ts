// CRC-32 (IEEE polynomial) over a range of a buffer, without slicing where the range is short.
//
// Short ranges go sixteen bytes a step through tables derived from that of `crc-32`, long ones to Node's native
// zlib.crc32, whose call costs more than it saves below a few hundred bytes (decision 0003); all give the same value. A
// value can be continued: crc32(b, m, n, crc32(b, 0, m)) === crc32(b, 0, n).

import { createRequire } from 'node:module';
import { crc32 as nativeCrc32 } from 'node:zlib';

const { table } = createRequire(import.meta.url)('crc-32') as { readonly table: Int32Array };

/** Bytes a step takes: one table each. */
const stride = 16;
/** crcTables[256 * k + b] is what byte `b` contributes when `k` more bytes follow it in the step. */
export const crcTables: Int32Array = new Int32Array(256 * stride);
crcTables.set(table);
for (let i = 256; i < crcTables.length; i++) {
  const shorter = crcTables[i - 256] as number;
  crcTables[i] = (shorter >>> 8) ^ (crcTables[shorter & 0xff] as number);
}

/** From this length on the native function wins over the tables, its call and the slice included. */
const nativeBytesMin = 384;

/** CRC-32 of `bytes[start, end)`, continued from `seed`; an unsigned 32-bit number. */
export function crc32(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  if (end - start >= nativeBytesMin) {
    const isWhole = start === 0 && end === bytes.length;
    return nativeCrc32(isWhole ? bytes : bytes.subarray(start, end), seed);
  }
  const t = crcTables;
  const b = bytes;
  let crc = ~seed;
  let i = start;
  // `!` because sixteen casts would bury the sum; every index is within the tables, and `end` within the bytes.
  for (const last = end - stride; i <= last; i += stride) {
    crc =
      t[3840 | ((b[i]! ^ crc) & 0xff)]! ^
      t[3584 | ((b[i + 1]! ^ (crc >>> 8)) & 0xff)]! ^
      t[3328 | ((b[i + 2]! ^ (crc >>> 16)) & 0xff)]! ^
      t[3072 | (b[i + 3]! ^ (crc >>> 24))]! ^
      t[2816 | b[i + 4]!]! ^
      t[2560 | b[i + 5]!]! ^
      t[2304 | b[i + 6]!]! ^
      t[2048 | b[i + 7]!]! ^
      t[1792 | b[i + 8]!]! ^
      t[1536 | b[i + 9]!]! ^
      t[1280 | b[i + 10]!]! ^
      t[1024 | b[i + 11]!]! ^
      t[768 | b[i + 12]!]! ^
      t[512 | b[i + 13]!]! ^
      t[256 | b[i + 14]!]! ^
      t[b[i + 15]!]!;
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ t[(crc ^ b[i]!) & 0xff]!;
  return ~crc >>> 0;
}

/**
 * The same for little-endian memory that its owner also has as 32-bit words (`words`, from byte 0 of `bytes` on): a word a
 * load instead of four bytes. Only where the words were written as words: a processor that loads as one what was stored
 * as four waits for the stores.
 */
export function crc32OfWords(
  words: Int32Array,
  bytes: Uint8Array,
  start: number,
  end: number,
  seed = 0,
): number {
  const t = crcTables;
  const w = words;
  let crc = ~seed;
  if ((start & 3) !== 0 || end - start >= nativeBytesMin) return crc32(bytes, start, end, seed);
  let i = start;
  // What depends on the step before comes last: the processor works on the other three words meanwhile.
  for (const last = end - stride; i <= last; i += stride) {
    const at = i >>> 2;
    const l = w[at + 1]!;
    const m = w[at + 2]!;
    const n = w[at + 3]!;
    const rest =
      t[2816 + (l & 0xff)]! ^
      t[2560 + ((l >>> 8) & 0xff)]! ^
      t[2304 + ((l >>> 16) & 0xff)]! ^
      t[2048 + (l >>> 24)]! ^
      t[1792 + (m & 0xff)]! ^
      t[1536 + ((m >>> 8) & 0xff)]! ^
      t[1280 + ((m >>> 16) & 0xff)]! ^
      t[1024 + (m >>> 24)]! ^
      t[768 + (n & 0xff)]! ^
      t[512 + ((n >>> 8) & 0xff)]! ^
      t[256 + ((n >>> 16) & 0xff)]! ^
      t[n >>> 24]!;
    const k = w[at]! ^ crc;
    crc =
      rest ^
      (t[3840 + (k & 0xff)]! ^ t[3584 + ((k >>> 8) & 0xff)]!) ^
      (t[3328 + ((k >>> 16) & 0xff)]! ^ t[3072 + (k >>> 24)]!);
  }
  for (const last = end - 4; i <= last; i += 4) {
    const k = w[i >>> 2]! ^ crc;
    crc =
      t[768 + (k & 0xff)]! ^
      t[512 + ((k >>> 8) & 0xff)]! ^
      (t[256 + ((k >>> 16) & 0xff)]! ^ t[k >>> 24]!);
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ t[(crc ^ bytes[i]!) & 0xff]!;
  return ~crc >>> 0;
}
