// Sizes counted in powers of two: a few numbers however many sizes.

import { digits } from './text.ts';

export class Histogram {
  readonly #counts: number[] = [];
  count = 0;
  sum = 0;
  max = 0;

  add(value: number): void {
    const bucket = value < 1 ? 0 : Math.floor(Math.log2(value)) + 1;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.count++;
    this.sum += value;
    this.max = Math.max(this.max, value);
  }

  get mean(): number {
    return this.count === 0 ? 0 : this.sum / this.count;
  }

  /** Buckets that are not empty: sizes from `from` to below `below`. */
  buckets(): { from: number; below: number; count: number }[] {
    const out: { from: number; below: number; count: number }[] = [];
    this.#counts.forEach((count, bucket) => {
      const from = bucket === 0 ? 0 : 2 ** (bucket - 1);
      if (count > 0) out.push({ from, below: 2 ** bucket, count });
    });
    return out;
  }

  lines(): string[] {
    const most = Math.max(1, ...this.#counts.map((count) => count ?? 0).filter(Boolean));
    return this.buckets().map(({ from, count }) => {
      const bar = '#'.repeat(Math.max(1, Math.round((40 * count) / most)));
      return `  ${digits(from).padStart(11)} B  ${digits(count).padStart(12)}  ${bar}`;
    });
  }
}
