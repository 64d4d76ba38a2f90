// Steady state (wal.md B10): many groups that write and compact, one in a hundred a hundred times slower than the others.
// Held against the space bound all the time; what the cleaning writes is the write amplification.

import { join } from 'node:path';
import { Latencies } from '../latencies.ts';
import type { BenchResult } from '../suite.ts';
import { BenchLog, layBlock, payloadOf } from './bench-log.ts';

const keptEntries = 128;
const compactEvery = 64;

export async function measureSteady(directory: string, seconds: number): Promise<BenchResult[]> {
  const segmentBytes = 16 * 1024 * 1024;
  const log = await BenchLog.open(join(directory, 'steady'), true, { segmentBytes });
  const slots = log.openGroups(1000);
  const lasts = slots.map(() => 0);
  const payload = payloadOf(128);
  const latencies = new Latencies();
  const startedMs = performance.now();
  let round = 0;
  let worst = 0;
  let overBound = 0;
  while (performance.now() - startedMs < seconds * 1000) {
    round++;
    const { wal } = log;
    for (let i = 0; i < slots.length; i++) {
      if (i % 100 === 0 && round % 100 !== 0) continue;
      const slot = slots[i] as number;
      const index = (lasts[i] as number) + 1;
      lasts[i] = index;
      layBlock(wal, slot, index, 1, payload);
      wal.noteCommit(slot, index);
      if (index % compactEvery === 0 && index > keptEntries)
        wal.layCompact(slot, index - keptEntries);
    }
    const beforeMs = performance.now();
    await log.sync();
    latencies.add(performance.now() - beforeMs);
    const bound = 2 * wal.liveBytes + 2 * segmentBytes;
    worst = Math.max(worst, wal.walBytes / bound);
    if (wal.walBytes > bound + segmentBytes) overBound++;
  }
  const { batchBytes, rewrittenBytes, restatedGroups, segmentsFreed } = log.wal.counters;
  await log.close();
  return [
    {
      name: 'steady state, 1 % slow groups: entries',
      unit: '1/s',
      value: Math.round((lasts.reduce((sum, last) => sum + last, 0) * 1000) / (seconds * 1000)),
      ...latencies.percentiles(),
    },
    {
      name: 'steady state: log by its bound (2 x live + 2 segments), highest',
      unit: 'ratio',
      value: Number(worst.toFixed(3)),
      roundsOverBoundBySegment: overBound,
      segmentsFreed,
    },
    {
      name: 'steady state: write amplification by cleaning',
      unit: 'ratio',
      value: Number((batchBytes / Math.max(1, batchBytes - rewrittenBytes)).toFixed(4)),
      restatedGroups,
    },
  ];
}
