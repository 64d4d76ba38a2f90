// Copies ranges of bytes between buffers, the short ones without the views that TypedArray.set needs: making two of them
// costs as much as copying some hundred bytes.

/** From this length on the native copy wins over a loop of words, its views included. */
const nativeBytesMin = 768;
/** The same over a loop of bytes. */
const nativeBytesMinUnaligned = 64;

/**
 * Copies `source[from, from + length)` to `target[to, ...)`, which do not overlap. `sourceWords` and `targetWords` are the
 * same memories as words, from byte 0 of each on: short ranges that begin at words are copied as such.
 */
export function copyBytes(
  source: Uint8Array,
  sourceWords: Int32Array,
  from: number,
  length: number,
  target: Uint8Array,
  targetWords: Int32Array,
  to: number,
): void {
  if (((from | to) & 3) === 0 && length < nativeBytesMin) {
    const shift = (to >>> 2) - (from >>> 2);
    const endWord = (from + length) >>> 2;
    for (let word = from >>> 2; word < endWord; word++) {
      targetWords[word + shift] = sourceWords[word] as number;
    }
    const end = from + length;
    for (let i = endWord << 2; i < end; i++) target[i - from + to] = source[i] as number;
  } else if (length < nativeBytesMinUnaligned) {
    for (let i = 0; i < length; i++) target[to + i] = source[from + i] as number;
  } else {
    target.set(source.subarray(from, from + length), to);
  }
}
