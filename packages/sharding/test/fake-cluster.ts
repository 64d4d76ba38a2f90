// Hosts in memory for tests: one log a group, applied at once on every host that has the group, leaders named by the test
// (or won by the first campaign). Failures are queued by the test.

import type {
  ApplyBatch,
  CommandResult,
  GroupOptions,
  GroupStatus,
  RaftGroup,
  StateMachine,
  WriteManyResult,
  WriteResult,
} from '@flotilla/host';
import { type Clock, type ErrorCode, FlotillaError, type Timer } from '@flotilla/io';
import type { GroupHost } from '../src/index.ts';

/** Time that passes only when the test says so. Turns take none of it: they come as soon as what is ready has run. */
export class ManualClock implements Clock {
  #nowMs = 1_000;
  #timers: { dueMs: number; callback: () => void }[] = [];
  wallOffsetMs = 1_700_000_000_000;

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs + this.wallOffsetMs;
  }

  at(dueMs: number, callback: () => void): Timer {
    const timer = { dueMs, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((each) => each !== timer);
      },
    };
  }

  nextTurn(callback: () => void): void {
    setImmediate(callback);
  }

  /** Lets `ms` pass, firing timers in order; promises settle in between. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      await settle();
      this.#timers.sort((a, b) => a.dueMs - b.dueMs);
      const next = this.#timers[0];
      if (next === undefined || next.dueMs > untilMs) break;
      this.#timers.shift();
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.callback();
    }
    this.#nowMs = untilMs;
    await settle();
  }
}

/** Lets all promises that can settle do so, and the turns that follow from them: a write takes one to its reply. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export class FakeBatch implements ApplyBatch {
  readonly groupId: number;
  readonly count = 1;
  readonly term = 1;
  readonly #index: number;
  readonly #payload: Uint8Array;
  readonly #awaited: boolean;
  result: CommandResult = null;

  constructor(groupId: number, index: number, payload: Uint8Array, awaited: boolean) {
    this.groupId = groupId;
    this.#index = index;
    this.#payload = payload;
    this.#awaited = awaited;
  }

  indexOf(): number {
    return this.#index;
  }
  bytesOf(): Uint8Array {
    return this.#payload;
  }
  startOf(): number {
    // Payloads stand inside larger memory in real life.
    return 3;
  }
  endOf(): number {
    return this.#payload.length;
  }
  payloadOf(): Uint8Array {
    return this.#payload.subarray(3);
  }
  isAwaited(): boolean {
    return this.#awaited;
  }
  respond(_position: number, result: CommandResult): void {
    this.result = result;
  }
}

/** Applies one payload to a machine and answers its result. */
export function applyTo(machine: StateMachine, payload: Uint8Array, awaited = true): CommandResult {
  const inside = new Uint8Array(payload.length + 3);
  inside.set(payload, 3);
  const batch = new FakeBatch(9, 1, inside, awaited);
  machine.apply(batch);
  return batch.result;
}

class GroupState {
  leader = 0;
  term = 1;
  members: readonly number[] = [];
  readonly log: Uint8Array[] = [];
  readonly replicas: Map<number, StateMachine> = new Map();
  readonly failures: ErrorCode[] = [];
  readonly readFailures: ErrorCode[] = [];
  /** Proposals and reads that wait for release(). */
  readonly parked: (() => void)[] = [];
  isParking = false;
}

export class FakeCluster {
  readonly clock: Clock;
  readonly hosts: Map<number, FakeHost> = new Map();
  readonly #groups: Map<number, GroupState> = new Map();
  /** Whether a campaign in a group without leader is won at once. */
  electsOnCampaign = true;
  campaigns: { groupId: number; nodeId: number }[] = [];

  constructor(clock: Clock, nodeIds: readonly number[]) {
    this.clock = clock;
    for (const id of nodeIds) this.hosts.set(id, new FakeHost(this, id));
  }

  host(nodeId: number): FakeHost {
    const host = this.hosts.get(nodeId);
    if (host === undefined) throw new RangeError(`no host ${nodeId}`);
    return host;
  }

  state(groupId: number): GroupState {
    let state = this.#groups.get(groupId);
    if (state === undefined) {
      state = new GroupState();
      this.#groups.set(groupId, state);
    }
    return state;
  }

  setLeader(groupId: number, nodeId: number): void {
    const state = this.state(groupId);
    state.leader = nodeId;
    state.term++;
  }

  /** The next proposals of the group fail with these codes, one each. */
  failProposals(groupId: number, ...codes: ErrorCode[]): void {
    this.state(groupId).failures.push(...codes);
  }

  failReads(groupId: number, ...codes: ErrorCode[]): void {
    this.state(groupId).readFailures.push(...codes);
  }

  /** Proposals and reads wait from now on, until release(). */
  park(groupId: number): void {
    this.state(groupId).isParking = true;
  }

  release(groupId: number): void {
    const state = this.state(groupId);
    state.isParking = false;
    for (const go of state.parked.splice(0)) go();
  }

  apply(groupId: number, proposer: number, command: Uint8Array): CommandResult {
    const state = this.state(groupId);
    const payload = new Uint8Array(command.length + 3);
    payload.set(command, 3);
    state.log.push(payload);
    let result: CommandResult = null;
    for (const [nodeId, machine] of state.replicas) {
      const batch = new FakeBatch(groupId, state.log.length, payload, nodeId === proposer);
      machine.apply(batch);
      if (nodeId === proposer) result = batch.result;
    }
    return result;
  }
}

export class FakeHost implements GroupHost {
  readonly nodeId: number;
  readonly world: { readonly clock: Clock };
  readonly #cluster: FakeCluster;
  readonly #groups: Map<number, FakeGroup> = new Map();
  /** The next createGroup calls that fail. */
  failingCreations = 0;

  constructor(cluster: FakeCluster, nodeId: number) {
    this.#cluster = cluster;
    this.nodeId = nodeId;
    this.world = { clock: cluster.clock };
  }

  async createGroup(options: GroupOptions): Promise<RaftGroup> {
    await Promise.resolve();
    if (this.failingCreations > 0) {
      this.failingCreations--;
      throw new FlotillaError('BUSY', 'a planned failure');
    }
    const state = this.#cluster.state(options.groupId);
    state.members = options.members ?? [];
    state.log.forEach((payload, i) => {
      options.stateMachine.apply(new FakeBatch(options.groupId, i + 1, payload, false));
    });
    state.replicas.set(this.nodeId, options.stateMachine);
    const group = new FakeGroup(this.#cluster, options.groupId, this.nodeId);
    this.#groups.set(options.groupId, group);
    return group;
  }

  group(groupId: number): RaftGroup | undefined {
    return this.#groups.get(groupId);
  }
}

class FakeGroup implements RaftGroup {
  readonly groupId: number;
  readonly failure = null;
  readonly #cluster: FakeCluster;
  readonly #nodeId: number;

  constructor(cluster: FakeCluster, groupId: number, nodeId: number) {
    this.#cluster = cluster;
    this.groupId = groupId;
    this.#nodeId = nodeId;
  }

  get isLeader(): boolean {
    return this.leader === this.#nodeId;
  }

  get leader(): number {
    return this.#cluster.state(this.groupId).leader;
  }

  get term(): number {
    return this.#cluster.state(this.groupId).term;
  }

  propose(command: Uint8Array): Promise<WriteResult> {
    const state = this.#cluster.state(this.groupId);
    const failure = this.isLeader ? state.failures.shift() : 'NOT_LEADER';
    if (failure !== undefined) return Promise.reject(new FlotillaError(failure, 'planned'));
    const copy = command.slice();
    return this.#whenReleased().then(() => {
      const result = this.#cluster.apply(this.groupId, this.#nodeId, copy);
      return { index: state.log.length, term: state.term, result };
    });
  }

  async proposeMany(commands: readonly Uint8Array[]): Promise<WriteManyResult> {
    for (const command of commands) await this.propose(command);
    return { firstIndex: 1, lastIndex: commands.length, term: 1 };
  }

  read(): Promise<number> {
    const state = this.#cluster.state(this.groupId);
    const failure = this.isLeader ? state.readFailures.shift() : 'NOT_LEADER';
    if (failure !== undefined) return Promise.reject(new FlotillaError(failure, 'planned'));
    return this.#whenReleased().then(() => state.log.length);
  }

  async campaign(): Promise<void> {
    this.#cluster.campaigns.push({ groupId: this.groupId, nodeId: this.#nodeId });
    const state = this.#cluster.state(this.groupId);
    if (state.leader === 0 && this.#cluster.electsOnCampaign) state.leader = this.#nodeId;
  }

  async transferLeadership(nodeId: number): Promise<void> {
    if (!this.isLeader) throw new FlotillaError('NOT_LEADER', 'planned');
    this.#cluster.state(this.groupId).leader = nodeId;
  }

  changeMembership(): Promise<never> {
    return Promise.reject(new FlotillaError('NOT_LEADER', 'memberships do not change here'));
  }

  status(): GroupStatus {
    const state = this.#cluster.state(this.groupId);
    const length = state.log.length;
    return {
      groupId: this.groupId,
      role: this.isLeader ? 'leader' : 'follower',
      term: state.term,
      leader: state.leader,
      commitIndex: length,
      appliedIndex: length,
      lastIndex: length,
      generation: 1,
      members: state.members,
      membership: {
        voters: state.members.map((nodeId) => ({ nodeId, generation: 1, instance: 0 })),
        votersOutgoing: [],
        learners: [],
        learnersNext: [],
        leaseMs: 0,
        index: 0,
        term: 0,
        isCommitted: true,
      },
      progress: null,
    };
  }

  #whenReleased(): Promise<void> {
    const state = this.#cluster.state(this.groupId);
    if (!state.isParking) return Promise.resolve();
    return new Promise((resolve) => state.parked.push(resolve));
  }
}
