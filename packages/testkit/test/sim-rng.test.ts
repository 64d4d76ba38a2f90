import { SimRng } from '@flotilla/testkit';
import { describe, expect, test } from 'vitest';

const draw = (rng: SimRng, count = 8): number[] => Array.from({ length: count }, () => rng.u32());

describe('SimRng', () => {
  test('the same seed and label path give the same numbers', () => {
    expect(draw(new SimRng(7).fork('net').fork('a'))).toEqual(
      draw(new SimRng(7).fork('net').fork('a')),
    );
  });

  test('another seed, another label, another order of labels give other numbers', () => {
    const all = [
      new SimRng(7),
      new SimRng(8),
      new SimRng(7 + 2 ** 32),
      new SimRng(7).fork('a'),
      new SimRng(7).fork('b'),
      new SimRng(7).fork('a').fork('b'),
      new SimRng(7).fork('b').fork('a'),
    ].map((rng) => draw(rng).join());
    expect(new Set(all).size).toBe(all.length);
  });

  test('a fork does not depend on what was drawn or forked before it', () => {
    const quiet = new SimRng(3);
    const busy = new SimRng(3);
    draw(busy, 100);
    draw(busy.fork('other'), 5);
    expect(draw(quiet.fork('disk'))).toEqual(draw(busy.fork('disk')));
  });

  test('numbers are spread evenly over 16 buckets and over every bit', () => {
    const rng = new SimRng(0);
    const buckets = new Array<number>(16).fill(0);
    const bits = new Array<number>(32).fill(0);
    const count = 32_000;
    for (let i = 0; i < count; i++) {
      const value = rng.u32();
      buckets[value >>> 28] = (buckets[value >>> 28] as number) + 1;
      for (let bit = 0; bit < 32; bit++) bits[bit] = (bits[bit] as number) + ((value >>> bit) & 1);
    }
    // 2,000 expected in each bucket, standard deviation 43; 16,000 for each bit, deviation 89: six deviations.
    for (const bucket of buckets) expect(Math.abs(bucket - 2000)).toBeLessThan(260);
    for (const bit of bits) expect(Math.abs(bit - 16_000)).toBeLessThan(540);
  });

  test('ranges include both ends and nothing outside', () => {
    const rng = new SimRng(5);
    const seen = new Set(Array.from({ length: 500 }, () => rng.between(3, 6)));
    expect([...seen].sort((a, b) => a - b)).toEqual([3, 4, 5, 6]);
    const logs = Array.from({ length: 500 }, () => rng.logBetween(1, 512));
    expect(Math.min(...logs)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...logs)).toBeLessThanOrEqual(512);
    expect(logs.filter((value) => value <= 22).length).toBeGreaterThan(150);
  });

  test('a seed that is not a non-negative safe integer is refused', () => {
    expect(() => new SimRng(-1)).toThrow(RangeError);
    expect(() => new SimRng(0.5)).toThrow(RangeError);
  });
});
