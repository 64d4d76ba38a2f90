// A network of cores under a seeded scheduler, for the property tests. The network loses, repeats and reorders; disks
// finish late, and a crash keeps some prefix of what was handed to them; partitions come and go; clocks drift apart. With
// churn, members come and go too: one-step and joint changes, learners, replicas that begin anew, transfers of leadership,
// compaction and snapshots, leases. The oracle's invariants are checked at every step.

import {
  Configuration,
  type ConfigurationAt,
  type CoreConfig,
  type CoreEvent,
  emptyConfiguration,
  firstReplica,
  type Member,
  type MemberChange,
  Message,
  messageKinds,
  sameMember,
  type Transition,
} from '@flotilla/core';
import { Draw } from './random-configurations.ts';
import type { StartState } from './random-states.ts';
import {
  type Entry,
  expectTrue,
  type Operation,
  type Parcel,
  present,
  SimulatedNode,
} from './simulated-node.ts';
import { Oracle } from './simulation-oracle.ts';
import { baseConfig, listOf } from './single.ts';

export interface SimOptions {
  readonly seed: number;
  /** Voters at the start. */
  readonly nodes: number;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  readonly lossPercent: number;
  readonly crashes: boolean;
  /** Whether members change; more nodes stand by then. */
  readonly churn: boolean;
  /** Whether each core has a twin that is lent to a row where it is steady (steady-twin.ts). */
  readonly twins?: boolean;
  /** What is on the disks at the start; nothing where absent. */
  readonly start?: StartState;
}

const standbyNodes = 3;
const leaseMs = 110;

/** What kind of trouble a run has most of, drawn from its seed: uniform trouble finds only uniform bugs. */
interface Shape {
  /** Old messages linger while new ones pass them. */
  readonly isStale: boolean;
  /** Appends hold one entry, so that most messages end inside a run. */
  readonly isNarrow: boolean;
  /** Weights in a thousand. */
  readonly propose: number;
  readonly cut: number;
  readonly campaign: number;
  readonly change: number;
  readonly compact: number;
  readonly loseDisk: number;
  /** Messages delivered, and disks finished, where others do one: far more is committed between two faults. */
  readonly brisk: number;
}

export class Simulation {
  readonly nodes: SimulatedNode[] = [];
  readonly oracle: Oracle;
  readonly #options: SimOptions;
  readonly #random: Draw;
  readonly #shape: Shape;
  readonly #network: Parcel[] = [];
  #nowMs = 0;
  #nextId = 1;
  #cut = 0;
  #lost: Member | null = null;
  readonly #given = new Set<string>();
  isCalm = false;
  steps = 0;

  constructor(options: SimOptions) {
    this.#options = options;
    this.#random = new Draw(options.seed);
    const random = this.#random;
    const pick = (...values: readonly number[]): number =>
      values[random.below(values.length)] as number;
    this.#shape = {
      isStale: random.chance(50),
      isNarrow: random.chance(50),
      propose: pick(130, 60, 25),
      cut: pick(3, 10, 25),
      campaign: pick(2, 6, 20),
      change: options.churn ? pick(4, 12, 30) : 0,
      compact: options.churn ? pick(1, 5, 15) : 0,
      brisk: pick(1, 1, 5),
      loseDisk: options.churn && options.crashes ? pick(0, 0, 2) : 0,
    };
    const voters = Array.from({ length: options.nodes }, (_, at) => firstReplica(at + 1));
    const initial =
      options.start?.initial ??
      new Configuration({ voters, leaseMs: options.churn ? pick(0, leaseMs) : 0 });
    this.oracle = new Oracle(initial);
    if (options.start !== undefined) this.oracle.begin(options.start);
    this.#nextId = options.start?.nextId ?? 1;
    const count = options.nodes + (options.churn ? standbyNodes : 0);
    for (let id = 1; id <= count; id++) {
      const isMember = id <= options.nodes;
      const rate = options.churn ? 1 + 0.02 * ((id % 3) - 1) : 1;
      const node = new SimulatedNode(id, isMember ? initial : emptyConfiguration, rate);
      const start = options.start?.nodes[id - 1];
      if (start !== undefined) {
        node.startFrom(start);
        for (const at of start.log.configurations()) {
          for (const member of at.configuration.members()) this.#given.add(nameOf(member));
        }
      }
      this.nodes.push(node);
      this.#boot(node);
    }
  }

  get reached(): Record<string, number> {
    return this.oracle.reached;
  }

  #node(id: number): SimulatedNode {
    return this.nodes[id - 1] as SimulatedNode;
  }

  #boot(node: SimulatedNode): void {
    const { seed, preVote, checkQuorum } = this.#options;
    const config: CoreConfig = {
      ...baseConfig,
      nodeId: node.id,
      preVote,
      checkQuorum,
      inflightMessagesMax: 1 + (seed % 5),
      inflightBytesMax: 120,
      appendBytesMax: this.#shape.isNarrow ? 10 : 40,
      ...(this.#options.twins === true
        ? {}
        : { uncommittedBytesMax: seed % 2 === 0 ? 400 : 100_000 }),
    };
    node.boot(config, this.#nowMs, seed, this.#options.twins === true);
    this.oracle.checkBoot(node);
  }

  step(node: SimulatedNode, event: CoreEvent): void {
    this.steps++;
    const { core, out } = node;
    const before = { role: core.role, configuration: core.configuration };
    const { floor } = this.oracle;
    node.twin?.before(out);
    core.step(event, node.clockMs(this.#nowMs), out);
    node.twin?.follow(core, event, node.clockMs(this.#nowMs), out);
    if (event.kind === 'read' && out.readToken > 0) {
      node.openReads.push({ token: out.readToken, floor });
    }
    core.checkInvariants();
    this.oracle.checkStep(node, before, this.nodes);
    // Several steps may share one set of effects, unless one of them appended.
    const isFull = out.appendLast > 0 || out.installIndex > 0;
    if (isFull || this.isCalm || this.#random.chance(70)) this.#carryOut(node);
  }

  /** Plays the host: lays what must be durable, sends, applies. */
  #carryOut(node: SimulatedNode): void {
    const { core, out, queue } = node;
    const { oracle } = this;
    const before = queue.length;
    if (out.hardStateChanged) {
      const { term, votedFor, votedGeneration, commit } = out;
      queue.push({ kind: 'hardState', term, votedFor, votedGeneration, commit });
    }
    if (out.truncateFrom > 0) {
      oracle.count('truncated');
      expectTrue(out.truncateFrom > node.lastCommit, () => 'S4: a committed entry is dropped');
      node.log.truncate(out.truncateFrom);
      queue.push({ kind: 'truncate', from: out.truncateFrom });
    }
    if (out.installIndex > 0) this.#install(node);
    if (out.appendLast > 0) this.#lay(node);
    expectTrue(node.log.lastIndex === core.lastIndex, () => 'the host holds what the core counts');
    const counted = node.log.configurationAt(core.lastIndex).configuration;
    expectTrue(core.configuration.equals(counted), () => 'S10: the last configuration counts');
    if (core.role !== node.lastRole) {
      node.lastRole = core.role;
      if (core.role === 'leader') oracle.checkLeader(node);
    }
    if (out.committedTo > 0) {
      oracle.checkCommit(node, out.committedTo);
      queue.push({ kind: 'commit', commit: out.committedTo });
    }
    const laid = queue.length > before;
    const waiting = listOf(out.afterPersist);
    if (laid || waiting.length > 0) {
      const { term, votedFor, lastIndex } = core;
      const indexTerm = core.termAt(lastIndex);
      const persisted: CoreEvent = {
        kind: 'persisted',
        term,
        votedFor,
        index: lastIndex,
        indexTerm,
      };
      queue.push({ kind: 'mark', messages: waiting, persisted });
    }
    for (const m of listOf(out.messages)) {
      // Appends made before the same effects dropped a suffix: their sender leads no more.
      if (m.kind === messageKinds.append && out.truncateFrom > 0) continue;
      this.#send(node, m);
    }
    for (const nodeId of out.snapshotsNeeded) this.#sendSnapshot(node, nodeId);
    const isRemoved = out.removed;
    out.clear();
    if (!isRemoved) return;
    oracle.checkRemoved(node);
    this.#renew(node);
  }

  /** The node's replica ends durably, and another one of it stands by. */
  #renew(node: SimulatedNode): void {
    node.renew(false);
    this.#boot(node);
  }

  // ── lost disks ─────────────────────────────────────────────────────────────────────────────────

  /** The lost replica, as long as it counts or could: another one may be lost only when this one is out for good. */
  get #counting(): Member | null {
    const lost = this.#lost;
    return lost !== null && this.#isNamedAnywhere(lost) ? lost : null;
  }

  /** A disk is lost for good, where quorums of all that counts or could count are left; the node begins anew, knowing nothing. */
  #loseDisk(node: SimulatedNode): void {
    if (this.#counting !== null) return;
    const { oracle } = this;
    const inForce = [oracle.configurationAt(oracle.committed.length)];
    for (const { core, log, disk } of this.nodes) {
      inForce.push(core.configuration);
      for (const at of [...log.configurations(), ...disk.log.configurations()]) {
        if (at.index > oracle.committed.length) inForce.push(at.configuration);
      }
    }
    const isNeeded = (half: readonly Member[]): boolean =>
      half.length < 3 && half.some(({ nodeId }) => nodeId === node.id);
    if (inForce.some((each) => isNeeded(each.voters) || isNeeded(each.votersOutgoing))) return;
    oracle.count('disk lost');
    this.#lost = memberOf(node);
    node.renew(true);
    this.#boot(node);
  }

  /** What an operator does about it. */
  #replaceLost(node: SimulatedNode, lost: Member): void {
    const transition = node.core.configuration.isJoint ? 'leave' : 'auto';
    const changes =
      transition === 'leave' ? [] : [{ kind: 'remove', nodeId: lost.nodeId } as const];
    this.#carryOut(node);
    this.step(node, { kind: 'configure', transition, changes });
  }

  #install(node: SimulatedNode): void {
    const base = present(node.incoming?.base, 'only a snapshot message brings a snapshot');
    expectTrue(node.out.installIndex === base.index, () => 'what is installed is what came');
    expectTrue(node.out.installTerm === base.term, () => 'what is installed is what came');
    node.log.install(base);
    node.queue.push({ kind: 'install', base });
    this.oracle.checkInstalled(node);
  }

  #lay(node: SimulatedNode): void {
    const { core, out } = node;
    const { appendFirst: first, appendLast: last } = out;
    expectTrue(first === node.log.lastIndex + 1, () => 'entries are laid without a gap');
    const laid: Entry[] = [];
    for (let index = first; index <= last; index++) {
      let entry: Entry;
      if (core.role === 'leader' || out.appendConfiguration !== null) {
        const configuration = out.appendConfiguration;
        entry = {
          term: core.term,
          id: this.#nextId++,
          bytes: index === first ? 5 : 10,
          configuration,
        };
      } else {
        const parcel = present(node.incoming, 'a follower appends only what a message brought');
        const at = index - parcel.message.prevIndex - 1;
        entry = present(parcel.entries[at], 'a follower appends more than a message brought');
      }
      expectTrue(entry.term === core.termAt(index), () => 'the core knows the entry by its term');
      this.oracle.checkLaid(index, entry);
      laid.push(entry);
    }
    node.log.entries.push(...laid);
    node.queue.push({ kind: 'entries', first, entries: laid });
  }

  #send(node: SimulatedNode, m: Message): void {
    this.oracle.checkSent(node, m);
    let entries: Entry[] = [];
    if (m.kind === messageKinds.append) {
      entries = node.log.slice(m.prevIndex + 1, m.lastIndex);
      expectTrue(entries.length === m.lastIndex - m.prevIndex, () => 'an append names its entries');
      const isOneTerm = entries.every((entry) => entry.term === m.entriesTerm);
      expectTrue(isOneTerm, () => 'an append holds entries of one term');
      m.configurations = entries.flatMap(({ configuration }, at): ConfigurationAt[] =>
        configuration === null ? [] : [{ index: m.prevIndex + 1 + at, configuration }],
      );
    }
    this.#post({ message: m, entries, base: null });
  }

  #sendSnapshot(node: SimulatedNode, nodeId: number): void {
    const { core, log } = node;
    const progress = core.progress(nodeId);
    const { base } = log;
    if (progress === null || base.index === 0) return;
    const { generation, stream } = progress;
    const message = Object.assign(new Message(), {
      kind: messageKinds.snapshot,
      from: node.id,
      fromGeneration: node.generation,
      to: nodeId,
      toGeneration: generation,
      term: core.term,
      index: base.index,
      logTerm: base.term,
      stream,
      configurations: [base.at],
    });
    this.#post({ message, entries: [], base });
  }

  #post(parcel: Parcel): void {
    if (this.#network.length > 400) return;
    this.#network.push(parcel);
    if (!this.isCalm && this.#random.chance(this.#options.lossPercent)) this.#network.push(parcel);
  }

  /** Whether the present partition lets a message through: bits of `#cut` are the nodes of one side. */
  #isCut(from: number, to: number): boolean {
    return ((this.#cut >>> from) & 1) !== ((this.#cut >>> to) & 1);
  }

  #deliver(at: number): void {
    const [parcel] = this.#network.splice(at, 1) as [Parcel];
    const { message } = parcel;
    if (this.#isCut(message.from, message.to)) return;
    if (!this.isCalm && this.#random.chance(this.#options.lossPercent)) return;
    const node = this.#node(message.to);
    // Its host drops what is meant for another replica of the node.
    if (message.toGeneration !== node.generation) return;
    node.incoming = parcel;
    this.step(node, { kind: 'message', message });
    node.incoming = null;
  }

  /** The disk finishes one turn's worth. */
  #finishDisk(node: SimulatedNode): void {
    while (node.queue.length > 0) {
      const operation = node.queue.shift() as Operation;
      node.disk.apply(operation);
      if (operation.kind !== 'mark') continue;
      for (const m of operation.messages) this.#send(node, m);
      this.step(node, operation.persisted);
      return;
    }
  }

  #crash(node: SimulatedNode): void {
    this.oracle.count('crash');
    // Any prefix may have reached the disk; nobody was told.
    const kept = this.#random.below(node.queue.length + 1);
    for (const operation of node.queue.slice(0, kept)) node.disk.apply(operation);
    this.#boot(node);
  }

  #tickAll(ms: number): void {
    this.#nowMs += ms;
    for (const node of this.nodes) {
      if (node.core.deadlineMs <= node.clockMs(this.#nowMs)) this.step(node, { kind: 'tick' });
    }
  }

  // ── members ────────────────────────────────────────────────────────────────────────────────────

  /** Asks a node for a change, as an operator would who believes that it leads. */
  #change(node: SimulatedNode): void {
    const random = this.#random;
    const { core } = node;
    if (core.role !== 'leader') return;
    const lost = this.#counting;
    if (lost !== null && isMember(core.configuration, lost)) {
      this.#replaceLost(node, lost);
      return;
    }
    const transitions: readonly Transition[] = [
      'auto',
      'auto',
      'simple',
      'joint',
      'explicit',
      'leave',
    ];
    const transition = transitions[random.below(transitions.length)] as Transition;
    const changes: MemberChange[] = [];
    const wanted = transition === 'leave' ? 0 : 1 + random.below(3);
    for (let i = 0; i < wanted; i++) {
      const target = this.#node(1 + random.below(this.nodes.length));
      const change = this.#wish(core.configuration, target);
      if (change !== null) changes.push(change);
    }
    // The wish may have begun a replica anew, this one among them.
    if (node.core !== core) return;
    const isLease = random.chance(10);
    const lease = isLease ? { leaseMs: random.chance(50) ? leaseMs : 0 } : {};
    this.#carryOut(node);
    this.step(node, { kind: 'configure', transition, changes, ...lease });
  }

  #wish(configuration: Configuration, target: SimulatedNode): MemberChange | null {
    const random = this.#random;
    const kind = (['voter', 'voter', 'learner', 'remove'] as const)[random.below(4)];
    if (kind === 'remove') return { kind, nodeId: target.id };
    const known = configuration.memberOf(target.id);
    if (known !== null) return { kind: kind ?? 'voter', member: known };
    // A generation is given out once, also where nothing came of it: who is filled with the entries of an earlier addition
    // and removal would take itself for removed. A new replica begins only when no log names the old one any more.
    const isFresh = target.core.lastIndex === 0 && target.core.term === 0;
    if (!isFresh || this.#given.has(nameOf(memberOf(target)))) {
      if (this.#isNamedAnywhere(memberOf(target))) return null;
      this.oracle.count('replica begun anew');
      this.#renew(target);
    }
    this.#given.add(nameOf(memberOf(target)));
    return { kind: kind ?? 'voter', member: memberOf(target) };
  }

  /** Whether anything that could still be elected or committed names this replica. */
  #isNamedAnywhere(target: Member): boolean {
    const isIn = (configuration: Configuration | null): boolean =>
      configuration !== null && isMember(configuration, target);
    const { committed } = this.oracle;
    if (isIn(this.oracle.configurationAt(committed.length))) return true;
    for (const node of this.nodes) {
      if (isIn(node.core.configuration)) return true;
      for (const log of [node.log, node.disk.log]) {
        const above = (index: number): boolean => index > committed.length;
        if (log.configurations().some((at) => above(at.index) && isIn(at.configuration)))
          return true;
      }
    }
    return this.#network.some(({ entries }) => entries.some((entry) => isIn(entry.configuration)));
  }

  /** The state machine is saved up to what it applied, and the log before it goes. */
  #compact(node: SimulatedNode): void {
    this.#carryOut(node);
    const { core, log } = node;
    const room = core.commitIndex - log.base.index;
    if (room <= 0) return;
    const index = log.base.index + 1 + this.#random.below(room);
    const at = log.configurationAt(index);
    // A replica that is filled from the first entry on does not know what the group began with: no snapshot says so.
    if (at.configuration.voters.length === 0) return;
    const base = { index, term: core.termAt(index), at };
    this.oracle.count('compacted');
    node.queue.push({ kind: 'compact', base });
    log.compact(base);
    this.step(node, { kind: 'compact', index });
  }

  /** One random thing happens. */
  turn(): void {
    const random = this.#random;
    const shape = this.#shape;
    const node = this.nodes[random.below(this.nodes.length)] as SimulatedNode;
    const { churn, crashes } = this.#options;
    const anyNode = (): number => 1 + random.below(this.nodes.length);
    let what = random.below(1000);
    const isIt = (weight: number): boolean => {
      what -= weight;
      return what < 0;
    };
    if (isIt(shape.propose)) {
      const count = 1 + random.below(3);
      this.step(node, { kind: 'propose', count, bytes: count * 10 - 5 });
    } else if (isIt(shape.cut)) {
      // Nobody, one node (a leader that goes on writing for itself), or any two sides.
      const sides = [0, 1 << node.id, random.below(1 << (this.nodes.length + 1))];
      this.#cut = sides[random.below(3)] as number;
    } else if (isIt(shape.campaign)) {
      this.step(node, { kind: 'campaign', preVote: random.chance(50) });
    } else if (isIt(30)) {
      this.step(node, { kind: 'read', viaLeader: churn, byQuorum: random.chance(30) });
    } else if (isIt(8)) {
      this.step(node, { kind: random.chance(50) ? 'peerLost' : 'peerBack', nodeId: anyNode() });
    } else if (isIt(crashes ? 6 : 0)) {
      this.#crash(node);
    } else if (isIt(shape.change)) {
      this.#change(this.#leader() ?? node);
    } else if (isIt(shape.compact)) {
      this.#compact(node);
    } else if (isIt(churn ? 8 : 0)) {
      const nodeId = anyNode();
      if (random.chance(50)) this.step(node, { kind: 'snapshotFailed', nodeId });
      else this.step(this.#leader() ?? node, { kind: 'transfer', nodeId });
    } else if (isIt(churn ? 1 : 0)) {
      this.step(node, { kind: 'voidLease' });
    } else if (isIt(shape.loseDisk)) {
      this.#loseDisk(node);
    } else if (isIt(80)) {
      this.#tickAll(random.below(12));
    } else if (isIt(240)) {
      this.#finishDisk(node);
      for (let i = 1; i < shape.brisk; i++) this.#finishDisk(this.#node(anyNode()));
    } else if (this.#network.length > 0) {
      for (let i = 0; i < shape.brisk && this.#network.length > 0; i++) {
        this.#deliver(this.#drawParcel());
      }
    } else {
      this.#tickAll(random.below(30));
    }
  }

  /** One of those who believe that they lead. */
  #leader(): SimulatedNode | undefined {
    const leaders = this.nodes.filter(({ core }) => core.role === 'leader');
    return leaders[this.#random.below(Math.max(1, leaders.length))];
  }

  #drawParcel(): number {
    const at = this.#random.below(this.#network.length);
    const isNewer = this.#shape.isStale && this.#random.chance(90);
    return isNewer ? Math.max(at, this.#random.below(this.#network.length)) : at;
  }

  /** All faults end. Answers the virtual time it took until one leader stood and all logs were equal and committed. */
  heal(limitMs: number): number {
    this.isCalm = true;
    this.#cut = 0;
    const startMs = this.#nowMs;
    while (this.#nowMs - startMs < limitMs) {
      this.#tickAll(1);
      for (let left = this.#network.length; left > 0; left--) this.#deliver(0);
      for (const node of this.nodes) {
        this.#carryOut(node);
        while (node.queue.length > 0) this.#finishDisk(node);
      }
      if (this.#options.churn) this.#tidyUp();
      if (this.#isSettled()) return this.#nowMs - startMs;
    }
    throw new Error(`L1: not settled after ${limitMs} ms: ${this.#describe()}`);
  }

  /** What operators and hosts do once faults end: removed replicas are taken away, lost snapshots reported. */
  #tidyUp(): void {
    const lost = this.#counting;
    for (const node of this.nodes) {
      const { core } = node;
      if (lost !== null && core.role === 'leader' && isMember(core.configuration, lost)) {
        this.#replaceLost(node, lost);
      }
      if (core.lastIndex > 0 && !this.#isNamedAnywhere(memberOf(node))) {
        this.#renew(node);
      }
      if (core.role !== 'leader' || this.#network.length > 0) continue;
      for (const { id } of this.nodes) {
        if (core.progress(id)?.awaitsSnapshot) {
          this.step(node, { kind: 'snapshotFailed', nodeId: id });
        }
      }
    }
  }

  #isSettled(): boolean {
    const leader = this.nodes.find((node) => node.core.role === 'leader');
    if (leader === undefined) return false;
    const { core: led } = leader;
    return led.configuration.members().every((member) => {
      const { core, generation } = this.#node(member.nodeId);
      return (
        member.generation === generation &&
        core.term === led.term &&
        core.leader === leader.id &&
        core.lastIndex === led.lastIndex &&
        core.commitIndex === core.lastIndex &&
        core.configuration.equals(led.configuration)
      );
    });
  }

  #describe(): string {
    return this.nodes
      .map(({ id, generation, core }) => {
        const peers = this.nodes.map((other) => JSON.stringify(core.progress(other.id))).join(' ');
        const { votingIds, learners } = core.configuration;
        const members = `${votingIds.join()}/${learners.map(({ nodeId }) => nodeId).join()}`;
        return `${id}g${generation}: ${core.role} t${core.term} f${core.firstIndex} l${core.lastIndex} c${core.commitIndex} [${members}] ${peers}`;
      })
      .join('; ');
  }

  /** Proposes on the leader, after heal(). */
  proposeCalmly(): void {
    const leader = this.nodes.find((node) => node.core.role === 'leader');
    if (leader !== undefined) this.step(leader, { kind: 'propose', count: 1, bytes: 5 });
  }
}

function memberOf({ id, generation }: SimulatedNode): Member {
  return { nodeId: id, generation, instance: 0 };
}

function isMember(configuration: Configuration, member: Member): boolean {
  const known = configuration.memberOf(member.nodeId);
  return known !== null && sameMember(known, member);
}

function nameOf({ nodeId, generation }: Member): string {
  return `${nodeId}g${generation}`;
}
