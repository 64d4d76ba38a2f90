// The operator of one group of the simulated cluster: carries out its planned changes of members and leaders one after
// the other, as a person with a console would - looks for the leader, makes replicas where they are needed, asks, and
// lives with every refusal. Nothing is tried for ever; whatever half-way state that leaves must be sound.

import type { MembershipChange, RaftGroup } from '@flotilla/host';
import { FlotillaError } from '@flotilla/io';
import type { SimOwner } from '../sim-kernel.ts';
import type { ClusterContext } from './cluster-context.ts';
import type { ClusterHost } from './cluster-host.ts';
import type { ChangePlan } from './cluster-changes.ts';
import { memberIn } from './known-configurations.ts';

const second = 1_000_000;
const pauseUs = 50_000;
/** How long a leader is looked for, and a new member waited for. */
const patienceUs: number = 2 * second;

/** Answers to a change or a transfer that an operator must expect. */
const expected = new Set([
  'NOT_LEADER',
  'CONFIG_IN_PROGRESS',
  'MEMBERSHIP_INVALID',
  'MEMBER_NOT_READY',
  'OUTCOME_UNKNOWN',
  'TIMED_OUT',
  'BUSY',
  'CLOSED',
  'CONFIG_INVALID',
  'GROUP_EXISTS',
  'REPLICA_REMOVED',
  'UNKNOWN_GROUP',
  'WAL_POISONED',
]);

interface Leader {
  readonly host: ClusterHost;
  readonly group: RaftGroup;
}

export class ClusterOperator {
  readonly #groupId: number;
  readonly #context: ClusterContext;
  readonly #hosts: readonly ClusterHost[];
  readonly #owner: SimOwner;
  /** Nodes whose replica did not do for joining. */
  readonly #unfit = new Set<number>();

  constructor(groupId: number, context: ClusterContext, hosts: readonly ClusterHost[]) {
    this.#groupId = groupId;
    this.#context = context;
    this.#hosts = hosts;
    this.#owner = context.world.kernel.owner(`operator of group ${groupId}`);
  }

  /** Resolves when the last change has been tried. Times of changes count from `fromUs`. */
  async run(changes: readonly ChangePlan[], fromUs: number): Promise<void> {
    const { kernel } = this.#context.world;
    for (const change of changes) {
      const waitUs = fromUs + change.atUs - kernel.nowUs;
      if (waitUs > 0) await this.#sleep(waitUs);
      const leader = await this.#findLeader();
      if (leader !== null) await this.#carryOut(change, leader);
    }
  }

  async #carryOut(change: ChangePlan, leader: Leader): Promise<void> {
    const { membership } = leader.group.status();
    const idsOf = (members: readonly { readonly nodeId: number }[]): number[] =>
      members.map(({ nodeId }) => nodeId);
    const voters = idsOf(membership.voters);
    const learners = idsOf(membership.learners);
    const members = leader.group.status().members;
    const others = this.#hosts.map(({ id }) => id).filter((id) => !members.includes(id));
    const pick = (from: readonly number[], fraction = change.pick): number | undefined =>
      from[Math.floor(fraction * from.length)];
    const removed = pick(voters, change.pick2);
    const added = pick(others);
    switch (change.kind) {
      case 'grow':
        if (added !== undefined) await this.#add(change, leader, added, {});
        return;
      case 'shrink':
        if (removed !== undefined) await this.#change(leader, { remove: [removed] });
        return;
      case 'replace':
      case 'replaceLeader': {
        const old = change.kind === 'replace' ? removed : leader.host.id;
        if (added === undefined || old === undefined || !voters.includes(old)) return;
        await this.#add(change, leader, added, { remove: [old] });
        return;
      }
      case 'demote':
        if (removed !== undefined) await this.#change(leader, { learners: [removed] });
        return;
      case 'promote': {
        const learner = pick(learners);
        if (learner !== undefined) await this.#change(leader, { voters: [learner] });
        return;
      }
      case 'rejoin': {
        if (removed === undefined || removed === leader.host.id) return;
        if (!(await this.#change(leader, { remove: [removed] }))) return;
        await this.#sleep(Math.ceil(change.pick * second));
        await this.#add(change, leader, removed, {});
        return;
      }
      case 'reshape':
        await this.#reshape(change, leader, members);
        return;
      case 'transfer': {
        const target = pick(voters.filter((id) => id !== leader.host.id));
        if (target !== undefined) await this.#transfer(leader, target);
        return;
      }
      case 'lease': {
        const leaseMs = Math.max(100, this.#context.plan.tuning.electionMsMin);
        await this.#change(leader, { leaseMs: membership.leaseMs > 0 ? 0 : leaseMs });
        return;
      }
      default:
        await this.#giveUp(leader, pick(others));
    }
  }

  /** To a random set of voters in one step, whoever they are now. */
  async #reshape(change: ChangePlan, leader: Leader, members: readonly number[]): Promise<void> {
    const all = this.#hosts.map(({ id }) => id);
    const rotated = all.map((_, i) => all[(i + Math.floor(change.pick * all.length)) % all.length]);
    const count = 1 + Math.floor(change.pick2 * Math.min(all.length, 5));
    const voters = rotated.slice(0, count) as number[];
    const added = voters.filter((id) => !members.includes(id));
    for (const id of added) await this.#join(leader, id);
    const remove = members.filter((id) => !voters.includes(id));
    await this.#change(leader, { voters, remove }, added);
  }

  async #add(
    change: ChangePlan,
    leader: Leader,
    nodeId: number,
    more: MembershipChange,
  ): Promise<void> {
    if (!(await this.#join(leader, nodeId))) return;
    if (!change.byLearner) {
      await this.#change(leader, { ...more, voters: [nodeId] }, [nodeId]);
      return;
    }
    if (!(await this.#change(leader, { learners: [nodeId] }, [nodeId]))) return;
    await this.#until(() => {
      const { commitIndex, progress } = leader.group.status();
      const known = progress?.find((member) => member.nodeId === nodeId);
      return progress === null || (known?.matchIndex ?? 0) + 20 >= commitIndex;
    });
    await this.#change(leader, { ...more, voters: [nodeId] });
  }

  /**
   * Whether a replica waits there. One that was added half-way, has not heard of its removal, or was not ready the last time
   * is given up first.
   */
  async #join(leader: Leader, nodeId: number): Promise<boolean> {
    const host = this.#hosts[nodeId - 1];
    const isUsed = (host?.group(this.#groupId)?.status().lastIndex ?? 0) > 0;
    if (isUsed || this.#unfit.has(nodeId)) await this.#giveUp(leader, nodeId);
    this.#unfit.delete(nodeId);
    const joined = await this.#try(() => host?.join(this.#groupId) ?? Promise.resolve(false));
    return joined.value === true;
  }

  async #giveUp(leader: Leader, nodeId: number | undefined): Promise<void> {
    const host = nodeId === undefined ? undefined : this.#hosts[nodeId - 1];
    if (host === undefined) return;
    // A leader that was deposed may believe what it likes: only of who is left out by one that leads still, after that.
    const isOut = (): boolean => {
      const { membership, role } = leader.group.status();
      return (
        role === 'leader' && membership.isCommitted && memberIn(membership, host.id) === undefined
      );
    };
    if (!isOut() || this.#isGone(leader)) return;
    const read = await this.#try(() => leader.host.call(() => leader.group.read()));
    if (read.isDone && isOut()) await this.#try(() => host.giveUp(this.#groupId));
  }

  /** Whether it was done. `added`: those of it that are to be new. */
  async #change(
    leader: Leader,
    change: MembershipChange,
    added: readonly number[] = [],
  ): Promise<boolean> {
    const { totals } = this.#context;
    if (this.#isGone(leader)) return false;
    totals.changesAsked += 1;
    const asked = await this.#try(() =>
      leader.host.call(() => leader.group.changeMembership(change)),
    );
    if (asked.isDone) totals.changesDone += 1;
    else if (asked.code === 'OUTCOME_UNKNOWN' || asked.code === null) totals.changesUnknown += 1;
    else totals.changesRefused += 1;
    if (asked.code === 'MEMBER_NOT_READY') for (const id of added) this.#unfit.add(id);
    return asked.isDone;
  }

  /** That process has ended since, or the replica has. */
  #isGone({ group, host }: Leader): boolean {
    return host.group(this.#groupId) !== group;
  }

  async #transfer(leader: Leader, nodeId: number): Promise<void> {
    const { totals } = this.#context;
    if (this.#isGone(leader)) return;
    const asked = await this.#try(() =>
      leader.host.call(() => leader.group.transferLeadership(nodeId)),
    );
    if (asked.isDone) totals.transfersDone += 1;
    else totals.transfersFailed += 1;
  }

  /** Waits for an answer, for so long; the host may die meanwhile. */
  #try<T>(call: () => Promise<T>): Promise<{
    readonly isDone: boolean;
    readonly value: T | undefined;
    readonly code: string | null;
  }> {
    const { violations, world } = this.#context;
    return new Promise((resolve) => {
      const givenUp = { isDone: false, value: undefined, code: null };
      const timer = world.kernel.schedule(8 * second, this.#owner, 'operator gives up', () =>
        resolve(givenUp),
      );
      // What call throws is a rejection here.
      const started = (async (): Promise<T> => await call())();
      started.then(
        (value) => {
          timer.cancel();
          resolve({ isDone: true, value, code: null });
        },
        (error: unknown) => {
          timer.cancel();
          const code = error instanceof FlotillaError ? error.code : null;
          const isDown = error instanceof Error && error.message.endsWith('is down');
          if (!isDown && (code === null || !expected.has(code))) {
            violations.report('X1', `an operator's call rejects with ${String(error)}`);
          }
          resolve({ isDone: false, value: undefined, code });
        },
      );
    });
  }

  async #findLeader(): Promise<Leader | null> {
    let found: Leader | null = null;
    await this.#until(() => {
      let term = 0;
      for (const host of this.#hosts) {
        const group = host.group(this.#groupId);
        if (group === undefined || !group.isLeader || group.term <= term) continue;
        found = { host, group };
        term = group.term;
      }
      return found !== null;
    });
    return found;
  }

  async #until(condition: () => boolean): Promise<void> {
    const { kernel } = this.#context.world;
    const untilUs = kernel.nowUs + patienceUs;
    while (!condition() && kernel.nowUs < untilUs) await this.#sleep(pauseUs);
  }

  #sleep(us: number): Promise<void> {
    return new Promise((resolve) => {
      this.#context.world.kernel.schedule(us, this.#owner, 'operator sleeps', resolve);
    });
  }
}
