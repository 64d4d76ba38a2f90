// Copies ranges of bytes between buffers, the short ones without the views that TypedArray.set needs: making two of them
// costs as much as copying some hundred bytes.

/** From this length on the native copy wins over a loop of words, its views included. */
const nativeBytesMin = 768;
/** The same over a loop of bytes. */
const nativeBytesMinUnaligned = 64;

/** From this length on a step of several words wins over one a word, whose loop costs as much as its copying. */
const steppedBytesMin = 64;
const stepWords = 8;

/** Copies the words from `word` on, whole steps of them, and answers the first one that is not copied. */
function copySteps(
  source: Int32Array,
  word: number,
  endWord: number,
  target: Int32Array,
  shift: number,
): number {
  let from = word;
  // `!` because the casts would bury the copying; every index is below `endWord`.
  for (const last = endWord - stepWords; from <= last; from += stepWords) {
    const to = from + shift;
    target[to] = source[from]!;
    target[to + 1] = source[from + 1]!;
    target[to + 2] = source[from + 2]!;
    target[to + 3] = source[from + 3]!;
    target[to + 4] = source[from + 4]!;
    target[to + 5] = source[from + 5]!;
    target[to + 6] = source[from + 6]!;
    target[to + 7] = source[from + 7]!;
  }
  return from;
}

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
    let word = from >>> 2;
    if (length >= steppedBytesMin) word = copySteps(sourceWords, word, endWord, targetWords, shift);
    for (; word < endWord; word++) targetWords[word + shift] = sourceWords[word] as number;
    const end = from + length;
    for (let i = endWord << 2; i < end; i++) target[i - from + to] = source[i] as number;
  } else if (length < nativeBytesMinUnaligned) {
    for (let i = 0; i < length; i++) target[to + i] = source[from + i] as number;
  } else {
    target.set(source.subarray(from, from + length), to);
  }
}
