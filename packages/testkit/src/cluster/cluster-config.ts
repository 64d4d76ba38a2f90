// The named configs of the simulated cluster: what each leaves to chance, as ranges, and which faults may happen in it.
// cluster-plan.ts draws a run from one of them and a seed.

import type { FaultKind } from '../fault-schedule.ts';

/** What a named config leaves to chance, as ranges; pairs are drawn with a uniform logarithm. */
export interface ClusterConfig {
  readonly name: string;
  readonly says: string;
  readonly hosts: readonly [number, number];
  readonly groups: readonly [number, number];
  readonly clients: readonly [number, number];
  /** Writes and reads a second of all clients together, before waiting and retries. */
  readonly operationsPerSecond: number;
  readonly faultSeconds: number;
  readonly faultKinds: readonly FaultKind[];
  readonly kindChance: number;
  /** Mean time between faults of one kind; default from one second to half the run. */
  readonly betweenUs?: readonly [number, number];
  /** At least one crash and one partition, whatever was drawn. */
  readonly needsCrashAndCut: boolean;
  /** Chance of a group to have fewer members than there are hosts. */
  readonly smallGroupChance: number;
  /** Chance of tiny windows and messages. */
  readonly tinyChance: number;
  readonly byteModeChance: number;
  /** Chance of an operation to be a burst of that many writes; absent = none. */
  readonly bursts?: { readonly chance: number; readonly count: readonly [number, number] };
  /** Sizes of commands; absent = left to chance. */
  readonly sizes?: CommandSizes;
  /** Longest time of a sync; default from a quick disk to one that is nearly always in the middle of one. */
  readonly syncUs?: readonly [number, number];
  /** Members come and go, leaders hand over, reads go all ways: mean time between two such changes of one group. */
  readonly churnUs?: readonly [number, number];
  /** How far each clock may run from true time, as a share; default a tenth. */
  readonly clockDrift?: number;
  /** How the lives of a host write its log, one after the other and again from the first; default fdatasync. */
  readonly syncMethods?: readonly LogSync[];
}

/** The ways of writing a log that a crash must not undo. */
export type LogSync = 'fdatasync' | 'dsync' | 'direct';

/** Mostly below 128 bytes, mostly below 1 KiB, mostly above. */
export type CommandSizes = 'small' | 'mixed' | 'large';

const allKinds: readonly FaultKind[] = [
  'kill',
  'powerCut',
  'powerCutInWrite',
  'cut',
  'clog',
  'badLinks',
  'reset',
  'silentBreak',
  'pause',
  'slowDisk',
  'diskStall',
  'syncError',
  'writeError',
  'shortWrite',
  'clockRate',
  'wallJump',
];

const base: ClusterConfig = {
  name: 'default',
  says: '3-5 hosts, up to 16 groups, any faults, at least one crash and one partition',
  hosts: [3, 5],
  groups: [1, 16],
  clients: [4, 10],
  operationsPerSecond: 120,
  faultSeconds: 20,
  faultKinds: allKinds,
  kindChance: 0.5,
  needsCrashAndCut: true,
  smallGroupChance: 0.15,
  tinyChance: 0.4,
  byteModeChance: 0.1,
};

const configs: readonly ClusterConfig[] = [
  base,
  {
    ...base,
    name: 'three',
    says: '3 hosts with 8 groups of 3: the one that the speed of the simulator is measured with',
    hosts: [3, 3],
    groups: [8, 8],
    clients: [6, 6],
    smallGroupChance: 0,
  },
  {
    ...base,
    name: 'wide',
    says: '3-5 hosts, 16-64 groups',
    groups: [16, 64],
    operationsPerSecond: 200,
    faultSeconds: 15,
  },
  {
    ...base,
    name: 'long',
    says: '120 seconds of faults',
    faultSeconds: 120,
    operationsPerSecond: 60,
  },
  {
    ...base,
    name: 'solo',
    says: 'groups of one and two members, crashes and failing disks',
    hosts: [3, 3],
    groups: [3, 8],
    smallGroupChance: 0.9,
    faultKinds: [
      'kill',
      'powerCut',
      'powerCutInWrite',
      'slowDisk',
      'diskStall',
      'syncError',
      'writeError',
      'shortWrite',
    ],
    kindChance: 0.7,
  },
  {
    ...base,
    name: 'storm',
    says: 'elections all the time: cuts, pauses, kills at short intervals, tiny windows',
    groups: [1, 4],
    faultKinds: [
      'kill',
      'powerCut',
      'powerCutInWrite',
      'cut',
      'clog',
      'reset',
      'silentBreak',
      'pause',
      'badLinks',
    ],
    kindChance: 0.7,
    tinyChance: 0.7,
  },
  {
    ...base,
    name: 'cuts',
    says: 'power cuts in the middle of large writes, again and again',
    hosts: [3, 3],
    groups: [1, 4],
    clients: [8, 16],
    operationsPerSecond: 200,
    faultKinds: ['powerCutInWrite', 'slowDisk'],
    kindChance: 1,
    betweenUs: [300_000, 2_000_000],
    sizes: 'large',
    syncUs: [20_000, 200_000],
  },
  {
    ...base,
    name: 'overload',
    says: 'bursts of far more writes than the hosts let in, slow disks, tiny windows',
    groups: [1, 8],
    clients: [6, 12],
    operationsPerSecond: 60,
    faultSeconds: 8,
    tinyChance: 0.9,
    syncUs: [5000, 100_000],
    bursts: { chance: 0.5, count: [10, 300] },
  },
  {
    ...base,
    name: 'churn',
    says: 'members come and go, leaders hand over, reads go all ways, any faults',
    hosts: [3, 7],
    groups: [1, 4],
    smallGroupChance: 0.5,
    // A lease trusts clocks to drift apart by less than a tenth.
    faultKinds: allKinds.filter((kind) => kind !== 'clockRate'),
    clockDrift: 0.03,
    churnUs: [500_000, 8_000_000],
  },
  {
    ...base,
    name: 'direct',
    says: 'as default, with logs that are written past the page cache in most lives, and by O_DSYNC in some',
    syncMethods: ['direct', 'fdatasync', 'direct', 'dsync'],
  },
  {
    ...base,
    name: 'calm',
    says: 'no faults at all',
    faultKinds: [],
    needsCrashAndCut: false,
    faultSeconds: 10,
  },
];

export const clusterConfigs: ReadonlyMap<string, ClusterConfig> = new Map(
  configs.map((config) => [config.name, config]),
);
