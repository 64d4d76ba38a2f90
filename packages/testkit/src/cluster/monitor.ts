// Looks at every replica of a run at short intervals through its public status, as an operator's dashboard would:
//
//   S1  whoever says that it leads is the only one of its term
//   S8  applied <= committed <= last
//   S9  term, commit index and applied index of a life never fall
//   F1  no replica stops by itself

import type { GroupStatus } from '@flotilla/host';
import type { ClusterContext } from './cluster-context.ts';
import type { GroupPlan } from './cluster-plan.ts';

const intervalUs = 100_000;

/** What it looks at of a host; ClusterHost is one. */
export interface WatchedHost {
  readonly id: number;
  readonly sim: { readonly name: string; readonly lives: number };
  readonly groupPlans: readonly GroupPlan[];
  group(groupId: number): { status(): GroupStatus } | undefined;
  failedReplica(): string | null;
}

interface Seen {
  readonly life: number;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
}

type WatchContext = Pick<ClusterContext, 'world' | 'violations' | 'witness'>;

export class Monitor {
  readonly #context: WatchContext;
  readonly #hosts: readonly WatchedHost[];
  readonly #seen: Map<string, Seen> = new Map();

  constructor(context: WatchContext, hosts: readonly WatchedHost[]) {
    this.#context = context;
    this.#hosts = hosts;
  }

  start(): void {
    const { kernel } = this.#context.world;
    const owner = kernel.owner('monitor');
    const tick = (): void => {
      this.look();
      kernel.schedule(intervalUs, owner, 'monitor', tick);
    };
    tick();
  }

  look(): void {
    for (const host of this.#hosts) {
      const failed = host.failedReplica();
      if (failed !== null) this.#context.violations.report('F1', `a replica stopped: ${failed}`);
      for (const { id } of host.groupPlans) {
        const group = host.group(id);
        if (group !== undefined) this.#judge(host, group.status());
      }
    }
  }

  #judge(host: WatchedHost, status: GroupStatus): void {
    const { violations, witness } = this.#context;
    const { groupId, role, term, commitIndex, appliedIndex, lastIndex, generation } = status;
    if (role === 'failed' || role === 'closed' || role === 'removed') return;
    const where = `${host.sim.name}, group ${groupId}`;
    if (role === 'leader') witness.onLeader(host.id, groupId, term, generation);
    if (!(appliedIndex <= commitIndex && commitIndex <= lastIndex)) {
      const order = `applied ${appliedIndex}, committed ${commitIndex}, last ${lastIndex}`;
      violations.report('S8', `${where}: ${order}`);
    }
    const key = `${host.id}/${groupId}/${generation}`;
    const life = host.sim.lives;
    const before = this.#seen.get(key);
    if (before?.life === life) {
      const fell =
        term < before.term ||
        commitIndex < before.commitIndex ||
        appliedIndex < before.appliedIndex;
      if (fell) {
        const now = { life, term, commitIndex, appliedIndex };
        violations.report('S9', `${where}: ${JSON.stringify(before)}, then ${JSON.stringify(now)}`);
      }
    }
    this.#seen.set(key, { life, term, commitIndex, appliedIndex });
  }
}
