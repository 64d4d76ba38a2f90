// The log alone, without Raft and network: rounds of many groups against the raw disk, sizes, recovery, memory of the
// index, and the steady state. Figures of a shared machine are only as good as the machine is quiet.

import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type OptionTable, readOptions } from '../options.ts';
import type { BenchResult, SuiteReport } from '../suite.ts';
import { measureIndex, measureRecovery } from './recovery.ts';
import { measureRounds, type RoundsShape } from './rounds.ts';
import { measureSizes } from './sizes.ts';
import { measureSteady } from './steady.ts';

const options = {
  part: {
    kind: 'choice',
    default: 'all',
    choices: ['all', 'rounds', 'batches', 'sizes', 'recovery', 'index', 'steady'],
    help: 'what to measure',
  },
  seconds: {
    kind: 'number',
    default: 6,
    min: 0.5,
    max: 600,
    help: 'of each measurement of rounds',
  },
  warmup: { kind: 'number', default: 0.5, min: 0, max: 60, help: 'seconds before each of these' },
  steadySeconds: { kind: 'number', default: 60, min: 1, max: 36_000, help: 'of the steady state' },
  groups: { kind: 'number', default: 1000, min: 1, max: 100_000, help: 'in the rounds' },
  payload: {
    kind: 'number',
    default: 128,
    min: 1,
    max: 65_000,
    help: 'bytes of an entry in the rounds',
  },
  block: {
    kind: 'number',
    default: 1,
    min: 1,
    max: 1000,
    help: 'entries of a group in each of the rounds',
  },
  mode: {
    kind: 'choice',
    default: 'both',
    choices: ['both', 'overlapped', 'strict'],
    help: 'whether a round is encoded while the one before is synced',
  },
  gigabytes: { kind: 'number', default: 1, min: 0.01, max: 50, help: 'of log to recover' },
  entries: {
    kind: 'number',
    default: 10_000_000,
    min: 1000,
    max: 100_000_000,
    help: 'in the index',
  },
  sync: {
    kind: 'choice',
    default: 'all',
    choices: ['all', 'fdatasync', 'dsync', 'direct', 'thread'],
    help: 'how the batches of the rounds become durable: write and fdatasync, one synchronous write, one past the page cache, or that by a thread of its own',
  },
  raw: {
    kind: 'choice',
    default: 'beside',
    choices: ['beside', 'off'],
    help: 'raw writes of the same bytes by turns with the rounds, or nothing that disturbs them',
  },
  dir: { kind: 'text', default: tmpdir(), help: 'folder for the logs' },
} as const satisfies OptionTable;

/** Small batches, as other logs are measured (wal.md B3, B5). */
const batchShapes: readonly RoundsShape[] = [
  { groups: 5, entries: 10, payload: 1024 },
  { groups: 48, entries: 1, payload: 128 },
];

export async function wal(args: readonly string[]): Promise<SuiteReport> {
  const params = readOptions(options, args);
  const directory = fs.mkdtempSync(join(params.dir, 'flotilla-wal-bench-'));
  const wants = (part: string): boolean => params.part === 'all' || params.part === part;
  const results: BenchResult[] = [];
  try {
    const { groups, block, payload, seconds, warmup, mode, sync } = params;
    for (const how of ['fdatasync', 'dsync', 'direct', 'thread'] as const) {
      if (sync !== 'all' && sync !== how) continue;
      const measure = async (shape: RoundsShape, overlapped: boolean): Promise<void> => {
        const besideRaw = params.raw === 'beside';
        const plan = { directory, seconds, warmup, overlapped, how, besideRaw, ...shape };
        results.push(...(await measureRounds(plan)));
      };
      for (const overlapped of [true, false]) {
        if (mode !== 'both' && mode !== (overlapped ? 'overlapped' : 'strict')) continue;
        if (wants('rounds')) await measure({ groups, entries: block, payload }, overlapped);
        if (wants('batches')) for (const shape of batchShapes) await measure(shape, overlapped);
      }
    }
    if (wants('sizes')) results.push(...(await measureSizes(directory, params.seconds / 6)));
    if (wants('recovery')) results.push(...(await measureRecovery(directory, params.gigabytes)));
    if (wants('index')) results.push(await measureIndex(directory, params.entries, 4));
    if (wants('steady')) results.push(...(await measureSteady(directory, params.steadySeconds)));
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
  return { params, results };
}
