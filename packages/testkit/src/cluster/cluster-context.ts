// What the parts of one run share.

import type { SimWorld } from '../sim-world.ts';
import type { ClusterPlan } from './cluster-plan.ts';
import type { Ledger } from './ledger.ts';
import type { OutcomeCheck } from './outcome-check.ts';
import type { Totals } from './totals.ts';
import type { ViolationLog } from './violation.ts';
import type { Witness } from './witness.ts';

export interface ClusterContext {
  readonly plan: ClusterPlan;
  readonly world: SimWorld;
  readonly totals: Totals;
  readonly violations: ViolationLog;
  readonly ledger: Ledger;
  readonly witness: Witness;
  readonly outcomes: OutcomeCheck;
  /** What hosts said to their operators, newest last, bounded. */
  readonly info: string[];
}

/** Keeps a line of a host for the report of a violation. */
export function note(context: ClusterContext, host: string, line: string): void {
  const { info, world } = context;
  if (info.length >= 400) info.splice(0, 200);
  info.push(`${world.kernel.nowUs} us  ${host}: ${line}`);
}
