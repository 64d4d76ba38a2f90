// Everything about a run of the simulated cluster that is decided by chance, drawn from (seed, config) before the run
// and kept as plain data: hosts, groups, tuning, every client's operations, the faults. A failing plan can be written
// down, changed by hand, and made smaller by leaving faults, operations or groups out.

import type { CrashWeights } from '../disk-crash.ts';
import { type DiskLatency, defaultDiskLatency } from '../disk-faults.ts';
import {
  type ClusterConfig,
  type CommandSizes,
  clusterConfigs,
  type LogSync,
} from './cluster-config.ts';
import {
  drawFaultSchedule,
  type FaultKind,
  type FaultSchedule,
  type FaultWindow,
  partitionLinks,
} from '../fault-schedule.ts';
import { type ChangePlan, drawChanges } from './cluster-changes.ts';
import { SimRng } from '../sim-rng.ts';

/** Options of all hosts of a run; units as in HostOptions. */
export interface ClusterTuning {
  readonly electionMsMin: number;
  readonly electionMsMax: number;
  readonly heartbeatMs: number;
  readonly entryBytesMax: number;
  readonly segmentBytes: number;
  readonly cacheBytes: number;
  readonly pendingBytesMax: number;
  readonly groupPendingBytesMax: number;
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  readonly appendBytesMax: number;
}

export interface HostPlan {
  readonly id: number;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  /** Of its clock, 1 = true. */
  readonly clockRate: number;
}

export interface GroupPlan {
  readonly id: number;
  readonly members: readonly number[];
}

export interface ClientOperation {
  /** `burst`: many writes at once, `many`: the same by one proposeMany. Their keys are not read. */
  readonly kind: 'write' | 'read' | 'burst' | 'many';
  readonly group: number;
  readonly key: number;
  /** Of a write: bytes of its command. */
  readonly bytes: number;
  /** Pause before it. */
  readonly afterUs: number;
  /** The client gives up after this long. */
  readonly patienceUs: number;
  /** Time limit handed to the engine, 0 = none. */
  readonly timeoutMs: number;
  /** The signal handed to the engine fires after this long, 0 = none is handed. */
  readonly abortUs: number;
  /** Writes of a burst, else 1. */
  readonly count: number;
  /** Of a read; a follower's is asked of any member. */
  readonly consistency?: 'linearizable' | 'lease' | 'follower';
}

export interface ClientPlan {
  readonly id: number;
  readonly operations: readonly ClientOperation[];
}

/** A process that is ended in good order, and started again later. */
export interface StopPlan {
  readonly host: number;
  readonly atUs: number;
  readonly downUs: number;
}

export interface LastCrash {
  readonly order: readonly string[];
  readonly downUs: number;
  readonly weights: CrashWeights;
}

export interface ClusterPlan {
  readonly seed: number;
  readonly config: string;
  readonly hosts: readonly HostPlan[];
  readonly groups: readonly GroupPlan[];
  readonly tuning: ClusterTuning;
  readonly clients: readonly ClientPlan[];
  readonly faults: FaultSchedule;
  /**
   * Behind the others, where none of them ended a process: the one that they had planned for may have been down already,
   * closed in good order. Strikes the first host of `order` that runs. Null: the config needs no crash.
   */
  readonly lastCrash: LastCrash | null;
  /** Times count from the first fault's possible time, as those of `faults`. */
  readonly stops: readonly StopPlan[];
  /** Of the membership, in order of time; none in most configs. */
  readonly changes: readonly ChangePlan[];
  readonly networkMode: 'frame' | 'byte';
  readonly chaosOrder: boolean;
  readonly forbidAmbient: boolean;
  readonly poisonReceived: boolean;
  /** Frames that arrive once more, so much later at the most. */
  readonly lateCopies: { readonly chance: number; readonly delayUsMax: number };
  readonly disk: DiskLatency;
  /** Of the lives of a host, one after the other and again from the first. */
  readonly syncMethods: readonly LogSync[];
  /** Quiet time before the first fault. */
  readonly warmupUs: number;
}

const second = 1_000_000;
const kib = 1024;

/** Draws the plan of a run. Throws RangeError for a config that is not there. */
export function drawClusterPlan(seed: number, configName = 'default'): ClusterPlan {
  const config = clusterConfigs.get(configName);
  if (config === undefined) {
    const names = [...clusterConfigs.keys()].join(', ');
    throw new RangeError(`there is no config ${configName}; there are ${names}`);
  }
  // The name too: a seed must not mean the same faults, or the lack of them, in every config.
  const rng = new SimRng(seed).fork(`cluster plan ${configName}`);
  const shape = rng.fork('shape');
  const hostCount = shape.logBetween(...config.hosts);
  const hosts = drawHosts(shape, hostCount, config.clockDrift ?? 0.1);
  const groups = drawGroups(shape.fork('groups'), config, hostCount);
  const tuning = drawTuning(rng.fork('tuning'), config);
  const warmupUs = 1.5 * second + tuning.electionMsMax * 1500;
  const disk = drawDisk(shape, config);
  return {
    seed,
    config: configName,
    hosts,
    groups,
    tuning,
    clients: drawClients(rng.fork('clients'), config, groups, tuning, warmupUs),
    stops: drawStops(rng.fork('stops'), config, hosts),
    changes: drawChanges(
      rng.fork('changes'),
      config,
      groups.map(({ id }) => id),
    ),
    faults: drawFaults(rng.fork('faults'), config, hosts, disk),
    lastCrash: config.needsCrashAndCut ? drawLastCrash(rng.fork('last crash'), hosts) : null,
    networkMode: shape.chance(config.byteModeChance) ? 'byte' : 'frame',
    chaosOrder: shape.chance(0.5),
    forbidAmbient: shape.chance(0.1),
    poisonReceived: shape.chance(0.5),
    disk,
    syncMethods: config.syncMethods ?? ['fdatasync'],
    lateCopies: drawLateCopies(rng.fork('late copies')),
    warmupUs,
  };
}

function drawHosts(rng: SimRng, count: number, clockDrift: number): HostPlan[] {
  const preVote = rng.chance(0.7);
  const checkQuorum = rng.chance(0.7);
  // Mixed settings, as during a rolling change of configuration.
  const mixed = rng.chance(0.15);
  const drifting = rng.chance(0.5);
  return Array.from({ length: count }, (_, i) => ({
    id: i + 1,
    preVote: mixed ? rng.chance(0.5) : preVote,
    checkQuorum: mixed ? rng.chance(0.5) : checkQuorum,
    clockRate: drifting ? 1 - clockDrift + rng.float() * 2 * clockDrift : 1,
  }));
}

function drawGroups(rng: SimRng, config: ClusterConfig, hostCount: number): GroupPlan[] {
  const count = rng.logBetween(...config.groups);
  return Array.from({ length: count }, (_, i) => {
    const all = Array.from({ length: hostCount }, (_host, host) => host + 1);
    if (!rng.chance(config.smallGroupChance)) return { id: i + 1, members: all };
    const members = rng.shuffle(all).slice(0, rng.between(1, hostCount));
    return { id: i + 1, members: members.sort((a, b) => a - b) };
  });
}

function drawTuning(rng: SimRng, config: ClusterConfig): ClusterTuning {
  const heartbeatMs = rng.logBetween(20, 100);
  const electionMsMin = heartbeatMs * rng.between(3, 8);
  const tiny = rng.chance(config.tinyChance);
  const entryBytesMax = 64 * kib;
  return {
    heartbeatMs,
    electionMsMin,
    electionMsMax: electionMsMin * 2,
    entryBytesMax,
    segmentBytes: rng.chance(0.5) ? 512 * kib : 2048 * kib,
    cacheBytes: 1024 * kib,
    pendingBytesMax: tiny && rng.chance(0.3) ? 64 * kib : 1024 * kib,
    groupPendingBytesMax: tiny && rng.chance(0.5) ? 8 * kib : 256 * kib,
    inflightMessagesMax: tiny ? rng.logBetween(1, 8) : 256,
    inflightBytesMax: tiny ? rng.logBetween(kib, 64 * kib) : 1024 * kib,
    appendBytesMax: tiny ? rng.logBetween(kib, 16 * kib) : 256 * kib,
  };
}

function drawDisk(rng: SimRng, config: ClusterConfig): DiskLatency {
  const syncUs = rng.logBetween(...(config.syncUs ?? [500, 50_000]));
  return { ...defaultDiskLatency, syncUs: [syncUs / 10, syncUs] };
}

function drawLateCopies(rng: SimRng): ClusterPlan['lateCopies'] {
  const chance = rng.chance(0.5) ? rng.float() ** 2 * 0.2 : 0;
  return { chance, delayUsMax: rng.logBetween(second / 100, 2 * second) };
}

function drawClients(
  rng: SimRng,
  config: ClusterConfig,
  groups: readonly GroupPlan[],
  tuning: ClusterTuning,
  warmupUs: number,
): ClientPlan[] {
  const count = rng.between(...config.clients);
  const writeShare = 0.55 + rng.float() * 0.3;
  const drawn = rng.pick(['small', 'mixed', 'large'] as const);
  const sizes = config.sizes ?? drawn;
  const bursts = rng.chance(0.4);
  const meanUs = (count * second) / config.operationsPerSecond;
  const durationUs = warmupUs + config.faultSeconds * second;
  const patienceUs = Math.max(2 * second, tuning.electionMsMax * 6000);
  return Array.from({ length: count }, (_, i) => {
    const own = rng.fork(`client ${i + 1}`);
    // Most clients stay with few groups, so that some groups see contention and all see traffic.
    const home = own.pick(groups);
    const operations: ClientOperation[] = [];
    let atUs = 0;
    for (let n = 0; atUs < durationUs; n++) {
      const quiet = bursts && n % 50 === 49;
      const afterUs = quiet ? second : Math.ceil(own.float() * 2 * meanUs);
      atUs += afterUs;
      const group = own.chance(0.5) ? home : own.pick(groups);
      // Keys change over time: a short history is quick to check.
      const key = own.below(3) + 10 * Math.floor(atUs / (8 * second));
      const isWrite = own.chance(writeShare);
      const burst = own.chance(config.bursts?.chance ?? 0);
      const count = burst ? own.logBetween(...(config.bursts?.count ?? [1, 1])) : 1;
      operations.push({
        kind: burst ? own.pick(['burst', 'many'] as const) : isWrite ? 'write' : 'read',
        count,
        group: group.id,
        key,
        bytes: drawBytes(own, sizes),
        afterUs,
        patienceUs,
        timeoutMs: own.chance(0.1) ? own.logBetween(1, 200) : 0,
        abortUs: own.chance(0.03) ? own.logBetween(1, 100_000) : 0,
        ...(config.churnUs === undefined ? {} : { consistency: own.pick(consistencies) }),
      });
    }
    return { id: i + 1, operations };
  });
}

const consistencies = ['linearizable', 'lease', 'follower'] as const;

function drawBytes(rng: SimRng, sizes: CommandSizes): number {
  const smallest = 24;
  const large = rng.chance(sizes === 'large' ? 0.6 : sizes === 'mixed' ? 0.2 : 0.02);
  return large
    ? rng.logBetween(512, 16 * kib)
    : rng.between(smallest, sizes === 'small' ? 128 : 1024);
}

function drawFaults(
  rng: SimRng,
  config: ClusterConfig,
  hosts: readonly HostPlan[],
  disk: DiskLatency,
): FaultSchedule {
  const names = hosts.map(({ id }) => hostName(id));
  const durationUs = config.faultSeconds * second;
  const drawn = drawFaultSchedule(rng.fork('schedule').u32(), {
    hosts: names,
    durationUs,
    kinds: config.faultKinds,
    kindChance: config.kindChance,
    betweenUs: config.betweenUs ?? [second, durationUs / 2],
    // Segments of the log, not the spare files that are made ready in the background.
    writtenPaths: '/[0-9a-f]+[.]seg$',
    downMax: rng.chance(0.3) ? hosts.length : Math.floor((hosts.length - 1) / 2),
  });
  const slownessMax = Math.max(2, slowSyncUsMax / disk.syncUs[1]);
  const windows = drawn.windows.map((window) =>
    bounded(shortened(window, rng, durationUs), slownessMax),
  );
  if (config.needsCrashAndCut) windows.push(...missing(windows, rng, names, durationUs));
  windows.sort((a, b) => a.fromUs - b.fromUs);
  return { ...drawn, windows };
}

function drawStops(rng: SimRng, config: ClusterConfig, hosts: readonly HostPlan[]): StopPlan[] {
  if (config.faultKinds.length === 0 || !rng.chance(0.4)) return [];
  return Array.from({ length: rng.logBetween(1, 4) }, () => ({
    host: rng.pick(hosts).id,
    atUs: rng.between(second, config.faultSeconds * second),
    downUs: rng.logBetween(10_000, 3 * second),
  })).sort((a, b) => a.atUs - b.atUs);
}

/** Most windows are made to end well before the run: otherwise the long ones of a schedule leave little that runs. */
function shortened(window: FaultWindow, rng: SimRng, durationUs: number): FaultWindow {
  const keepsLength = rng.chance(0.2);
  const lengthMax = rng.logBetween(200_000, durationUs / 3);
  if (keepsLength || window.untilUs - window.fromUs <= lengthMax) return window;
  return { ...window, untilUs: window.fromUs + lengthMax };
}

/** A sync that takes longer than healing may is a stopped disk, which is another fault. */
const slowSyncUsMax: number = 20 * second;

function bounded(window: FaultWindow, slownessMax: number): FaultWindow {
  const { fault } = window;
  if (fault.kind !== 'slowDisk' || fault.slowness <= slownessMax) return window;
  return { ...window, fault: { ...fault, slowness: slownessMax } };
}

function drawLastCrash(rng: SimRng, hosts: readonly HostPlan[]): LastCrash {
  const order = rng.shuffle(hosts.map(({ id }) => hostName(id)));
  return { order, downUs: rng.logBetween(10_000, second), weights: drawWeights(rng) };
}

function drawWeights(rng: SimRng): CrashWeights {
  const [lost, kept, torn, zeros] = [rng.float(), rng.float(), rng.float(), rng.float()];
  return { lost, kept, torn, zeros, stale: rng.float() };
}

function missing(
  windows: readonly FaultWindow[],
  rng: SimRng,
  names: readonly string[],
  durationUs: number,
): FaultWindow[] {
  const added: FaultWindow[] = [];
  const has = (...kinds: FaultKind[]): boolean =>
    windows.some((window) => kinds.includes(window.fault.kind));
  const span = (): { fromUs: number; untilUs: number } => {
    const fromUs = rng.between(second, durationUs - 3 * second);
    return { fromUs, untilUs: fromUs + rng.logBetween(200_000, 2 * second) };
  };
  // A power cut in a write may never come to its write.
  if (!has('kill', 'powerCut')) {
    const weights = drawWeights(rng);
    added.push({ ...span(), fault: { kind: 'powerCut', host: rng.pick(names), weights } });
  }
  if (!has('cut')) {
    const shape = rng.pick(['halves', 'isolated', 'isolatedIn', 'isolatedOut'] as const);
    const links = partitionLinks(shape, rng.shuffle([...names]), rng);
    added.push({ ...span(), fault: { kind: 'cut', shape, links } });
  }
  return added;
}

export function hostName(id: number): string {
  return `n${id}`;
}
