// Seeded random numbers for simulation: xoshiro128**, 32-bit words only.
//
// A generator is named by (seed, path of labels); forking depends on that name alone, never on how many numbers were
// drawn or forks made before. So a fault that is taken out of a schedule does not shift the draws of the others.

import type { Rng } from '@flotilla/io';
import { hashString, mix32 } from './hash.ts';

export class SimRng implements Rng {
  readonly #keyA: number;
  readonly #keyB: number;
  #s0: number;
  #s1: number;
  #s2: number;
  #s3: number;

  /** `seed` is a non-negative safe integer. */
  constructor(seed: number, label = '') {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(`seed must be a non-negative safe integer, not ${seed}`);
    }
    const high = Math.floor(seed / 0x100000000);
    this.#keyA = mix32(hashString(label, seed) ^ mix32(high ^ 0x5bd1e995));
    this.#keyB = mix32(hashString(label, high ^ 0x2545f491) + mix32(seed ^ 0x68e31da4));
    this.#s0 = mix32(this.#keyA + 0x9e3779b9);
    this.#s1 = mix32(this.#keyB + 0x3c6ef372);
    this.#s2 = mix32(this.#keyA ^ 0xdaa66d2b);
    this.#s3 = mix32(this.#keyB ^ 0x78dde6e4) | 1; // the all-zero state is the one that never leaves itself
  }

  u32(): number {
    const s1 = this.#s1;
    const product = Math.imul(s1, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    this.#s2 ^= this.#s0;
    this.#s3 ^= s1;
    this.#s1 = s1 ^ this.#s2;
    this.#s0 ^= this.#s3;
    this.#s2 ^= s1 << 9;
    this.#s3 = (this.#s3 << 11) | (this.#s3 >>> 21);
    return result;
  }

  fork(label: string): SimRng {
    return new SimRng(this.#keyA + (this.#keyB & 0x1fffff) * 0x100000000, label);
  }

  /** A number in [0, 1). */
  float(): number {
    return this.u32() / 0x100000000;
  }

  /** An integer in [0, limit); limit in [1, 2^32]. */
  below(limit: number): number {
    return Math.floor(this.float() * limit);
  }

  /** An integer in [min, max]. */
  between(min: number, max: number): number {
    return min + Math.floor(this.float() * (max - min + 1));
  }

  /** True with this probability; draws a number also at 0 and 1, so that intensities do not shift what follows. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** An integer in [min, max], its logarithm uniform: small values are as likely as large ones. */
  logBetween(min: number, max: number): number {
    const low = Math.log(Math.max(min, 1));
    const value = Math.round(Math.exp(low + this.float() * (Math.log(Math.max(max, 1)) - low)));
    return Math.min(max, Math.max(min, value));
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('pick needs at least one item');
    return items[this.below(items.length)] as T;
  }

  /** Shuffles in place and returns the same array. */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const held = items[i] as T;
      items[i] = items[j] as T;
      items[j] = held;
    }
    return items;
  }
}
