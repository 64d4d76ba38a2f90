// Glob patterns as SCAN MATCH has them: `*`, `?`, `[abc]`, `[^a-z]`, and `\` before any character. Runs in time
// proportional to pattern times text: after a mismatch only the last `*` is tried again.

export function globMatches(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let starAt = -1;
  let starText = 0;
  while (t < text.length) {
    if (pattern[p] === '*') {
      starAt = p++;
      starText = t;
      continue;
    }
    const next = p < pattern.length ? matchOne(pattern, p, text[t] as string) : -1;
    if (next >= 0) {
      p = next;
      t++;
    } else if (starAt >= 0) {
      p = starAt + 1;
      t = ++starText;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p >= pattern.length;
}

/** Where the pattern goes on after its element at `p` took `char`, or -1 where it does not take it. */
function matchOne(pattern: string, p: number, char: string): number {
  const element = pattern[p] as string;
  if (element === '?') return p + 1;
  if (element === '[') return matchClass(pattern, p + 1, char);
  if (element === '\\' && p + 1 < pattern.length) return pattern[p + 1] === char ? p + 2 : -1;
  return element === char ? p + 1 : -1;
}

function matchClass(pattern: string, start: number, char: string): number {
  let p = start;
  const isNegated = pattern[p] === '^';
  if (isNegated) p++;
  let isIn = false;
  while (p < pattern.length && pattern[p] !== ']') {
    if (pattern[p] === '\\' && p + 1 < pattern.length) p++;
    let low = pattern[p] as string;
    let high = low;
    if (pattern[p + 1] === '-' && p + 2 < pattern.length && pattern[p + 2] !== ']') {
      high = pattern[p + 2] as string;
      p += 2;
    }
    if (low > high) [low, high] = [high, low];
    if (char >= low && char <= high) isIn = true;
    p++;
  }
  return isIn === isNegated ? -1 : Math.min(p + 1, pattern.length);
}
