// What operators do to the groups of a run while it goes on: members come and go, leaders hand over. Drawn before the run as
// plain data; whom a change concerns is a fraction that is looked up among those that it can concern when it comes to it.

import type { SimRng } from '../sim-rng.ts';
import type { ClusterConfig } from './cluster-config.ts';

const second = 1_000_000;

export const changeKinds = [
  'grow',
  'shrink',
  'replace',
  'replaceLeader',
  'demote',
  'promote',
  'rejoin',
  'reshape',
  'transfer',
  'lease',
  'giveUp',
] as const;
/**
 * What an operator does to a group. `rejoin` removes a member and adds it again, `reshape` goes to a random set of voters
 * in one step, `giveUp` has a host that is no member give its replica up.
 */
export type ChangeKind = (typeof changeKinds)[number];

export interface ChangePlan {
  readonly group: number;
  readonly atUs: number;
  readonly kind: ChangeKind;
  /** Who it concerns, in [0, 1): of those that it can concern when it comes to it. */
  readonly pick: number;
  readonly pick2: number;
  /** New members are learners first. */
  readonly byLearner: boolean;
}

/** Draws the changes of a run, group by group; none for a config without churn. */
export function drawChanges(
  rng: SimRng,
  config: ClusterConfig,
  groupIds: readonly number[],
): ChangePlan[] {
  if (config.churnUs === undefined) return [];
  const changes: ChangePlan[] = [];
  for (const id of groupIds) {
    const own = rng.fork(`group ${id}`);
    const meanUs = own.logBetween(...config.churnUs);
    let atUs = 0;
    while (atUs < config.faultSeconds * second) {
      atUs += Math.ceil(own.float() * 2 * meanUs);
      changes.push({
        group: id,
        atUs,
        kind: own.pick(changeKinds),
        pick: own.float(),
        pick2: own.float(),
        byLearner: own.chance(0.6),
      });
    }
  }
  return changes;
}
