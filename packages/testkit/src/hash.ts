// Small 32-bit hashing for the simulator: strings, bytes and a rolling 64-bit hash in two 32-bit lanes (no BigInt).
// Not cryptographic: its only purpose is that two runs which differ anywhere end with different numbers.

/** The finalizer of MurmurHash3: every input bit reaches every output bit. */
export function mix32(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** FNV-1a over the UTF-16 code units, finalized. */
export function hashString(text: string, seed = 0): number {
  let h = 0x811c9dc5 ^ seed;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return mix32(h);
}

/** Two lanes that are rotated and multiplied apart, so that order and position of every word count. */
export class RollingHash {
  #low = 0x243f6a88;
  #high = 0x85a308d3;

  word(value: number): void {
    const low = Math.imul(this.#low ^ (value | 0), 0x9e3779b1);
    this.#low = (low << 13) | (low >>> 19);
    const high = Math.imul(this.#high ^ this.#low, 0x85ebca77) + 0x165667b1;
    this.#high = (high << 17) | (high >>> 15);
  }

  /** A non-negative safe integer. */
  integer(value: number): void {
    this.word(value);
    if (value > 0xffffffff) this.word(value / 0x100000000);
  }

  get low(): number {
    return this.#low >>> 0;
  }

  /** 16 hex digits. */
  hex(): string {
    const lane = (value: number): string => mix32(value).toString(16).padStart(8, '0');
    return lane(this.#high ^ (this.#low << 1)) + lane(this.#low);
  }
}
