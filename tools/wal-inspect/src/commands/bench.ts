// bench: how long this file system takes to make 4 KiB durable: write + fdatasync, and O_DSYNC, each on a file that was
// written before, one write at a time. The floor of every acknowledged write of a host on this disk.

import * as fs from 'node:fs';
import * as path from 'node:path';
import { exitCodes } from '../exit-codes.ts';
import { UsageError } from '../options.ts';
import type { Job } from '../run.ts';

const writeBytes = 4096;
const fileBytes = 4 * 1024 * 1024;

interface Times {
  readonly name: string;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  readonly perSecond: number;
}

export function bench(job: Job): number {
  const { out, options } = job;
  const { directory, count } = options;
  if (count < 1 || count > 1_000_000) throw new UsageError('--count must be from 1 to 1000000');
  if (!fs.statSync(directory).isDirectory()) throw new UsageError(`${directory} is no directory`);
  if (fs.existsSync(path.join(directory, 'STORE'))) {
    throw new UsageError(
      `${directory} is a log's directory: give the one above it, on the same file system`,
    );
  }
  const file = path.join(directory, `wal-inspect-bench-${process.pid}.tmp`);
  const results: Times[] = [];
  try {
    prepare(file);
    results.push(measure('fdatasync', file, fs.constants.O_WRONLY, count, true));
    const dsync = fs.constants.O_WRONLY | fs.constants.O_DSYNC;
    results.push(measure('dsync', file, dsync, count, false));
  } finally {
    fs.rmSync(file, { force: true });
  }
  if (options.json) {
    out.line(JSON.stringify({ writeBytes, count, results }));
    return exitCodes.clean;
  }
  for (const { name, p50Ms, p99Ms, p999Ms, maxMs, perSecond } of results) {
    const shown = [p50Ms, p99Ms, p999Ms, maxMs].map((ms) => ms.toFixed(3));
    const [p50, p99, p999, max] = shown;
    out.line(
      `${name.padEnd(9)} p50 ${p50} ms  p99 ${p99} ms  p99.9 ${p999} ms  max ${max} ms  ${Math.round(perSecond)}/s`,
    );
  }
  return exitCodes.clean;
}

function prepare(file: string): void {
  const fd = fs.openSync(file, 'wx', 0o600);
  try {
    const zeros = new Uint8Array(1024 * 1024);
    for (let offset = 0; offset < fileBytes; offset += zeros.length)
      fs.writeSync(fd, zeros, 0, zeros.length, offset);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function measure(name: string, file: string, flags: number, count: number, sync: boolean): Times {
  const fd = fs.openSync(file, flags);
  const page = new Uint8Array(writeBytes).fill(0x5a);
  const times = new Float64Array(count);
  const startMs = performance.now();
  try {
    for (let i = 0; i < count; i++) {
      const before = performance.now();
      fs.writeSync(fd, page, 0, writeBytes, (i * writeBytes) % fileBytes);
      if (sync) fs.fdatasyncSync(fd);
      times[i] = performance.now() - before;
    }
  } finally {
    fs.closeSync(fd);
  }
  const elapsedMs = performance.now() - startMs;
  times.sort();
  const at = (share: number): number =>
    times[Math.min(count - 1, Math.floor(share * count))] as number;
  return {
    name,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    p999Ms: at(0.999),
    maxMs: at(1),
    perSecond: (1000 * count) / elapsedMs,
  };
}
