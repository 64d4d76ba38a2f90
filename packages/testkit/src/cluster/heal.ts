// The end of a run: no faults any more, and everything must become well by itself.
//
//   L1  within 20 election time-outs every group has one leader, and its replicas equal logs, all applied, and states
//   L2  sampled groups take 10 writes and 10 reads
//   P2  no call is left without an answer
//   C1  what was applied anywhere is in the final state of every replica

import type { GroupStatus } from '@flotilla/host';
import type { SimRng } from '../sim-rng.ts';
import type { ClientOperation, GroupPlan } from './cluster-plan.ts';
import type { Ledger } from './ledger.ts';
import type { ViolationLog } from './violation.ts';

const second = 1_000_000;
const pollUs = 20_000;
/** Connections stand again after this long: the pause between two dials, and time for handshakes. */
const reconnectUs: number = 2 * second;
/** Hosts that were down or slow are back after this long. */
const restartUs: number = 60 * second;
const groupsSampled = 4;
const operationsSampled = 10;

/** What it needs of the run; ClusterContext is one. */
export interface HealingContext {
  readonly plan: {
    readonly groups: readonly GroupPlan[];
    readonly changes: readonly unknown[];
    readonly tuning: { readonly electionMsMax: number };
  };
  readonly world: { readonly kernel: { readonly nowUs: number; readonly rng: SimRng } };
  readonly violations: ViolationLog;
  readonly ledger: Pick<Ledger, 'lastIndex'>;
}

/** What it looks at of a host; ClusterHost is one. */
export interface HealingHost {
  readonly sim: {
    readonly name: string;
    readonly disk: { readonly callCount: number; readonly oldestInFlight: number };
  };
  readonly isServing: boolean;
  readonly pendingCalls: number;
  group(groupId: number): { status(): GroupStatus } | undefined;
  machine(groupId: number): { readonly appliedIndex: number } | undefined;
}

export interface HealingClient {
  sleep(us: number): Promise<void>;
  perform(operation: ClientOperation): Promise<boolean>;
}

export class Healing {
  readonly #context: HealingContext;
  readonly #hosts: readonly HealingHost[];
  readonly #client: HealingClient;

  constructor(context: HealingContext, hosts: readonly HealingHost[], client: HealingClient) {
    this.#context = context;
    this.#hosts = hosts;
    this.#client = client;
  }

  /** To be called with every fault undone. */
  async run(): Promise<void> {
    const { plan, violations } = this.#context;
    const pending = this.#hosts.map(({ sim }) => sim.disk.callCount);
    const isBack = (): string | null => {
      const host = this.#hosts.find(
        ({ isServing, sim }, i) => !isServing || sim.disk.oldestInFlight <= (pending[i] as number),
      );
      return host === undefined ? null : `${host.sim.name} does not serve`;
    };
    if (!(await this.#within(restartUs, 'F1', isBack))) return;
    const limitUs = 20 * plan.tuning.electionMsMax * 1000 + reconnectUs;
    if (!(await this.#within(limitUs, 'L1', () => this.#unequal()))) return;
    await this.#serve();
    if (violations.first !== null) return;
    if (!(await this.#within(limitUs, 'L1', () => this.#unequal()))) return;
    if (!(await this.#within(limitUs, 'P2', () => this.#unsettled()))) return;
    this.#checkFinalStates();
  }

  /** Waits until `what` answers null; where it does not in time, its answer is the violation. */
  async #within(
    limitUs: number,
    invariant: 'F1' | 'L1' | 'P2',
    what: () => string | null,
  ): Promise<boolean> {
    const { world, violations } = this.#context;
    const untilUs = world.kernel.nowUs + limitUs;
    for (;;) {
      const problem = what();
      if (violations.first !== null) return false;
      if (problem === null) return true;
      if (world.kernel.nowUs >= untilUs) {
        const text = `${limitUs / second} s after the last fault: ${problem}`;
        violations.report(invariant, text);
        return false;
      }
      await this.#client.sleep(pollUs);
    }
  }

  #unequal(): string | null {
    for (const group of this.#context.plan.groups) {
      const problem = this.#unequalGroup(group);
      if (problem !== null) return problem;
    }
    return null;
  }

  /** Every call has been answered, also those whose callers have gone. */
  #unsettled(): string | null {
    const host = this.#hosts.find(({ pendingCalls }) => pendingCalls > 0);
    return host === undefined ? null : `${host.pendingCalls} calls of ${host.sim.name} are open`;
  }

  /** Who belongs to the group in the end: by its leader, where members come and go. */
  #membersOf({ id, members }: GroupPlan): readonly number[] | string {
    if (!this.#isChurned) return members;
    const leading = this.#hosts
      .map((host) => host.group(id)?.status())
      .filter((status) => status?.role === 'leader');
    const [status] = leading;
    if (status === undefined || leading.length > 1) {
      const all = this.#hosts.map((host) => host.group(id)?.status());
      const said = all.map((each) => (each === undefined ? 'none' : describeStatus(each)));
      return `group ${id} has ${leading.length} leaders: ${said.join(' | ')}`;
    }
    const { isCommitted, learners, voters, votersOutgoing } = status.membership;
    if (!isCommitted || votersOutgoing.length > 0) {
      return `group ${id} has not come to a membership: ${JSON.stringify(status.membership)}`;
    }
    for (const { nodeId, generation } of [...voters, ...learners]) {
      const there = this.#hosts[nodeId - 1]?.group(id)?.status();
      if (there?.generation !== generation) {
        return `group ${id}: host ${nodeId} has replica ${there?.generation}, not ${generation}`;
      }
    }
    return status.members;
  }

  get #isChurned(): boolean {
    return this.#context.plan.changes.length > 0;
  }

  #unequalGroup(plan: GroupPlan): string | null {
    const { id } = plan;
    const members = this.#membersOf(plan);
    if (typeof members === 'string') return members;
    const statuses: GroupStatus[] = [];
    for (const member of members) {
      const group = this.#hosts[member - 1]?.group(id);
      if (group === undefined) return `host ${member} has no group ${id}`;
      statuses.push(group.status());
    }
    const [first] = statuses as [GroupStatus];
    const leaders = statuses.filter(({ role }) => role === 'leader').length;
    const isEqual = statuses.every(
      ({ term, lastIndex, commitIndex, appliedIndex, leader }) =>
        term === first.term &&
        leader === first.leader &&
        lastIndex === first.lastIndex &&
        commitIndex === lastIndex &&
        appliedIndex === lastIndex,
    );
    if (leaders === 1 && isEqual) return null;
    return `group ${id} is ${statuses.map(describeStatus).join(' | ')}`;
  }

  async #serve(): Promise<void> {
    const { plan, world, violations } = this.#context;
    const rng = world.kernel.rng.fork('heal');
    const sampled = rng.shuffle([...plan.groups]).slice(0, groupsSampled);
    for (const { id } of sampled) {
      for (let i = 0; i < 2 * operationsSampled; i++) {
        const operation: ClientOperation = {
          kind: i % 2 === 0 ? 'write' : 'read',
          group: id,
          key: 1_000_000,
          bytes: 32,
          afterUs: 0,
          patienceUs: 5 * second,
          timeoutMs: 0,
          abortUs: 0,
          count: 1,
        };
        if (await this.#client.perform(operation)) continue;
        violations.report('L2', `group ${id}: a ${operation.kind} is not served`);
        return;
      }
    }
  }

  #checkFinalStates(): void {
    const { plan, ledger, violations } = this.#context;
    for (const group of plan.groups) {
      const { id } = group;
      const members = this.#membersOf(group);
      if (typeof members === 'string') {
        violations.report('L1', members);
        return;
      }
      for (const member of members) {
        const machine = this.#hosts[member - 1]?.machine(id);
        const last = ledger.lastIndex(id);
        if ((machine?.appliedIndex ?? 0) === last) continue;
        const text = `group ${id}: host ${member} ends at ${machine?.appliedIndex}, ${last} was applied elsewhere`;
        violations.report('C1', text);
      }
    }
  }
}

function describeStatus(status: GroupStatus): string {
  const { role, term, leader, lastIndex, commitIndex, appliedIndex } = status;
  return `${role} of term ${term} (leader ${leader}), last ${lastIndex}, committed ${commitIndex}, applied ${appliedIndex}`;
}
