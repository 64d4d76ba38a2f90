// What happened in a run, counted: a run that saw no fault and acknowledged nothing proves nothing, so the counts are
// printed and held above floors.

import type { FaultKind } from '../fault-schedule.ts';

export const totalNames = [
  'acknowledgedWrites',
  'acknowledgedReads',
  'unknownWrites',
  'failedWrites',
  'notLeader',
  'busy',
  'outcomeUnknown',
  'timedOut',
  'otherErrors',
  'burstWrites',
  'aborted',
  'crashes',
  'kills',
  'powerCuts',
  'poisonedHosts',
  'refusedOpenings',
  'cleanStops',
  'restarts',
  'leaders',
  'truncatedSuffixes',
  'tornTails',
  'carriedBatches',
  'faultWindows',
  'partitions',
  'oneWayPartitions',
  'connectionResets',
  'clogs',
  'badLinks',
  'pauses',
  'slowDisks',
  'diskStalls',
  'syncErrors',
  'writeErrors',
  'shortWrites',
  'clockDrifts',
  'wallJumps',
  'writesLost',
  'writesKept',
  'writesTorn',
  'writesZeroed',
  'writesStale',
  'lateCopies',
  'recoveriesChecked',
  'votesProbed',
  'acksProbed',
  'undecidedRecoveries',
  'entriesApplied',
  'changesAsked',
  'changesDone',
  'changesRefused',
  'changesUnknown',
  'membersJoined',
  'replicasRemoved',
  'transfersDone',
  'transfersFailed',
  'configurations',
  'jointConfigurations',
  'undecidedConfigurations',
  'leaseReads',
  'followerReads',
  'walReads',
  'appendsQueued',
] as const;
export type TotalName = (typeof totalNames)[number];
export type Totals = Record<TotalName, number>;

/** Windows of a kind of fault as they are counted; ends of processes are counted where they strike. */
export const faultTotals: Readonly<Record<FaultKind, TotalName | null>> = {
  kill: null,
  powerCut: null,
  powerCutInWrite: null,
  cut: 'partitions',
  clog: 'clogs',
  badLinks: 'badLinks',
  reset: 'connectionResets',
  silentBreak: 'connectionResets',
  pause: 'pauses',
  slowDisk: 'slowDisks',
  diskStall: 'diskStalls',
  syncError: 'syncErrors',
  writeError: 'writeErrors',
  shortWrite: 'shortWrites',
  clockRate: 'clockDrifts',
  wallJump: 'wallJumps',
};

export function newTotals(): Totals {
  return Object.fromEntries(totalNames.map((name) => [name, 0])) as Totals;
}

export function addTotals(into: Totals, more: Totals): void {
  for (const name of totalNames) into[name] += more[name];
}

/** Names and values below their floor, one line each. */
export function belowFloors(totals: Totals, floors: Partial<Totals>): string[] {
  return totalNames
    .filter((name) => totals[name] < (floors[name] ?? 0))
    .map((name) => `${name}: ${totals[name]}, expected at least ${floors[name] ?? 0}`);
}
