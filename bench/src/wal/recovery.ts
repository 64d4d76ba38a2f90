// Opening a large log (wal.md B8) and what its index takes (B9). Every byte is verified: the batch's CRC and every block's.
// The log is built without syncs, closed, and opened with its files in the page cache, in one thread and with threads that
// check ahead of it, by turns: on a machine that others use too only their ratio is worth anything.

import { join } from 'node:path';
import type { BenchResult } from '../suite.ts';
import { BenchLog, layBlock, payloadOf } from './bench-log.ts';

const mib = 1024 * 1024;
const unlimited = 64 * 1024 * mib;

interface Shape {
  readonly name: string;
  readonly groups: number;
  readonly entryBytes: number;
  readonly blockEntries: number;
  readonly batchBytes: number;
}

const shapes: readonly Shape[] = [
  {
    name: '1 MB batches, blocks of 32 x 256 B',
    groups: 100,
    entryBytes: 256,
    blockEntries: 32,
    batchBytes: mib,
  },
  {
    name: '1 MB batches, blocks of 1 x 256 B',
    groups: 100,
    entryBytes: 256,
    blockEntries: 1,
    batchBytes: mib,
  },
  {
    name: '4 KB batches, blocks of 4 x 32 B',
    groups: 100,
    entryBytes: 32,
    blockEntries: 4,
    batchBytes: 3000,
  },
];

/** Threads beside the one that opens; never more than there are processors. */
const workerCounts = [0, 1, 2] as const;

export async function measureRecovery(
  directory: string,
  gigabytes: number,
): Promise<BenchResult[]> {
  const results: BenchResult[] = [];
  for (const [i, shape] of shapes.entries()) {
    const bytes = gigabytes * 1e9;
    const path = join(directory, `recovery-${i}`);
    const built = await build(path, shape, bytes);
    const best = new Map<number, number>();
    for (let round = 0; round < 3; round++) {
      for (const scanWorkers of workerCounts) {
        const startedMs = performance.now();
        const log = await BenchLog.open(path, false, { walBytesMax: unlimited, scanWorkers });
        const elapsedMs = performance.now() - startedMs;
        const { groups } = log.wal.report;
        if (groups !== shape.groups) throw new Error(`found ${groups} groups of ${shape.groups}`);
        best.set(scanWorkers, Math.max(best.get(scanWorkers) ?? 0, built / elapsedMs / 1e6));
        await log.close();
      }
    }
    const alone = best.get(0) as number;
    for (const [workers, value] of best) {
      results.push({
        name: `recovery, ${shape.name}, ${workers} workers`,
        unit: 'GB/s',
        value: Number(value.toFixed(3)),
        gigabytes: Number((built / 1e9).toFixed(3)),
        ratioToOneThread: Number((value / alone).toFixed(2)),
      });
    }
  }
  return results;
}

async function build(path: string, shape: Shape, bytes: number): Promise<number> {
  const log = await BenchLog.open(path, true, {
    syncMethod: 'none',
    walBytesMax: unlimited,
    reserve: false,
    cacheBytes: 8 * mib,
  });
  const slots = log.openGroups(shape.groups);
  const payload = payloadOf(shape.entryBytes);
  const nexts = slots.map(() => 1);
  let turn = 0;
  while (log.wal.counters.batchBytes + log.wal.pendingBytes < bytes) {
    const from = log.wal.position;
    while (log.wal.position - from < shape.batchBytes) {
      const group = turn++ % slots.length;
      const next = nexts[group] as number;
      layBlock(log.wal, slots[group] as number, next, shape.blockEntries, payload);
      nexts[group] = next + shape.blockEntries;
    }
    await log.sync();
  }
  await log.close();
  return log.wal.counters.batchBytes;
}

/** Memory of the index at this many entries, in runs of this many: everything outside the entry cache counts. */
export async function measureIndex(
  directory: string,
  entries: number,
  runEntries: number,
): Promise<BenchResult> {
  const log = await BenchLog.open(join(directory, `index-${runEntries}`), true, {
    syncMethod: 'none',
    walBytesMax: unlimited,
    reserve: false,
    cacheBytes: 4 * mib,
  });
  const slots = log.openGroups(1000);
  const payload = payloadOf(8);
  await log.sync();
  const before = memoryBytes();
  let next = 1;
  for (let laid = 0; laid < entries; next += runEntries) {
    for (const slot of slots) layBlock(log.wal, slot, next, runEntries, payload);
    laid += slots.length * runEntries;
    await log.sync();
  }
  const used = memoryBytes() - before;
  await log.close();
  return {
    name: `index at ${entries} entries in runs of ${runEntries}, all included`,
    unit: 'B an entry',
    value: Number((used / entries).toFixed(3)),
  };
}

function memoryBytes(): number {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
