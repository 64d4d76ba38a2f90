// One machine of the simulated cluster and the lives of the real Host on it: started on the disk as it was left, with its
// Net tapped; started again where an injected disk error refused the opening; killed like a crash and started anew where
// its log was poisoned. Before every start, what recovery finds on the disk is judged by what the replicas had promised.

import { type GroupOptions, Host, type RaftGroup } from '@flotilla/host';
import { FlotillaError, type World } from '@flotilla/io';
import type { SimHost } from '../sim-world.ts';
import type { SimOwner } from '../sim-kernel.ts';
import type { SimRng } from '../sim-rng.ts';
import { type ClusterContext, note } from './cluster-context.ts';
import type { GroupPlan, HostPlan } from './cluster-plan.ts';
import { judge, type Recovered, RecoveryProbe } from './recovery-probe.ts';
import { RegisterMachine } from './register-machine.ts';
import { TappedNet } from './wire-tap.ts';
import { mayBeGone } from './witness.ts';

const directory = '/data/wal';
const clusterId = new Uint8Array(16).fill(7);
/** Votes that are checked by a power cut on a copy of the disk, per host and run. */
const voteProbesMax = 12;
/** The same for acknowledged entries, each after four times as many as the one before. */
const ackProbesMax = 6;

/** One life of the process. */
interface Life {
  readonly number: number;
  host: Host | null;
  readonly groups: Map<number, RaftGroup>;
  readonly machines: Map<number, RegisterMachine>;
  /** Calls that its groups have not answered. */
  pendingCalls: number;
  /** close() has been called. */
  isClosing: boolean;
  /** Its log failed: a close gives back what is open, and marks nothing clean. */
  isPoisoned: boolean;
  /** The one before was closed in good order. */
  readonly expectsClean: boolean;
  /** Every group that this host has, or is to have from the beginning, runs. */
  isOpen: boolean;
}

export class ClusterHost {
  readonly id: number;
  readonly sim: SimHost;
  readonly #context: ClusterContext;
  readonly #plan: HostPlan;
  readonly #groups: readonly GroupPlan[];
  readonly #owner: SimOwner;
  readonly #rng: SimRng;
  readonly #probe: RecoveryProbe;
  #life: Life | null = null;
  #isCreated = false;
  #voteProbes = 0;
  #voteProbeDue = false;
  #acks = 0;
  #acksProbed = 0;
  /** The last life was closed in good order. */
  #isClean = false;

  constructor(context: ClusterContext, plan: HostPlan, sim: SimHost) {
    this.id = plan.id;
    this.sim = sim;
    this.#context = context;
    this.#plan = plan;
    // Where members come and go, any group may come to live here.
    const isAnywhere = context.plan.changes.length > 0;
    this.#groups = context.plan.groups.filter(
      ({ members }) => isAnywhere || members.includes(plan.id),
    );
    const { kernel } = context.world;
    this.#owner = kernel.owner(`keeper of ${sim.name}`);
    this.#rng = kernel.rng.fork(`keeper of ${sim.name}`);
    const { segmentBytes, entryBytesMax } = context.plan.tuning;
    this.#probe = new RecoveryProbe({
      directory,
      create: false,
      instance: 0,
      segmentBytes,
      entryBytesMax,
    });
  }

  /** All its groups are served. */
  get isServing(): boolean {
    const life = this.#life;
    return life?.isOpen === true && !life.isClosing;
  }

  group(groupId: number): RaftGroup | undefined {
    const group = this.#life?.groups.get(groupId);
    return group?.failure?.code === 'REPLICA_REMOVED' ? undefined : group;
  }

  machine(groupId: number): RegisterMachine | undefined {
    return this.#life?.machines.get(groupId);
  }

  get pendingCalls(): number {
    return this.#life?.pendingCalls ?? 0;
  }

  /** Calls the engine and counts the call as open until it settles. */
  call<T>(call: () => Promise<T>): Promise<T> {
    const life = this.#life;
    if (life === null) throw new Error(`${this.sim.name} is down`);
    life.pendingCalls += 1;
    const settled = (): void => {
      life.pendingCalls -= 1;
    };
    const answer = call();
    answer.then(settled, settled);
    return answer;
  }

  get groupPlans(): readonly GroupPlan[] {
    return this.#groups;
  }

  /** Begins a life. Nothing happens where one is going on. */
  start(): void {
    if (this.sim.isRunning || this.#context.violations.first !== null) return;
    if (this.#isCreated) this.#judgeDisk();
    const life: Life = {
      number: this.sim.lives + 1,
      host: null,
      groups: new Map(),
      machines: new Map(),
      pendingCalls: 0,
      isClosing: false,
      isPoisoned: false,
      expectsClean: this.#isClean,
      isOpen: false,
    };
    this.#life = life;
    this.#isClean = false;
    if (life.number > 1) this.#context.totals.restarts += 1;
    this.#open(life, this.sim.start()).catch((error: unknown) => this.#openFailed(life, error));
  }

  /** The process is gone: what it counted is added up. */
  onDown(): void {
    this.#countMetrics();
    this.#life = null;
  }

  async #open(life: Life, world: World): Promise<void> {
    const { plan, witness } = this.#context;
    const syncMethod = plan.syncMethods[(life.number - 1) % plan.syncMethods.length] ?? 'fdatasync';
    const host = await Host.open({
      ...plan.tuning,
      syncMethod,
      nodeId: this.id,
      directory,
      create: !this.#isCreated,
      clusterId,
      listen: `${this.sim.machine.address}:7000`,
      peers: plan.hosts
        .filter(({ id }) => id !== this.id)
        .map(({ id }) => ({ nodeId: id, address: `127.0.0.${id}:7000`, instance: 0 })),
      preVote: this.#plan.preVote,
      checkQuorum: this.#plan.checkQuorum,
      world: this.#tapped(world),
      onPoisoned: (error) => this.#poisoned(life, error),
      onInfo: (line) => this.#info(line),
      onMembershipChanged: (event) => {
        if (this.#isLiving(world)) witness.onConfiguration(this.id, event.groupId, event);
      },
    });
    this.#isCreated = true;
    life.host = host;
    this.#countRecovery(host, life.expectsClean);
    const recovered = new Set(host.recoveredGroupIds());
    const opened = this.#groups.map(async ({ id, members }) => {
      if (members.includes(this.id)) await this.#openInitial(life, host, id, members);
      else if (recovered.has(id)) await this.#makeGroup(life, host, { groupId: id });
    });
    await Promise.all(opened);
    life.isOpen = true;
  }

  /** A group that this host began with: it may have been removed from it since. */
  async #openInitial(
    life: Life,
    host: Host,
    groupId: number,
    members: readonly number[],
  ): Promise<void> {
    try {
      await this.#makeGroup(life, host, { groupId, members });
    } catch (error) {
      if (error instanceof FlotillaError && error.code === 'REPLICA_REMOVED') return;
      throw error;
    }
  }

  async #makeGroup(
    life: Life,
    host: Host,
    options: Omit<GroupOptions, 'stateMachine'>,
  ): Promise<void> {
    const { ledger, violations } = this.#context;
    const { groupId } = options;
    const machine = new RegisterMachine(groupId, this.sim.name, ledger, violations);
    const before = life.machines.get(groupId);
    life.machines.set(groupId, machine);
    try {
      life.groups.set(groupId, await host.createGroup({ ...options, stateMachine: machine }));
    } catch (error) {
      if (before !== undefined) life.machines.set(groupId, before);
      throw error;
    }
  }

  /** As an operator would: makes a replica that waits to be added. False where that cannot be now. */
  async join(groupId: number): Promise<boolean> {
    const life = this.#life;
    const host = life?.host ?? null;
    if (life === null || host === null || !this.isServing) return false;
    if (this.group(groupId) !== undefined) return true;
    await this.call(() => this.#makeGroup(life, host, { groupId, join: true }));
    this.#context.totals.membersJoined += 1;
    return true;
  }

  /** As an operator would: gives up a replica that is no member. */
  async giveUp(groupId: number): Promise<void> {
    const host = this.#life?.host ?? null;
    if (host === null || !this.isServing || this.group(groupId) === undefined) return;
    await this.call(() => host.removeGroup(groupId));
    this.#context.totals.replicasRemoved += 1;
  }

  #tapped(world: World): World {
    const { witness, violations } = this.#context;
    const copies = this.#rng.fork(`late copies ${this.sim.lives}`);
    const net = new TappedNet(world.net, {
      onMessage: (remote, groupId, message, blocks) => {
        if (!this.#isLiving(world)) return;
        witness.onMessage(this.id, idOfAddress(remote), groupId, message, blocks);
        this.#probeVote();
        this.#probeAck();
      },
      onFrame: (copy) => this.#copyLater(copies, copy),
      onUnreadable: (what) => violations.report('P1', `${this.sim.name} sent ${what}`),
    });
    return { clock: world.clock, rng: world.rng, disk: world.disk, net };
  }

  #copyLater(rng: SimRng, copy: () => () => void): void {
    const { chance, delayUsMax } = this.#context.plan.lateCopies;
    if (chance === 0 || !this.sim.isRunning || !rng.chance(chance)) return;
    this.#context.totals.lateCopies += 1;
    const { kernel } = this.#context.world;
    kernel.schedule(rng.logBetween(100, delayUsMax), this.sim.owner, 'late copy', copy());
  }

  /** A dead life may go on calling its World for the rest of the event that killed it. */
  #isLiving(world: World): boolean {
    return this.sim.isRunning && this.sim.clock === world.clock;
  }

  // ── checks of the disk ─────────────────────────────────────────────────────────────────────────

  /** A vote is about to leave from here: look at the disk at this very moment. */
  voteSent(): void {
    this.#voteProbeDue = true;
  }

  /** An entry is about to be acknowledged from here, or counted as a copy by the leader that lives here. */
  entryPromised(): void {
    this.#acks += 1;
  }

  #probeAck(): void {
    // The first, the fourth, the sixteenth ...: a run has thousands.
    if (this.#acksProbed >= ackProbesMax || this.#acks < 4 ** this.#acksProbed) return;
    this.#acksProbed += 1;
    this.#context.totals.acksProbed += 1;
    const rng = this.#rng.fork(`ack ${this.#acksProbed}`);
    const recovered = this.#probe.recover(this.sim.disk.image(), rng, true);
    this.#judge(recovered, 'if the power went as its answer left');
  }

  #probeVote(): void {
    if (!this.#voteProbeDue) return;
    this.#voteProbeDue = false;
    if (this.#voteProbes >= voteProbesMax) return;
    this.#voteProbes += 1;
    this.#context.totals.votesProbed += 1;
    const rng = this.#rng.fork(`vote ${this.#voteProbes}`);
    const recovered = this.#probe.recover(this.sim.disk.image(), rng, true);
    this.#judge(recovered, 'if the power went as its vote left');
  }

  #judgeDisk(): void {
    const image = this.sim.disk.image();
    const rng = this.#rng.fork(`recovery ${this.sim.lives}`);
    const recovered = this.#probe.recover(image, rng, false);
    this.#context.totals.recoveriesChecked += 1;
    this.#judge(recovered, 'after a crash');
    if (!rng.chance(0.3)) return;
    const difference = this.#probe.differenceAfterCrash(image, rng.fork('again'));
    if (difference === null) return;
    this.#context.violations.report('W2', `${this.sim.name}: ${difference}`);
  }

  #judge(recovered: Recovered, when: string): void {
    const { violations, witness, totals } = this.#context;
    if (recovered.error !== null) {
      const { code, message, details } = recovered.error;
      const text = `${this.sim.name} ${when}: ${code}: ${message} ${JSON.stringify(details)}`;
      violations.report('W1', text);
      return;
    }
    for (const { id } of this.#groups) {
      const group = witness.group(id);
      const log = recovered.groups.get(id);
      const promises = group.promises(this.id);
      const { problem, isDecided } = judge(log, promises, group.chain);
      const where = `${this.sim.name}, group ${id}, ${when}`;
      if (log?.isRemoved === true && !mayBeGone(group, this.id, log.generation)) {
        violations.report('W1', `${where}: a tombstone of a replica that nobody left out`);
      }
      if (problem !== null) violations.report('W1', `${where}: ${problem}`);
      if (!isDecided) totals.undecidedRecoveries += 1;
      let first = 1;
      let prevTerm = 0;
      for (const { term, lastIndex } of log?.termEnds ?? []) {
        const clash = group.chain.addStart(term, first, prevTerm);
        if (clash !== null) violations.report('S3', `${where}: ${clash}`);
        first = lastIndex + 1;
        prevTerm = term;
      }
    }
  }

  // ── stops in good order ────────────────────────────────────────────────────────────────────────

  /** As an operator would: the host is closed, its process ends, and another is started. */
  stopLater(afterUs: number, downUs: number): void {
    const { kernel } = this.#context.world;
    kernel.schedule(afterUs, this.#owner, 'stop a host', () => {
      const life = this.#life;
      const host = life?.host ?? null;
      if (life === null || host === null || !this.isServing || life.isClosing) return;
      life.isClosing = true;
      host.close().then(
        () => this.#stopped(life, downUs, null),
        (error: unknown) => this.#stopped(life, downUs, error),
      );
    });
  }

  #stopped(life: Life, downUs: number, error: unknown): void {
    if (this.#life !== life) return;
    const { totals, violations, world } = this.#context;
    if (error !== null && !isInjected(error)) {
      violations.report('F1', `${this.sim.name} cannot be closed: ${describe(error)}`);
    }
    if (life.pendingCalls > 0) {
      const text = `${this.sim.name} is closed, and ${life.pendingCalls} calls have no answer`;
      violations.report('P2', text);
    }
    if (life.isPoisoned) {
      totals.crashes += 1;
      totals.kills += 1;
    } else if (error === null) {
      totals.cleanStops += 1;
      this.#isClean = true;
    }
    this.sim.kill();
    this.onDown();
    world.kernel.schedule(downUs, this.#owner, 'start again', () => this.start());
  }

  // ── ends of lives ──────────────────────────────────────────────────────────────────────────────

  #openFailed(life: Life, error: unknown): void {
    if (this.#life !== life) return;
    const { totals, violations } = this.#context;
    if (!isInjected(error)) {
      violations.report('W1', `${this.sim.name} cannot be started: ${describe(error)}`);
      return;
    }
    totals.refusedOpenings += 1;
    note(this.#context, this.sim.name, `refused to start: ${describe(error)}`);
    this.#endLife(life);
  }

  #poisoned(life: Life, error: FlotillaError): void {
    if (this.#life !== life) return;
    const { totals, violations, world } = this.#context;
    totals.poisonedHosts += 1;
    life.isPoisoned = true;
    note(this.#context, this.sim.name, `poisoned: ${describe(error)}`);
    if (!isInjected(error)) {
      violations.report('F1', `${this.sim.name} was poisoned: ${describe(error)}`);
    }
    const afterUs = this.#rng.fork(`poisoned ${life.number}`).between(0, 200_000);
    world.kernel.schedule(afterUs, this.#owner, 'end of a poisoned host', () =>
      this.#endLife(life),
    );
  }

  /** As an operator would: the process ends, by itself or with its machine, and is started again a little later. */
  #endLife(life: Life): void {
    if (this.#life !== life || !this.sim.isRunning) return;
    const rng = this.#rng.fork(`end ${life.number}`);
    const { totals, violations } = this.#context;
    if (life.pendingCalls > 0) {
      const text = `${this.sim.name} is poisoned or refused to start, and ${life.pendingCalls} calls have no answer`;
      violations.report('P2', text);
    }
    totals.crashes += 1;
    if (rng.chance(0.5)) {
      totals.kills += 1;
      this.sim.kill();
    } else {
      totals.powerCuts += 1;
      this.sim.powerCut();
    }
    this.onDown();
    const { kernel } = this.#context.world;
    kernel.schedule(rng.between(10_000, 500_000), this.#owner, 'start again', () => this.start());
  }

  #info(line: string): void {
    note(this.#context, this.sim.name, line);
    // Where a frame is held up half-way for ten seconds, giving up on it is right.
    if (line.startsWith('PROTOCOL_VIOLATION') && !line.includes('deadline')) {
      this.#context.violations.report('P1', `${this.sim.name} says: ${line}`);
    }
  }

  #countRecovery(host: Host, expectsClean: boolean): void {
    const { totals } = this.#context;
    const { verdict, carriedBatches, lastSeq } = host.recovery;
    // A log without a batch has nothing that a clean mark could name.
    if (expectsClean && verdict !== 'clean' && lastSeq > 0) {
      const text = `${this.sim.name} was closed in good order, and opens as ${verdict}`;
      this.#context.violations.report('W1', text);
    }
    if (verdict === 'torn') totals.tornTails += 1;
    totals.carriedBatches += carriedBatches;
  }

  #countMetrics(): void {
    const host = this.#life?.host ?? null;
    if (host === null) return;
    const { totals } = this.#context;
    const metrics = host.metrics();
    totals.entriesApplied += metrics['entriesApplied'] ?? 0;
    totals.walReads += metrics['walReads'] ?? 0;
    totals.appendsQueued += metrics['appendsQueued'] ?? 0;
  }

  /** A replica that stopped by itself, and why; null = none. */
  failedReplica(): string | null {
    for (const [groupId, group] of this.#life?.groups ?? []) {
      const { failure } = group;
      const isFine = failure?.code === 'WAL_POISONED' || failure?.code === 'REPLICA_REMOVED';
      if (failure !== null && !isFine) {
        return `${this.sim.name}, group ${groupId}: ${describe(failure)}`;
      }
    }
    return null;
  }
}

/** Whether the disk error behind it was one of ours. */
function isInjected(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && cause.code === 'EIO') return true;
  }
  return false;
}

export function describe(error: unknown): string {
  if (error instanceof FlotillaError) {
    const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
    return `${error.code}: ${error.message}${cause}`;
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function idOfAddress(remote: string): number {
  return Number(/^127\.0\.0\.(\d+):/.exec(remote)?.[1] ?? 0);
}
