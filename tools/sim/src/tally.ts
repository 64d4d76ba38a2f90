// Adds up what the seeds of a run did, and says what they failed to show: a seed that acknowledged little, or saw no
// crash or no partition, proves nothing, and many seeds together must have met every kind of trouble. A run that comes
// out short of this has not passed, whatever its checks say.

import { addTotals, belowFloors, clusterConfigs, newTotals, type Totals } from '@flotilla/testkit';
import type { ResultRecord } from './result-line.ts';

/** Of every seed of a config with faults. */
const writesMin = 500;

/**
 * Of every hundred seeds of config `default`, about half of what they do: noticed where a kind of fault, or what should
 * follow from it, has ceased to happen. Rare things have theirs over more seeds (`rareFloors`).
 */
const floorsPerHundred: Partial<Totals> = {
  acknowledgedWrites: 80_000,
  acknowledgedReads: 40_000,
  unknownWrites: 2000,
  notLeader: 30_000,
  busy: 50,
  outcomeUnknown: 400,
  timedOut: 1500,
  kills: 60,
  powerCuts: 100,
  poisonedHosts: 20,
  restarts: 180,
  leaders: 900,
  truncatedSuffixes: 50,
  carriedBatches: 120,
  cleanStops: 30,
  partitions: 180,
  oneWayPartitions: 50,
  connectionResets: 200,
  clogs: 250,
  badLinks: 200,
  pauses: 150,
  slowDisks: 200,
  diskStalls: 150,
  syncErrors: 20,
  writeErrors: 20,
  shortWrites: 150,
  clockDrifts: 120,
  wallJumps: 80,
  writesLost: 250,
  writesKept: 80,
  writesTorn: 60,
  writesZeroed: 15,
  writesStale: 8,
  lateCopies: 20_000,
  recoveriesChecked: 180,
  votesProbed: 1500,
  walReads: 50_000,
  appendsQueued: 1000,
};
/** Of every thousand seeds. */
const rareFloors: Partial<Totals> = { tornTails: 25, refusedOpenings: 15 };

/** The same of config `churn`: above all that members come and go, and every kind of read is answered. */
const churnFloorsPerHundred: Partial<Totals> = {
  acknowledgedWrites: 80_000,
  acknowledgedReads: 36_000,
  leaseReads: 12_000,
  followerReads: 11_000,
  kills: 110,
  powerCuts: 160,
  poisonedHosts: 40,
  leaders: 800,
  truncatedSuffixes: 25,
  carriedBatches: 170,
  partitions: 210,
  oneWayPartitions: 70,
  changesDone: 800,
  changesRefused: 170,
  changesUnknown: 50,
  membersJoined: 340,
  replicasRemoved: 25,
  transfersDone: 75,
  transfersFailed: 15,
  jointConfigurations: 90,
};

interface Floors {
  readonly perHundred: Partial<Totals>;
  readonly perThousand: Partial<Totals>;
}

const floorsOf: ReadonlyMap<string, Floors> = new Map([
  ['default', { perHundred: floorsPerHundred, perThousand: rareFloors }],
  ['churn', { perHundred: churnFloorsPerHundred, perThousand: { tornTails: 40 } }],
]);

/** Fewer seeds than this are not held against the floors. */
const seedsForFloors = 100;

export class Tally {
  readonly #config: string;
  readonly #totals: Totals = newTotals();
  #seeds = 0;
  #simulatedSeconds = 0;
  #elapsedMs = 0;
  #violations = 0;
  /** Replay commands of seeds that proved too little. */
  readonly #weak: string[] = [];

  constructor(config: string) {
    this.#config = config;
  }

  /** What the seed failed to show, or null. */
  add(record: ResultRecord): string | null {
    this.#seeds += 1;
    this.#simulatedSeconds += record.simulatedSeconds;
    this.#elapsedMs += record.elapsedMs;
    addTotals(this.#totals, record.totals);
    if (record.verdict !== 'pass') {
      this.#violations += 1;
      return null;
    }
    const lacks = weaknessOf(record);
    if (lacks !== null) this.#weak.push(`${record.replay}  (${lacks})`);
    return lacks;
  }

  get #belowFloors(): string[] {
    const expected = floorsOf.get(this.#config);
    if (expected === undefined) return [];
    const floors: Partial<Totals> = {};
    const add = (of: Partial<Totals>, seeds: number): void => {
      if (this.#seeds < seeds) return;
      for (const [name, count] of Object.entries(of)) {
        floors[name as keyof Totals] = Math.floor((count * this.#seeds) / seeds);
      }
    };
    add(expected.perHundred, seedsForFloors);
    add(expected.perThousand, 10 * seedsForFloors);
    return belowFloors(this.#totals, floors);
  }

  get hasPassed(): boolean {
    return this.#violations === 0 && this.#weak.length === 0 && this.#belowFloors.length === 0;
  }

  /** Lines for the end of a run. */
  summary(): string[] {
    const speed = this.#elapsedMs > 0 ? (this.#simulatedSeconds * 1000) / this.#elapsedMs : 0;
    const counts = Object.entries(this.#totals).map(([name, count]) => `${name} ${count}`);
    return [
      `${this.#seeds} seeds of ${this.#config}: ${this.#violations} violations, ${this.#weak.length} that proved too little`,
      `${this.#simulatedSeconds.toFixed(0)} simulated seconds, ${speed.toFixed(1)} a second of a process`,
      `totals: ${counts.join(', ')}`,
      ...this.#weak.map((replay) => `too little: ${replay}`),
      ...this.#belowFloors.map((line) => `below its floor: ${line}`),
    ];
  }
}

/** What a seed with faults must have shown, and did not. */
export function weaknessOf({ config, totals }: ResultRecord): string | null {
  if (clusterConfigs.get(config)?.needsCrashAndCut !== true) return null;
  const lacks: string[] = [];
  if (totals.acknowledgedWrites < writesMin) lacks.push(`${totals.acknowledgedWrites} writes`);
  if (totals.crashes === 0) lacks.push('no crash');
  if (totals.partitions === 0) lacks.push('no partition');
  return lacks.length === 0 ? null : lacks.join(', ');
}
