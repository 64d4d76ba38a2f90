// Ten times more writes offered than the cluster serves.
//
// First the capacity: a closed loop on host 1, which leads everything. Then an open loop that offers a multiple of it, in
// the same process, as a library user that does not look at the answers would. What is over the caps must be refused with
// BUSY at once, what is taken must be answered soon, memory must stay within the caps, and every promise must settle.
//
// Then, still under that load, another host's campaign deposes the leader of half of the groups, and at last the host is
// closed: every promise settles, a refusal means that nothing happened, and what may have happened is said to be unknown.
// Every single write is held against what the replicas have applied.

import { tmpdir } from 'node:os';
import { type OptionTable, readOptions } from '../options.ts';
import type { BenchResult, SuiteReport } from '../suite.ts';
import { after, FaultCluster, type FaultHostProcess } from './fault-cluster.ts';
import type { FaultTotals, LoadEnd, LoadSample } from './messages.ts';
import { figure } from './stall.ts';

const options = {
  groups: { kind: 'number', default: 48, min: 2, max: 100_000, help: 'Raft groups' },
  payload: { kind: 'number', default: 4096, min: 8, max: 1 << 20, help: 'bytes of a write' },
  inflight: { kind: 'number', default: 1024, min: 1, max: 1_000_000, help: 'writes at capacity' },
  times: { kind: 'number', default: 10, min: 1, max: 1000, help: 'offered for each one served' },
  warmup: { kind: 'number', default: 3, min: 0, max: 600, help: 'seconds before anything counts' },
  before: { kind: 'number', default: 8, min: 1, max: 600, help: 'seconds at capacity' },
  seconds: { kind: 'number', default: 20, min: 1, max: 600, help: 'seconds of overload' },
  pendingMiB: { kind: 'number', default: 16, min: 1, max: 1024, help: 'pendingBytesMax of a host' },
  profile: { kind: 'text', default: '', help: 'folder for CPU profiles of the hosts' },
  dir: { kind: 'text', default: tmpdir(), help: 'folder for the data' },
} as const satisfies OptionTable;

const leader = 1;
const settleMs = 30_000;
/** Offered for each write served while leadership changes and the host closes: full queues, and a loop with time for both. */
const timesMeanwhile = 2;
/** Resident memory that the queues of a host may take by its default options: see docs/guide/failures.md. */
const growthMiBMax = 256;

export async function overload(args: readonly string[]): Promise<SuiteReport> {
  const params = readOptions(options, args);
  const { groups, payload, inflight, dir, profile } = params;
  const pendingBytesMax = params.pendingMiB * 2 ** 20;
  const election = { electionMsMin: 5000, electionMsMax: 10_000, heartbeatMs: 500 };
  const shape = { hosts: 3, groups, dir, profile, pendingBytesMax };
  const cluster = await FaultCluster.start({ ...shape, ...election });
  try {
    const lead = cluster.host(leader);
    await lead.ask('lead', cluster.groupIds);
    const load = { payload, groups: cluster.groupIds };
    await lead.ask('load', { ...load, mode: 'closed', inflight, rate: 0 });
    await after(params.warmup * 1000);
    await lead.ask('sample', null);
    await lead.ask('totals', null);
    await after(params.before * 1000);
    const before = await lead.ask('sample', null);
    const totalsBefore = await lead.ask('totals', null);
    const ends: LoadEnd[] = [await lead.ask('endLoad', settleMs)];
    const capacity = before.ok / before.seconds;

    const rate = capacity * params.times;
    await lead.ask('load', { ...load, mode: 'open', inflight: 0, rate });
    const slices: LoadSample[] = [];
    for (let left = params.seconds; left > 0; left -= 1) {
      await after(Math.min(1, left) * 1000);
      slices.push(await lead.ask('sample', null));
    }
    if (!slices.some(({ errors }) => (errors['BUSY'] ?? 0) > 0)) {
      slices.push(...(await samplesUntil(lead, 'BUSY')));
    }
    const totalsDuring = await lead.ask('totals', null);
    const end = await lead.ask('endLoad', settleMs);
    ends.push(end);
    await cluster.settle(ends, 120_000);
    const strangers = Object.keys(end.errors).filter((code) => code !== 'BUSY');
    if (strangers.length > 0) throw new Error(`not only BUSY: ${JSON.stringify(end.errors)}`);

    const lost = await loseLeadership(cluster, load, capacity * timesMeanwhile);
    ends.push(lost);
    await cluster.settle(ends, 120_000);
    const closed = await closeUnderLoad(cluster, load, capacity * timesMeanwhile);
    const sum = (pick: (sample: LoadSample) => number): number =>
      slices.reduce((total, sample) => total + pick(sample), 0);
    const seconds = sum((sample) => sample.seconds);
    const p99 = Math.max(...slices.map(({ latencies }) => latencies.p99Ms));
    const results: BenchResult[] = [
      { ...figure('capacity', '1/s', capacity), ...before.latencies },
      figure('offered', '1/s', sum((sample) => sample.offered) / seconds),
      figure('served', '1/s', sum((sample) => sample.ok) / seconds),
      figure('busy', '1/s', sum((sample) => sample.errors['BUSY'] ?? 0) / seconds),
      { ...figure('p99MsWorstSecond', 'ms', p99), ...slices.at(-1)?.latencies },
      figure('p99Ratio', 'x', p99 / before.latencies.p99Ms),
      ...memory('Before', totalsBefore),
      ...memory('During', totalsDuring),
      ...outcomes('leadershipLost', lost),
      ...outcomes('closed', closed),
    ];
    const growth = totalsDuring.rssMiBPeak - totalsBefore.rssMiBPeak;
    if (growth > growthMiBMax) {
      throw new Error(`memory grew by ${Math.round(growth)} MiB, the caps allow ${growthMiBMax}`);
    }
    return { params, results };
  } finally {
    await cluster.dispose();
  }
}

/** What the load tells until its calls end with this code, as soon they must: without, the run would show nothing. */
async function samplesUntil(lead: FaultHostProcess, code: string): Promise<LoadSample[]> {
  const samples: LoadSample[] = [];
  const deadlineMs = performance.now() + settleMs;
  for (;;) {
    await after(100);
    const sample = await lead.ask('sample', null);
    samples.push(sample);
    if ((sample.errors[code] ?? 0) > 0) return samples;
    if (performance.now() > deadlineMs) throw new Error(`no call ended with ${code}`);
  }
}

interface Writes {
  readonly payload: number;
  readonly groups: readonly number[];
}

/** Another host deposes the leader of half of the groups while they are overloaded. */
async function loseLeadership(cluster: FaultCluster, load: Writes, rate: number): Promise<LoadEnd> {
  const lead = cluster.host(leader);
  await lead.ask('load', { ...load, mode: 'open', inflight: 0, rate });
  await after(500);
  const taken = cluster.groupIds.filter((group) => group % 2 === 0);
  await cluster.host(leader + 1).ask('campaign', taken);
  await samplesUntil(lead, 'NOT_LEADER');
  const end = await lead.ask('endLoad', settleMs);
  // Its log is the longest, so it wins at once; all others would have to wait until nobody is loyal to it.
  await lead.ask('lead', taken);
  return end;
}

/** The host is closed in the middle of it. The other two then agree, and hold what was acknowledged. */
async function closeUnderLoad(cluster: FaultCluster, load: Writes, rate: number): Promise<LoadEnd> {
  const lead = cluster.host(leader);
  await lead.ask('load', { ...load, mode: 'open', inflight: 0, rate });
  await after(500);
  await lead.ask('close', null);
  await samplesUntil(lead, 'CLOSED');
  const end = await lead.ask('endLoad', settleMs);
  if (end.unsettled > 0) throw new Error(`${end.unsettled} promises never settled after close()`);
  await lead.end();
  await cluster.startHost(leader, false);
  await cluster.host(leader).ask('lead', cluster.groupIds);
  await cluster.settle([end], 120_000);
  return end;
}

function memory(when: string, totals: FaultTotals): BenchResult[] {
  return [
    figure(`rssMiB${when}`, 'MiB', totals.rssMiBPeak),
    figure(`heapMiB${when}`, 'MiB', totals.heapMiB),
    figure(`externalMiB${when}`, 'MiB', totals.externalMiB),
  ];
}

function outcomes(name: string, end: LoadEnd): BenchResult[] {
  return [
    figure(`${name}.offered`, '1', end.offered),
    figure(`${name}.ok`, '1', end.ok),
    ...Object.entries(end.errors).map(([code, count]) => figure(`${name}.${code}`, '1', count)),
    figure(`${name}.unsettled`, '1', end.unsettled),
  ];
}
