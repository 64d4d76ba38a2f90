// Thousands of groups on one host, and that host is killed; then starts with as many groups.
//
// Served means that a write to the group, proposed through the public API on the host that leads it, was acknowledged. All
// times are of one clock. Figures, in order:
//   failover          from kill -9 of the host that led everything to the first acknowledged write of each group
//   rejoin            the killed host starts again beside the two others: until its replicas follow and have caught up
//   startClean        all hosts were closed and start together: until each group serves
//   startKilled       all hosts were killed and start together: until each group serves
// With --load N that many writes are awaited all the time until the kill, so that it meets a busy cluster.

import { tmpdir } from 'node:os';
import { type OptionTable, readOptions } from '../options.ts';
import type { BenchResult, SuiteReport } from '../suite.ts';
import { after, FaultCluster, type FaultHostProcess } from './fault-cluster.ts';
import type { FaultRequests, LoadEnd } from './messages.ts';
import { machineMs } from './messages.ts';
import { figure } from './stall.ts';

const options = {
  groups: { kind: 'number', default: 4096, min: 1, max: 100_000, help: 'Raft groups' },
  load: {
    kind: 'number',
    default: 256,
    min: 0,
    max: 1_000_000,
    help: 'writes awaited until the kill',
  },
  seconds: { kind: 'number', default: 5, min: 0, max: 600, help: 'seconds of that load' },
  electionMsMin: { kind: 'number', default: 500, min: 50, max: 60_000, help: 'as of a host' },
  electionMsMax: { kind: 'number', default: 1000, min: 51, max: 120_000, help: 'as of a host' },
  heartbeatMs: { kind: 'number', default: 100, min: 1, max: 10_000, help: 'as of a host' },
  profile: { kind: 'text', default: '', help: 'folder for CPU profiles of the hosts' },
  dir: { kind: 'text', default: tmpdir(), help: 'folder for the data' },
} as const satisfies OptionTable;

const leader = 1;
const serveMsMax = 120_000;

export async function failover(args: readonly string[]): Promise<SuiteReport> {
  const params = readOptions(options, args);
  const { groups, dir, profile, electionMsMin, electionMsMax, heartbeatMs } = params;
  const election = { electionMsMin, electionMsMax, heartbeatMs };
  const cluster = await FaultCluster.start({ hosts: 3, groups, dir, profile, ...election });
  try {
    const results: BenchResult[] = [];
    await cluster.host(leader).ask('lead', cluster.groupIds);
    const loadEnd = await loadFor(cluster, params.load, params.seconds);
    results.push(...(await idle(cluster)));

    const survivors = cluster.hosts.filter(({ nodeId }) => nodeId !== leader);
    await watch(survivors, cluster.groupIds);
    const cpuBefore = await cpuSeconds(survivors);
    const killedMs = machineMs();
    await cluster.host(leader).kill();
    const failedOver = await served(survivors, groups);
    const cpu = (await cpuSeconds(survivors)) - cpuBefore;
    results.push(...times('failover', failedOver, killedMs));
    results.push(figure('failover.cpuSeconds', 's', cpu));

    const rejoinMs = performance.now();
    const started = await cluster.startHost(leader, false);
    results.push(...steps('rejoin', started));
    await cluster.caughtUp(serveMsMax);
    results.push(figure('rejoin.caughtUpMs', 'ms', performance.now() - rejoinMs));
    await cluster.settle(loadEnd, serveMsMax);

    for (const [name, isKilled] of [
      ['startClean', false],
      ['startKilled', true],
    ] as const) {
      const stopMs = performance.now();
      if (isKilled) await Promise.all(cluster.hosts.map((host) => host.kill()));
      else await cluster.stopAll();
      results.push(figure(`${name}.stopMs`, 'ms', performance.now() - stopMs));
      const startMs = machineMs();
      const starts = await Promise.all(
        cluster.nodeIds.map(async (nodeId) => {
          const start = await cluster.startHost(nodeId, false);
          await watch([cluster.host(nodeId)], cluster.groupIds);
          return start;
        }),
      );
      results.push(...steps(name, slowest(starts)));
      results.push(...times(name, await served(cluster.hosts, groups), startMs));
      await cluster.settle(loadEnd, serveMsMax);
    }
    return { params, results };
  } finally {
    await cluster.dispose();
  }
}

async function loadFor(
  cluster: FaultCluster,
  inflight: number,
  seconds: number,
): Promise<LoadEnd[]> {
  if (inflight === 0) return [];
  const lead = cluster.host(leader);
  const shape = { payload: 128, mode: 'closed', rate: 0 } as const;
  await lead.ask('load', { ...shape, inflight, groups: cluster.groupIds });
  await after(seconds * 1000);
  // Its outcomes are needed after the host is gone: what was acknowledged until here must survive.
  const end = await lead.ask('endLoad', 30_000);
  if (end.unsettled > 0) throw new Error(`${end.unsettled} promises never settled`);
  await lead.ask('load', { ...shape, inflight, groups: cluster.groupIds });
  return [end];
}

/** What the groups cost while nothing is written but by the load. */
async function idle(cluster: FaultCluster): Promise<BenchResult[]> {
  const seconds = 2;
  const before = await cpuSeconds(cluster.hosts);
  await after(seconds * 1000);
  const cpu = ((await cpuSeconds(cluster.hosts)) - before) / seconds;
  return [figure('cpuShareBeforeKill', 'cores', cpu)];
}

async function cpuSeconds(hosts: readonly FaultHostProcess[]): Promise<number> {
  const totals = await Promise.all(hosts.map((host) => host.ask('totals', null)));
  return totals.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
}

async function watch(hosts: readonly FaultHostProcess[], groups: readonly number[]): Promise<void> {
  await Promise.all(hosts.map((host) => host.ask('watch', groups)));
}

/** When each group was served first, sorted. */
async function served(hosts: readonly FaultHostProcess[], groups: number): Promise<number[]> {
  const deadlineMs = performance.now() + serveMsMax;
  for (;;) {
    const firstMs = new Map<number, number>();
    for (const host of hosts) {
      for (const [group, atMs] of await host.ask('served', null)) {
        firstMs.set(group, Math.min(atMs, firstMs.get(group) ?? Infinity));
      }
    }
    if (firstMs.size === groups) return [...firstMs.values()].sort((a, b) => a - b);
    if (performance.now() > deadlineMs) {
      throw new Error(`${groups - firstMs.size} groups do not serve after ${serveMsMax} ms`);
    }
    await after(50);
  }
}

function times(name: string, servedMs: readonly number[], fromMs: number): BenchResult[] {
  const at = (share: number): number =>
    (servedMs[Math.min(servedMs.length - 1, Math.floor(servedMs.length * share))] ?? 0) - fromMs;
  return [
    figure(`${name}.firstGroupMs`, 'ms', at(0)),
    figure(`${name}.halfMs`, 'ms', at(0.5)),
    figure(`${name}.p99Ms`, 'ms', at(0.99)),
    figure(`${name}.allGroupsMs`, 'ms', at(1)),
  ];
}

type Start = FaultRequests['open']['answer'];

function steps(name: string, start: Start): BenchResult[] {
  return Object.entries(start).map(([step, ms]) => figure(`${name}.${step}Ms`, 'ms', ms));
}

function slowest(starts: readonly Start[]): Start {
  const most = (pick: (start: Start) => number): number => Math.max(...starts.map(pick));
  return {
    boot: most((start) => start.boot),
    open: most((start) => start.open),
    recovery: most((start) => start.recovery),
    groups: most((start) => start.groups),
  };
}
