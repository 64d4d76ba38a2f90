// Little-endian integers at byte offsets. A u64 is a JavaScript number of at most 2^53 - 1, written as two u32: writers
// assert that bound, readers answer -1 for a larger value and leave the verdict to their caller.

const twoTo32 = 2 ** 32;
/** The largest high half of a safe integer. */
const highHalfMax = 0x1f_ffff;

export function u16At(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

export function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}

export function u32At(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** The number at `at`, or -1 where it exceeds 2^53 - 1. */
export function u64At(bytes: Uint8Array, at: number): number {
  const high = u32At(bytes, at + 4);
  if (high === 0) return u32At(bytes, at); // nearly always, and it stays an integer
  return high > highHalfMax ? -1 : high * twoTo32 + u32At(bytes, at);
}

export function putU64(bytes: Uint8Array, at: number, value: number): void {
  if ((value | 0) === value && value >= 0) {
    // Nearly always; the general way costs a floating-point remainder.
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
    bytes[at + 2] = value >>> 16;
    bytes[at + 3] = value >>> 24;
    bytes[at + 4] = 0;
    bytes[at + 5] = 0;
    bytes[at + 6] = 0;
    bytes[at + 7] = 0;
    return;
  }
  if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`not an unsigned safe integer: ${value}`);
  }
  putU32(bytes, at, value % twoTo32);
  putU32(bytes, at + 4, Math.floor(value / twoTo32));
}

/** The u64 whose lower word is `words[word]`, or -1 where it exceeds 2^53 - 1. */
export function u64AtWord(words: Int32Array, word: number): number {
  const low = words[word] as number;
  const high = words[word + 1] as number;
  if (high === 0) return low >= 0 ? low : low + twoTo32; // nearly always
  return high < 0 || high > highHalfMax ? -1 : high * twoTo32 + (low >>> 0);
}

/** `bytes` rounded up to a multiple of `unit`, a power of two. */
export function alignUp(bytes: number, unit: number): number {
  const above = bytes + unit - 1;
  // Nearly always; the general way costs a division.
  if ((above | 0) === above) return above & -unit;
  return Math.ceil(bytes / unit) * unit;
}

/** The upper word of a u64. The lower one is what a number becomes when it is stored as 32 bits. */
export function highHalf(value: number): number {
  if ((value | 0) === value && value >= 0) return 0;
  if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`not an unsigned safe integer: ${value}`);
  }
  return Math.floor(value / twoTo32);
}

/**
 * The memory of `bytes` as words; its last one to three bytes are in no word. It must begin at a word, as all memory does
 * that is not a view into other memory: else the constructor throws a RangeError.
 */
export function wordsOf(bytes: Uint8Array): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
}
if (new Uint8Array(new Uint32Array([1]).buffer)[0] !== 1) {
  throw new Error(
    'Flotilla reads and writes its formats in place: it needs a processor that stores the lowest byte first',
  );
}
