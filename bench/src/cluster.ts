// The cluster suite: hosts as processes of their own, loopback TCP, real fsync, and the proposing clients inside the
// leaders' processes. One write is one command is one log entry, awaited through the public API.
//
// A run has figures only if each group's state machine was given exactly the writes that were counted, on every host, and
// the hashes of all hosts are equal.

import { type ChildProcess, fork } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type {
  ClusterHostConfig,
  GroupState,
  HostTotals,
  LoadOptions,
  LoadResult,
  ToHost,
} from './cluster-host.ts';
import { freeAddresses, hostFlags } from './host-process.ts';
import { type OptionTable, readOptions } from './options.ts';
import type { BenchParams, BenchResult, SuiteReport } from './suite.ts';

const sharedOptions = {
  hosts: { kind: 'number', default: 3, min: 1, max: 7, help: 'hosts, each a process' },
  payload: { kind: 'number', default: 16, min: 0, max: 1 << 20, help: 'bytes of a write' },
  inflight: {
    kind: 'number',
    default: 4096,
    min: 1,
    max: 1_000_000,
    help: 'writes awaited at any time, over the cluster',
  },
  seconds: { kind: 'number', default: 5, min: 0.1, max: 3600, help: 'measured time' },
  warmup: { kind: 'number', default: 1, min: 0, max: 60, help: 'seconds before it' },
  leaders: {
    kind: 'choice',
    default: 'one',
    choices: ['one', 'spread'],
    help: 'all leaders and the load on one host, or both on all',
  },
  sync: {
    kind: 'choice',
    default: 'fdatasync',
    choices: ['fdatasync', 'dsync', 'direct', 'none'],
    help: 'how a batch of the log becomes durable',
  },
  mode: {
    kind: 'choice',
    default: 'closed',
    choices: ['closed', 'open'],
    help: 'closed loop, or a fixed rate offered',
  },
  rate: {
    kind: 'number',
    default: 10_000,
    min: 1,
    max: 10_000_000,
    help: 'writes offered a second (open)',
  },
  profile: {
    kind: 'text',
    default: '',
    help: 'folder for CPU profiles of the hosts',
  },
  dir: { kind: 'text', default: tmpdir(), help: 'folder for the data' },
} as const satisfies OptionTable;

const clusterOptions = {
  groups: { kind: 'number', default: 48, min: 1, max: 100_000, help: 'Raft groups' },
  ...sharedOptions,
} as const satisfies OptionTable;

const groupsOptions = {
  list: { kind: 'text', default: '48,1024,4096', help: 'group counts to measure, in order' },
  ...sharedOptions,
  payload: { ...sharedOptions.payload, default: 128 },
} as const satisfies OptionTable;

interface ClusterParams extends BenchParams {
  readonly hosts: number;
  readonly groups: number;
  readonly payload: number;
  readonly inflight: number;
  readonly seconds: number;
  readonly warmup: number;
  readonly leaders: string;
  readonly sync: string;
  readonly mode: string;
  readonly rate: number;
  readonly profile: string;
  readonly dir: string;
}

export async function cluster(args: readonly string[]): Promise<SuiteReport> {
  const params = readOptions(clusterOptions, args);
  return { params, results: await measureCluster(params) };
}

/** The cluster suite over a list of group counts; names of results end in @groups. */
export async function groups(args: readonly string[]): Promise<SuiteReport> {
  const { list, ...shared } = readOptions(groupsOptions, args);
  const counts = list.split(',').map(Number);
  if (!counts.every((count) => Number.isSafeInteger(count) && count >= 1)) {
    throw new Error(`--list ${list}: must be numbers of groups with commas between them`);
  }
  const results: BenchResult[] = [];
  const writes: number[] = [];
  for (const count of counts) {
    const measured = await measureCluster({ ...shared, groups: count });
    writes.push(measured[0]?.value ?? 0);
    for (const result of measured) results.push({ ...result, name: `${result.name}@${count}` });
  }
  const loss = Math.max(...writes) / Math.min(...writes);
  results.push({ name: 'loss', unit: 'x', value: Number(loss.toFixed(3)) });
  return { params: { list, ...shared }, results };
}

async function measureCluster(params: ClusterParams): Promise<BenchResult[]> {
  const folder = fs.mkdtempSync(join(params.dir, 'flotilla-cluster-'));
  const hosts: HostProcess[] = [];
  try {
    const addresses = await freeAddresses(params.hosts);
    for (let nodeId = 1; nodeId <= params.hosts; nodeId++) {
      hosts.push(new HostProcess(nodeId, params.profile));
    }
    const leadsOf = (nodeId: number): number[] => {
      const all = Array.from({ length: params.groups }, (_, i) => i + 1);
      if (params.leaders === 'one') return nodeId === 1 ? all : [];
      return all.filter((group) => (group % params.hosts) + 1 === nodeId);
    };
    await Promise.all(
      hosts.map((host) => {
        const config: ClusterHostConfig = {
          nodeId: host.nodeId,
          directory: join(folder, `host-${host.nodeId}`),
          addresses,
          groups: params.groups,
          sync: params.sync as ClusterHostConfig['sync'],
          leads: leadsOf(host.nodeId),
        };
        return host.ask({ kind: 'open', config });
      }),
    );
    const loaded = hosts.filter((host) => leadsOf(host.nodeId).length > 0);
    const start = performance.now();
    await Promise.all(loaded.map((host) => host.ask({ kind: 'lead' })));
    const readyMs = performance.now() - start;
    const before = await totalsOf(hosts);
    const countsBefore = countsOf(await host0State(hosts));
    const load: LoadOptions = {
      payload: params.payload,
      inflight: Math.max(1, Math.floor(params.inflight / loaded.length)),
      seconds: params.seconds,
      warmup: params.warmup,
      mode: params.mode === 'open' ? 'open' : 'closed',
      rate: params.rate / loaded.length,
    };
    const measured = await Promise.all(
      loaded.map((host) => host.ask<LoadResult>({ kind: 'load', options: load })),
    );
    const after = await totalsOf(hosts);
    await checkReplicas(hosts, measured, countsBefore);
    await Promise.all(hosts.map((host) => host.ask({ kind: 'close' })));
    return resultsOf(params, measured, before, after, readyMs);
  } finally {
    await Promise.all(hosts.map((host) => host.stop()));
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

function host0State(hosts: readonly HostProcess[]): Promise<GroupState[]> {
  return (hosts[0] as HostProcess).ask<GroupState[]>({ kind: 'state' });
}

function countsOf(states: readonly GroupState[]): Map<number, number> {
  return new Map(states.map(({ group, count }) => [group, count]));
}

/** Waits until all hosts have applied the same, then holds it against the writes that were counted. */
async function checkReplicas(
  hosts: readonly HostProcess[],
  measured: readonly LoadResult[],
  countsBefore: ReadonlyMap<number, number>,
): Promise<void> {
  const expected = new Map(measured.flatMap(({ writesByGroup }) => writesByGroup));
  const errors = measured.reduce((sum, { errors }) => sum + errors, 0);
  const deadline = performance.now() + 30_000;
  for (;;) {
    const states = await Promise.all(
      hosts.map((host) => host.ask<GroupState[]>({ kind: 'state' })),
    );
    const problem = problemOf(states, expected, countsBefore, errors > 0);
    if (problem === null) return;
    if (performance.now() > deadline) throw new Error(problem);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function problemOf(
  states: readonly GroupState[][],
  expected: ReadonlyMap<number, number>,
  countsBefore: ReadonlyMap<number, number>,
  hadErrors: boolean,
): string | null {
  const [first = [], ...others] = states;
  for (const state of first) {
    const { group } = state;
    const counted = (expected.get(group) ?? 0) + (countsBefore.get(group) ?? 0);
    // After an error the outcome of that write is not known: only then may there be more.
    if (state.count !== counted && !(hadErrors && state.count > counted)) {
      return `group ${group}: ${counted} writes were counted, ${state.count} applied`;
    }
    for (const other of others) {
      const twin = other[group - 1];
      if (twin?.appliedIndex !== state.appliedIndex || twin.hash !== state.hash) {
        return `group ${group}: the replicas differ at index ${state.appliedIndex}`;
      }
    }
  }
  return null;
}

function totalsOf(hosts: readonly HostProcess[]): Promise<HostTotals[]> {
  return Promise.all(hosts.map((host) => host.ask<HostTotals>({ kind: 'totals' })));
}

function resultsOf(
  params: ClusterParams,
  measured: readonly LoadResult[],
  before: readonly HostTotals[],
  after: readonly HostTotals[],
  readyMs: number,
): BenchResult[] {
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  const delta = (pick: (totals: HostTotals) => number): number =>
    sum(after.map(pick)) - sum(before.map(pick));
  const result = (name: string, unit: string, value: number): BenchResult => ({
    name,
    unit,
    value: Number(value.toPrecision(6)),
  });
  const perSecond = sum(measured.map(({ writes, seconds }) => writes / seconds));
  const inAll = sum(measured.flatMap(({ writesByGroup }) => writesByGroup.map(([, n]) => n)));
  const elapsed = params.seconds + params.warmup;
  const latencies = [...measured].sort((a, b) => b.latencies.p99Ms - a.latencies.p99Ms)[0]
    ?.latencies;
  const pairs = (params.hosts * (params.hosts - 1)) / 2;
  const payloadBytes = inAll * params.payload * params.hosts;
  return [
    { ...result('writes', '1/s', perSecond), ...latencies },
    result('errors', '1', sum(measured.map(({ errors }) => errors))),
    result('cpuSecondsPer100k', 's', (delta((t) => t.cpuSeconds) * 1e5) / inAll),
    result('fsyncsPerSecond', '1/s', delta((t) => t.metrics['walSyncs'] ?? 0) / elapsed),
    result(
      'walBytesPerPayloadByte',
      'x',
      payloadBytes === 0 ? 0 : delta((t) => t.metrics['walBatchBytes'] ?? 0) / payloadBytes,
    ),
    result('rssMiB', 'MiB', Math.max(...after.map((t) => t.rssMiB))),
    result(
      'socketsPerPair',
      '1',
      pairs === 0 ? 0 : sum(after.map((t) => t.metrics['sockets'] ?? 0)) / 2 / pairs,
    ),
    result('readyMs', 'ms', readyMs),
  ];
}

class HostProcess {
  readonly nodeId: number;
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;

  constructor(nodeId: number, profile: string) {
    this.nodeId = nodeId;
    const main = fileURLToPath(new URL('./main.js', import.meta.url));
    this.#process = fork(main, ['cluster-host'], { execArgv: hostFlags(profile) });
    this.#ended = new Promise((resolve) => this.#process.once('exit', () => resolve()));
  }

  ask<T>(message: ToHost): Promise<T> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null): void =>
        reject(new Error(`host ${this.nodeId} ended with exit code ${code}`));
      this.#process.once('exit', onExit);
      this.#process.once('message', (answer) => {
        this.#process.off('exit', onExit);
        resolve(answer as T);
      });
      this.#process.send(message);
    });
  }

  /** Disconnects, so that a profile is written, and kills what does not end by itself. */
  async stop(): Promise<void> {
    if (this.#process.connected) this.#process.disconnect();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 10_000);
    await this.#ended;
    clearTimeout(timer);
  }
}
