// One group, one writer: entries of several sizes, a sync after so many of them (wal.md B1, B2, B4).

import { join } from 'node:path';
import { Latencies } from '../latencies.ts';
import type { BenchResult } from '../suite.ts';
import { BenchLog, layBlock, payloadOf } from './bench-log.ts';

const cases: readonly { readonly bytes: number; readonly perSync: number }[] = [
  { bytes: 8, perSync: 1 },
  { bytes: 100, perSync: 1 },
  { bytes: 100, perSync: 11 },
  { bytes: 100, perSync: 1001 },
  { bytes: 1000, perSync: 1 },
  { bytes: 1000, perSync: 101 },
  { bytes: 16_384, perSync: 1 },
  { bytes: 131_072, perSync: 1 },
  { bytes: 1_048_576, perSync: 1 },
];

export async function measureSizes(directory: string, seconds: number): Promise<BenchResult[]> {
  const results: BenchResult[] = [];
  const log = await BenchLog.open(join(directory, 'sizes'), true);
  const slot = log.openGroups(1)[0] as number;
  let index = 1;
  for (const { bytes, perSync } of cases) {
    const payload = payloadOf(bytes);
    const latencies = new Latencies();
    const startedMs = performance.now();
    let entries = 0;
    while (performance.now() - startedMs < seconds * 1000) {
      const beforeMs = performance.now();
      for (let i = 0; i < perSync; i++) layBlock(log.wal, slot, index++, 1, payload);
      await log.sync();
      latencies.add(performance.now() - beforeMs);
      entries += perSync;
      log.wal.noteCommit(slot, index - 1);
      log.wal.layCompact(slot, index - 1);
    }
    const elapsedMs = performance.now() - startedMs;
    results.push({
      name: `one group, ${bytes} B, a sync every ${perSync}`,
      unit: '1/s',
      value: Math.round((entries * 1000) / elapsedMs),
      ...latencies.percentiles(),
    });
  }
  await log.close();
  return results;
}
