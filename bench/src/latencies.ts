// Latency samples in a flat array that grows by doubling, so that taking one costs a store. Percentiles are those of the
// samples taken: one write in `sampleEvery` is enough for a p99.9 of any run that is long enough to be quoted.

export interface Percentiles {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly samples: number;
}

export class Latencies {
  #samplesMs = new Float64Array(1024);
  #count = 0;

  add(ms: number): void {
    if (this.#count === this.#samplesMs.length) {
      const larger = new Float64Array(this.#count * 2);
      larger.set(this.#samplesMs);
      this.#samplesMs = larger;
    }
    this.#samplesMs[this.#count++] = ms;
  }

  clear(): void {
    this.#count = 0;
  }

  /** All zero where nothing was sampled. */
  percentiles(): Percentiles {
    const sorted = this.#samplesMs.slice(0, this.#count).sort();
    const at = (share: number): number =>
      Number(
        (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(3),
      );
    return { p50Ms: at(0.5), p99Ms: at(0.99), p999Ms: at(0.999), samples: this.#count };
  }
}
