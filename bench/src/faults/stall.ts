// A follower that stops, and a disk that gets slow: what the rest of the cluster notices.
//
// stall: host 3 is stopped (SIGSTOP) for a while under a closed loop on host 1, which leads everything, then continued. Compared: the
// writes a second before and while it stands. Memory of every host is looked at all the time. After it continues the load
// goes on for a while, then ends, and the follower must come to the same state.
//
// slowdisk: leaders and load on all hosts; every sync of host 3 takes 200 ms more for a while. Compared: the p99 of the
// groups that hosts 1 and 2 lead.

import { tmpdir } from 'node:os';
import { type OptionTable, readOptions } from '../options.ts';
import type { BenchResult, SuiteReport } from '../suite.ts';
import { after, FaultCluster, type FaultHostProcess, patientElection } from './fault-cluster.ts';
import type { LoadSample, LoadShape } from './messages.ts';

const sharedOptions = {
  groups: { kind: 'number', default: 48, min: 1, max: 100_000, help: 'Raft groups' },
  payload: { kind: 'number', default: 16, min: 8, max: 1 << 20, help: 'bytes of a write' },
  inflight: { kind: 'number', default: 4096, min: 1, max: 1_000_000, help: 'writes awaited' },
  warmup: { kind: 'number', default: 3, min: 0, max: 600, help: 'seconds before anything counts' },
  before: { kind: 'number', default: 10, min: 1, max: 600, help: 'seconds measured before' },
  seconds: { kind: 'number', default: 30, min: 1, max: 600, help: 'seconds of the fault' },
  after: { kind: 'number', default: 5, min: 0, max: 600, help: 'seconds of load after it' },
  profile: { kind: 'text', default: '', help: 'folder for CPU profiles of the hosts' },
  dir: { kind: 'text', default: tmpdir(), help: 'folder for the data' },
} as const satisfies OptionTable;

const slowOptions = {
  ...sharedOptions,
  inflight: { ...sharedOptions.inflight, default: 192 },
  syncMs: { kind: 'number', default: 200, min: 1, max: 10_000, help: 'what a sync takes more' },
} as const satisfies OptionTable;

/** What a stalled follower may cost each of the others, by the defaults of a host: see docs/guide/failures.md. */
const growthMiBMax = 64 + 64 + 64 + 64;

const victim = 3;
const leader = 1;

export async function stall(args: readonly string[]): Promise<SuiteReport> {
  const params = readOptions(sharedOptions, args);
  const cluster = await startCluster(params);
  try {
    const lead = cluster.host(leader);
    await lead.ask('lead', cluster.groupIds);
    await lead.ask('load', shapeOf(params, cluster.groupIds, params.inflight));
    await after(params.warmup * 1000);
    const memory = new MemoryWatch(cluster.hosts);
    await lead.ask('sample', null);
    await memory.over(params.before);
    const before = await lead.ask('sample', null);
    const rssBefore = memory.takePeaks();
    const totalsBefore = await lead.ask('totals', null);

    cluster.host(victim).signal('SIGSTOP');
    const slices: LoadSample[] = [];
    for (let left = params.seconds; left > 0; left -= 1) {
      await memory.over(Math.min(1, left));
      slices.push(await lead.ask('sample', null));
    }
    const rssDuring = memory.takePeaks();
    cluster.host(victim).signal('SIGCONT');
    const continuedMs = performance.now();
    await memory.over(params.after);
    const later = await lead.ask('sample', null);
    const end = await lead.ask('endLoad', 30_000);
    const loadEndedMs = performance.now();
    await cluster.settle([end], 120_000);
    const caughtUpMs = performance.now();
    const rssAfter = memory.takePeaks();
    const totalsAfter = await lead.ask('totals', null);
    const lost = Object.entries(end.errors).filter(([code]) => code !== 'BUSY');
    if (lost.length > 0) throw new Error(`writes failed: ${JSON.stringify(end.errors)}`);

    const rates = slices.map(({ ok, seconds }) => ok / seconds);
    const during = rates.reduce((a, b) => a + b, 0) / rates.length;
    const base = before.ok / before.seconds;
    const results = [
      { ...figure('writesBefore', '1/s', base), ...before.latencies },
      figure('writesDuring', '1/s', during),
      figure('writesDuringMin', '1/s', Math.min(...rates)),
      figure('share', 'x', during / base),
      figure('p99MsDuringMax', 'ms', Math.max(...slices.map(({ latencies }) => latencies.p99Ms))),
      { ...figure('writesAfter', '1/s', later.ok / later.seconds), ...later.latencies },
      figure('caughtUpMs', 'ms', caughtUpMs - continuedMs),
      figure('caughtUpAfterLoadMs', 'ms', caughtUpMs - loadEndedMs),
      figure('leaderReadsFromDisk', '1', delta(totalsBefore, totalsAfter, 'walReads')),
      figure('busy', '1', end.errors['BUSY'] ?? 0),
      ...rssResults('rssMiBBefore', rssBefore),
      ...rssResults('rssMiBDuring', rssDuring),
      ...rssResults('rssMiBAfter', rssAfter),
    ];
    checkGrowth(rssBefore, rssDuring, rssAfter);
    return { params, results };
  } finally {
    await cluster.dispose();
  }
}

export async function slowDisk(args: readonly string[]): Promise<SuiteReport> {
  const params = readOptions(slowOptions, args);
  const cluster = await startCluster(params);
  try {
    const ledBy = (nodeId: number): number[] =>
      cluster.groupIds.filter((group) => (group % 3) + 1 === nodeId);
    const inflight = Math.max(1, Math.floor(params.inflight / 3));
    await Promise.all(cluster.hosts.map((host) => host.ask('lead', ledBy(host.nodeId))));
    for (const host of cluster.hosts) {
      await host.ask('load', shapeOf(params, ledBy(host.nodeId), inflight));
    }
    await after(params.warmup * 1000);
    const memory = new MemoryWatch(cluster.hosts);
    const sample = (): Promise<LoadSample[]> =>
      Promise.all(cluster.hosts.map((host) => host.ask('sample', null)));
    await sample();
    await memory.over(params.before);
    const before = await sample();
    const rssBefore = memory.takePeaks();
    const slow = cluster.host(victim);
    await slow.ask('slowSync', params.syncMs);
    const totalsSlow = await slow.ask('totals', null);
    const slowMs = performance.now();
    await memory.over(params.seconds);
    const during = await sample();
    const syncs = delta(totalsSlow, await slow.ask('totals', null), 'walSyncs');
    const syncsPerSecond = (syncs * 1000) / (performance.now() - slowMs);
    const rssDuring = memory.takePeaks();
    await slow.ask('slowSync', 0);
    await memory.over(params.after);
    const ends = await Promise.all(cluster.hosts.map((host) => host.ask('endLoad', 30_000)));
    await cluster.settle(ends, 120_000);
    const rssAfter = memory.takePeaks();
    const results = cluster.nodeIds.flatMap((nodeId) => {
      const was = before[nodeId - 1] as LoadSample;
      const is = during[nodeId - 1] as LoadSample;
      const of = nodeId === victim ? 'slow' : `host${nodeId}`;
      return [
        { ...figure(`writesBefore.${of}`, '1/s', was.ok / was.seconds), ...was.latencies },
        { ...figure(`writesDuring.${of}`, '1/s', is.ok / is.seconds), ...is.latencies },
        figure(`p99Ratio.${of}`, 'x', is.latencies.p99Ms / was.latencies.p99Ms),
      ];
    });
    results.push(
      figure('syncsDuring.slow', '1/s', syncsPerSecond),
      ...rssResults('rssMiBBefore', rssBefore),
      ...rssResults('rssMiBDuring', rssDuring),
      ...rssResults('rssMiBAfter', rssAfter),
    );
    checkGrowth(rssBefore, rssDuring, rssAfter);
    return { params, results };
  } finally {
    await cluster.dispose();
  }
}

interface Shared {
  readonly groups: number;
  readonly payload: number;
  readonly profile: string;
  readonly dir: string;
}

function startCluster(params: Shared): Promise<FaultCluster> {
  const { groups, dir, profile } = params;
  return FaultCluster.start({ hosts: 3, groups, dir, profile, ...patientElection });
}

function shapeOf(params: Shared, groups: readonly number[], inflight: number): LoadShape {
  return { payload: params.payload, mode: 'closed', inflight, rate: 0, groups };
}

const lookEveryMs = 100;

/** Highest resident memory of each host, stopped ones included. */
class MemoryWatch {
  readonly #hosts: readonly FaultHostProcess[];
  #peaks: number[] = [];

  constructor(hosts: readonly FaultHostProcess[]) {
    this.#hosts = hosts;
  }

  async over(seconds: number): Promise<void> {
    const endMs = performance.now() + seconds * 1000;
    for (;;) {
      this.#hosts.forEach((host, i) => {
        this.#peaks[i] = Math.max(this.#peaks[i] ?? 0, host.rssMiB());
      });
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) return;
      await after(Math.min(lookEveryMs, leftMs));
    }
  }

  /** By place of the host; the next ones begin at what is resident now. */
  takePeaks(): number[] {
    const peaks = this.#hosts.map((host, i) => Math.max(this.#peaks[i] ?? 0, host.rssMiB()));
    this.#peaks = [];
    return peaks;
  }
}

function rssResults(name: string, peaks: readonly number[]): BenchResult[] {
  return peaks.map((peak, i) => figure(`${name}.host${i + 1}`, 'MiB', peak));
}

function checkGrowth(before: readonly number[], ...later: readonly (readonly number[])[]): void {
  for (const peaks of later) {
    peaks.forEach((peak, i) => {
      const growth = peak - (before[i] as number);
      if (growth <= growthMiBMax) return;
      throw new Error(
        `host ${i + 1} grew by ${Math.round(growth)} MiB, its caps allow ${growthMiBMax}`,
      );
    });
  }
}

interface WithMetrics {
  readonly metrics: Readonly<Record<string, number>>;
}

function delta(before: WithMetrics, later: WithMetrics, name: string): number {
  return (later.metrics[name] ?? 0) - (before.metrics[name] ?? 0);
}

export function figure(name: string, unit: string, value: number): BenchResult {
  return { name, unit, value: Number(value.toPrecision(5)) };
}
