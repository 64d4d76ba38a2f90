import { expect, it } from 'vitest';
import { Latencies } from '../src/latencies.ts';

it('percentiles are those of all samples, however many and in whatever order', () => {
  const latencies = new Latencies();
  // 7 and 10,000 share no factor: every whole number below 10,000 once, out of order.
  for (let i = 0; i < 10_000; i++) latencies.add((i * 7) % 10_000);
  expect(latencies.percentiles()).toEqual({
    p50Ms: 5000,
    p99Ms: 9900,
    p999Ms: 9990,
    samples: 10_000,
  });
});

it('no samples give zeros and no failure', () => {
  expect(new Latencies().percentiles()).toEqual({ p50Ms: 0, p99Ms: 0, p999Ms: 0, samples: 0 });
});
