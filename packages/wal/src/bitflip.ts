// Whether a CRC mismatch is explained by exactly one flipped bit, and which. A torn write leaves whole sectors of other
// bytes; a single bit points at memory or media, and the data was probably once whole and perhaps acknowledged.
//
// CRC-32 is linear: flipping a bit changes the value by a pattern that depends only on how far the bit stands from the
// end. So the eight patterns of the last byte are walked backwards, a table step a byte, until one equals the difference.

const polynomial = 0xedb8_8320;
const table: Uint32Array = makeTable();

function makeTable(): Uint32Array {
  const values = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    let value = i;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
    values[i] = value >>> 0;
  }
  return values;
}

export interface FlippedBit {
  /** Offset in the covered bytes. */
  readonly byte: number;
  readonly bit: number;
}

/** The one bit of `length` covered bytes whose flip changes their CRC from `stored` to `computed`, or null. */
export function findFlippedBit(
  length: number,
  stored: number,
  computed: number,
): FlippedBit | null {
  const difference = (stored ^ computed) >>> 0;
  if (difference === 0) return null;
  const patterns = new Uint32Array(8);
  for (let bit = 0; bit < 8; bit++) patterns[bit] = table[1 << bit] as number;
  for (let byte = length - 1; byte >= 0; byte--) {
    for (let bit = 0; bit < 8; bit++) {
      const pattern = patterns[bit] as number;
      if (pattern === difference) return { byte, bit };
      patterns[bit] = (pattern >>> 8) ^ (table[pattern & 0xff] as number);
    }
  }
  return null;
}

/** The bit of a stored CRC that alone differs from the computed one, or -1. */
export function flippedCrcBit(stored: number, computed: number): number {
  const difference = (stored ^ computed) >>> 0;
  if (difference === 0 || (difference & (difference - 1)) !== 0) return -1;
  return 31 - Math.clz32(difference);
}
