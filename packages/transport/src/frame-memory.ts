// Memory of frames on their way out, used again once a frame has left: a busy host sends hundreds of frames a second, and
// memory of its own for each would be collected by whole-heap collections, for it counts as memory outside the heap.
//
// Guarantees: memory is given out to one user at a time; what is kept for later is bounded.

/** Below this Node's own pool serves; sizes from here on are rounded up to powers of two. */
const pooledBytesMin = 4096;
/** Frames of the usual size (1 MiB and what it may overshoot by) fit; larger ones are rare. */
const pooledBytesMax: number = 2 << 20;
/** Kept for later, all sizes together. */
const keptBytesMax: number = 8 << 20;

export class FrameMemory {
  /** By power of two. */
  readonly #free: Uint8Array[][] = Array.from({ length: 32 }, () => []);
  #keptBytes = 0;

  /** Memory of at least `bytes` bytes, with anything in it. */
  take(bytes: number): Uint8Array {
    if (bytes < pooledBytesMin || bytes > pooledBytesMax) return Buffer.allocUnsafe(bytes);
    const power = 32 - Math.clz32(bytes - 1);
    const kept = (this.#free[power] as Uint8Array[]).pop();
    if (kept === undefined) return Buffer.allocUnsafeSlow(1 << power);
    this.#keptBytes -= kept.length;
    return kept;
  }

  /** Takes back what take() gave and nobody uses any more. */
  give(memory: Uint8Array): void {
    const { length } = memory;
    const isPooled = length >= pooledBytesMin && length <= pooledBytesMax;
    const isPowerOfTwo = (length & (length - 1)) === 0;
    if (!isPooled || !isPowerOfTwo || this.#keptBytes + length > keptBytesMax) return;
    this.#keptBytes += length;
    (this.#free[31 - Math.clz32(length)] as Uint8Array[]).push(memory);
  }

  /** Bytes kept for later. */
  get keptBytes(): number {
    return this.#keptBytes;
  }
}
