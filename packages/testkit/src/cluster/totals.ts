// What happened in a run, counted: a run that saw no fault and acknowledged nothing proves nothing, so the counts are
// printed and held above floors.

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
  'connectionResets',
  'lateCopies',
  'recoveriesChecked',
  'votesProbed',
  'acksProbed',
  'undecidedRecoveries',
  'entriesApplied',
  'walReads',
  'appendsQueued',
] as const;
export type TotalName = (typeof totalNames)[number];
export type Totals = Record<TotalName, number>;

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
