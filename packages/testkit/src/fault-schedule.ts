// What goes wrong in a run, drawn before the run and kept as plain data: a list of windows, each with a beginning, an
// end and a fault. A failing schedule is written down, replayed, and shrunk by leaving windows out; none depends on
// another. fault-injector.ts carries it out.
//
// Each seed first chooses which kinds of fault it has at all, then how hard: a run with everything at once finds less
// than many runs with a few things each. Ranges are those of the test design (crashes, long outages, partition shapes,
// swizzled clogs, pauses, slow disks, one failed fsync, drifting clocks).

import type { CrashWeights } from './disk-crash.ts';
import type { DiskOp } from './disk-faults.ts';
import type { LinkOptions } from './sim-link.ts';
import { SimRng } from './sim-rng.ts';

/** A directed link by the names of its machines. */
export type LinkName = readonly [from: string, to: string];

export type Fault =
  /** The process is killed; it starts again at the window's end. */
  | { readonly kind: 'kill'; readonly host: string }
  /** The power goes; the host starts again at the window's end. */
  | { readonly kind: 'powerCut'; readonly host: string; readonly weights: CrashWeights }
  /** The power goes in the middle of the host's n-th disk operation in the window, if that comes. */
  | {
      readonly kind: 'powerCutInWrite';
      readonly host: string;
      readonly operation: number;
      /** Operations that count: of that kind, on a path that the regular expression finds; absent = all. */
      readonly among?: { readonly op: DiskOp; readonly path: string };
      readonly weights: CrashWeights;
    }
  /** Links are cut; the shape is for the reader. */
  | { readonly kind: 'cut'; readonly shape: PartitionShape; readonly links: readonly LinkName[] }
  | { readonly kind: 'clog'; readonly links: readonly LinkName[] }
  /** Links are slow or lossy. */
  | {
      readonly kind: 'badLinks';
      readonly links: readonly LinkName[];
      readonly options: Partial<LinkOptions>;
    }
  /** All connections between two hosts break, at the window's beginning. */
  | { readonly kind: 'reset'; readonly a: string; readonly b: string }
  /** Those of one host break without the others being told. */
  | { readonly kind: 'silentBreak'; readonly host: string }
  /** SIGSTOP; with `freeze` monotonic time stands still too. */
  | { readonly kind: 'pause'; readonly host: string; readonly freeze: boolean }
  | { readonly kind: 'slowDisk'; readonly host: string; readonly slowness: number }
  /** No disk operation completes before the window's end. */
  | { readonly kind: 'diskStall'; readonly host: string }
  /** The next sync fails and drops its pages. */
  | { readonly kind: 'syncError'; readonly host: string }
  /** The next write of the log fails, with none, some or all of its bytes in the file. */
  | {
      readonly kind: 'writeError';
      readonly host: string;
      readonly applied: 'none' | 'part' | 'all';
      readonly path: string;
    }
  /** The next write stops early without an error, as the system may at any time. */
  | { readonly kind: 'shortWrite'; readonly host: string; readonly bytes: number }
  | { readonly kind: 'clockRate'; readonly host: string; readonly rate: number }
  | { readonly kind: 'wallJump'; readonly host: string; readonly byMs: number };

export type FaultKind = Fault['kind'];

export interface FaultWindow {
  readonly fromUs: number;
  readonly untilUs: number;
  readonly fault: Fault;
}

export interface FaultSchedule {
  readonly seed: number;
  readonly durationUs: number;
  /** By beginning. */
  readonly windows: readonly FaultWindow[];
}

export const partitionShapes = [
  'halves',
  'majorityRing',
  'bridge',
  'chain',
  'isolated',
  'isolatedIn',
  'isolatedOut',
  'pair',
  'oneWayPair',
  'star',
  'everyoneAlone',
  'randomLinks',
] as const;
export type PartitionShape = (typeof partitionShapes)[number];

export interface FaultConfig {
  readonly hosts: readonly string[];
  /** Faults begin and end within this time, default 120 s. */
  readonly durationUs?: number;
  /** Kinds that may be chosen; default all. */
  readonly kinds?: readonly FaultKind[];
  /** Chance of each kind to be in this run, default 0.5. */
  readonly kindChance?: number;
  /** Mean time between windows of one kind is drawn between these two; default [2 s, 60 s]. */
  readonly betweenUs?: readonly [number, number];
  /** A regular expression: files whose writes a power cut should tear; default all. */
  readonly writtenPaths?: string;
  /** Hosts that may be down at one moment, default all of them. */
  readonly downMax?: number;
}

const second = 1_000_000;

/** Length of a window of each kind, drawn with a uniform logarithm. */
const lengthsUs: Record<FaultKind, readonly [number, number]> = {
  kill: [10_000, 60 * second],
  powerCut: [10_000, 60 * second],
  powerCutInWrite: [500_000, 20 * second],
  cut: [50_000, 30 * second],
  clog: [1000, 5 * second],
  badLinks: [second, 60 * second],
  reset: [0, 0],
  silentBreak: [0, 0],
  pause: [100_000, 30 * second],
  slowDisk: [second, 30 * second],
  diskStall: [10_000, 10 * second],
  syncError: [0, 0],
  writeError: [0, 0],
  shortWrite: [0, 0],
  clockRate: [second, 60 * second],
  wallJump: [0, 0],
};

/** One failed sync or write ends a host's life: at most one a run. */
const windowsMax: Partial<Record<FaultKind, number>> = { syncError: 1, writeError: 1 };

/** Draws the faults of one run. */
export function drawFaultSchedule(seed: number, config: FaultConfig): FaultSchedule {
  if (config.hosts.length === 0) throw new RangeError('a schedule needs at least one host');
  const rng = new SimRng(seed).fork('faults');
  const durationUs = config.durationUs ?? 120 * second;
  const kinds = config.kinds ?? (Object.keys(lengthsUs) as FaultKind[]);
  const windows: FaultWindow[] = [];
  for (const kind of kinds) {
    // A fork for each kind: taking one out leaves the others as they were.
    const ofKind = rng.fork(kind);
    if (!ofKind.chance(config.kindChance ?? 0.5)) continue;
    windows.push(...drawWindows(kind, ofKind, config, durationUs));
  }
  windows.sort((a, b) => a.fromUs - b.fromUs);
  return { seed, durationUs, windows: limitDown(windows, config.downMax ?? config.hosts.length) };
}

function drawWindows(
  kind: FaultKind,
  rng: SimRng,
  config: FaultConfig,
  durationUs: number,
): FaultWindow[] {
  const [shortest, longest] = config.betweenUs ?? [2 * second, 60 * second];
  const meanUs = rng.logBetween(shortest, longest);
  const windows: FaultWindow[] = [];
  let atUs = 0;
  while (windows.length < (windowsMax[kind] ?? 1000)) {
    atUs += Math.ceil(-Math.log(1 - rng.float()) * meanUs);
    if (atUs >= durationUs) break;
    const [min, max] = lengthsUs[kind];
    const lengthUs = max === 0 ? 0 : rng.logBetween(min, max);
    const untilUs = Math.min(durationUs, atUs + lengthUs);
    windows.push(...drawFaults(kind, rng, config, { fromUs: atUs, untilUs }));
  }
  return windows;
}

type Span = Omit<FaultWindow, 'fault'>;

function drawFaults(kind: FaultKind, rng: SimRng, config: FaultConfig, span: Span): FaultWindow[] {
  const { hosts } = config;
  if (kind === 'clog' && rng.chance(0.5)) return drawSwizzle(rng, hosts, span);
  const fault = drawFault(kind, rng, hosts, config.writtenPaths ?? '');
  return fault === null ? [] : [{ ...span, fault }];
}

function drawFault(
  kind: FaultKind,
  rng: SimRng,
  hosts: readonly string[],
  writtenPaths: string,
): Fault | null {
  const host = rng.pick(hosts);
  switch (kind) {
    case 'kill':
    case 'diskStall':
    case 'syncError':
    case 'silentBreak':
      return { kind, host };
    case 'powerCut':
      return { kind, host, weights: drawWeights(rng) };
    case 'powerCutInWrite': {
      const fault = { kind, host, operation: rng.logBetween(1, 200), weights: drawWeights(rng) };
      // A write that is not synced yet is what a power cut tears; of all operations few are in that state.
      const op = rng.pick([null, 'writev', 'datasync'] as const);
      if (op === null) return fault;
      const weights = { ...fault.weights, torn: 2 * (fault.weights.torn ?? 0) + 1 };
      const operation = rng.logBetween(1, 30);
      return { ...fault, operation, weights, among: { op, path: writtenPaths } };
    }
    case 'cut': {
      const shape = rng.pick(partitionShapes);
      const links = partitionLinks(shape, rng.shuffle([...hosts]), rng);
      return links.length === 0 ? null : { kind, shape, links };
    }
    case 'clog':
      return { kind, links: drawLinks(rng, host, hosts) };
    case 'badLinks': {
      const latencyMs = rng.logBetween(1, 200);
      const resetChance = rng.chance(0.5) ? rng.float() * 0.02 : 0;
      const latencyUs = [latencyMs * 100, latencyMs * 2000] as const;
      return { kind, links: drawLinks(rng, host, hosts), options: { latencyUs, resetChance } };
    }
    case 'reset': {
      const other = rng.pick(hosts);
      return other === host ? null : { kind, a: host, b: other };
    }
    case 'pause':
      return { kind, host, freeze: rng.chance(0.3) };
    case 'slowDisk':
      return { kind, host, slowness: rng.logBetween(10, 5000) };
    case 'writeError': {
      const applied = rng.pick(['none', 'part', 'all'] as const);
      return { kind, host, applied, path: writtenPaths };
    }
    case 'shortWrite':
      return { kind, host, bytes: rng.logBetween(1, 4096) };
    case 'clockRate':
      return { kind, host, rate: 0.8 + rng.float() * 0.4 };
    case 'wallJump':
      return { kind, host, byMs: rng.between(-3_600_000, 3_600_000) };
  }
}

/** From "nearly everything is lost" to "nearly everything survives", and all between. */
function drawWeights(rng: SimRng): CrashWeights {
  const weight = (): number => rng.float() ** 2;
  const [lost, kept, torn, zeros, stale] = [weight(), weight(), weight(), weight(), weight()];
  return { lost, kept, torn, zeros, stale, nameKept: rng.float() };
}

/** Hosts are clogged one by one and unclogged in another order. */
function drawSwizzle(rng: SimRng, hosts: readonly string[], span: Span): FaultWindow[] {
  const lengthUs = span.untilUs - span.fromUs;
  const count = rng.between(1, hosts.length);
  return rng
    .shuffle([...hosts])
    .slice(0, count)
    .map((host) => {
      const fromUs = span.fromUs + Math.floor((rng.float() * lengthUs) / 2);
      const untilUs = span.untilUs - Math.floor((rng.float() * lengthUs) / 2);
      return { fromUs, untilUs, fault: { kind: 'clog', links: linksOf(host, hosts) } };
    });
}

/** Whether hosts are down during windows of this kind. */
export function takesDown(kind: FaultKind): boolean {
  return kind === 'kill' || kind === 'powerCut' || kind === 'powerCutInWrite';
}

/** Leaves out windows in which more hosts than that would be down. */
function limitDown(windows: readonly FaultWindow[], downMax: number): FaultWindow[] {
  const down: FaultWindow[] = [];
  return windows.filter((window) => {
    const { kind } = window.fault;
    if (!takesDown(kind)) return true;
    const overlapping = down.filter((each) => each.untilUs >= window.fromUs);
    if (overlapping.length >= downMax) return false;
    down.push(window);
    return true;
  });
}

/** All links of a host or of everybody, or only one direction: from the host, to it, or a single link. */
function drawLinks(rng: SimRng, host: string, hosts: readonly string[]): readonly LinkName[] {
  const all = allLinks(hosts);
  switch (rng.pick(['host', 'host', 'everybody', 'from', 'to', 'single'] as const)) {
    case 'host':
      return linksOf(host, hosts);
    case 'everybody':
      return all;
    case 'from':
      return all.filter(([from]) => from === host);
    case 'to':
      return all.filter(([, to]) => to === host);
    case 'single':
      return all.length === 0 ? [] : [rng.pick(all)];
  }
}

function linksOf(host: string, hosts: readonly string[]): LinkName[] {
  return hosts
    .filter((other) => other !== host)
    .flatMap((other): LinkName[] => [
      [host, other],
      [other, host],
    ]);
}

function allLinks(hosts: readonly string[]): LinkName[] {
  return hosts.flatMap((from) =>
    hosts.filter((to) => to !== from).map((to): LinkName => [from, to]),
  );
}

/** The links that a partition of this shape cuts; `hosts` in the order that says who plays which part. */
export function partitionLinks(
  shape: PartitionShape,
  hosts: readonly string[],
  rng: SimRng,
): LinkName[] {
  const all = allLinks(hosts);
  const count = hosts.length;
  const place = (host: string): number => hosts.indexOf(host);
  const distance = (a: string, b: string): number => {
    const steps = Math.abs(place(a) - place(b));
    return Math.min(steps, count - steps);
  };
  const [first = '', second = ''] = hosts;
  switch (shape) {
    case 'halves':
      return all.filter(([a, b]) => place(a) < count / 2 !== place(b) < count / 2);
    case 'majorityRing':
      // Each reaches its neighbours on a ring up to a majority, itself included, and no two reach the same hosts.
      return all.filter(([a, b]) => distance(a, b) > Math.ceil(Math.floor(count / 2) / 2));
    case 'bridge':
      return all.filter(
        ([a, b]) => a !== first && b !== first && place(a) <= count / 2 !== place(b) <= count / 2,
      );
    case 'chain':
      return all.filter(([a, b]) => Math.abs(place(a) - place(b)) > 1);
    case 'isolated':
      return linksOf(first, hosts);
    case 'isolatedIn':
      return all.filter(([, to]) => to === first);
    case 'isolatedOut':
      return all.filter(([from]) => from === first);
    case 'pair':
      return all.filter(([a, b]) => [first, second].includes(a) && [first, second].includes(b));
    case 'oneWayPair':
      return all.filter(([a, b]) => a === first && b === second);
    case 'star':
      return all.filter(([a, b]) => a !== first && b !== first);
    case 'everyoneAlone':
      return all;
    case 'randomLinks':
      return all.filter(() => rng.chance(0.4));
  }
}
