// The engine of a host: all its replicas, one log, one transport, turned in turns.
//
// A turn is everything between two `nextTurn`s of the clock. Frames are stepped as they arrive, because the bytes of an
// append are valid only then; what the steps ask for is carried out at once into memory (records into the log's slab,
// messages into the frames of peers). When the turn runs, it adds what is due (durable entries, timers, calls), sends one
// frame a lane and peer, ends the turn in the log (which starts the write where none is in flight), and applies what is
// committed. Nothing here is O(groups) unless every group has something to do.
//
// Order that safety rests on:
// 1. A HardState is laid before the entries of the same step: every prefix of the log is a state that existed.
// 2. Messages that promise something are held until the position at which the turn ended is durable.
// 3. `persisted` is stepped for what had been handed to the log in a turn, once that turn's end is durable.
// 4. The durable callback sends and posts; it never steps a core.

import { frameKinds } from '@flotilla/codec';
import {
  type CoreConfig,
  type CoreEvent,
  Effects,
  Message,
  messageKinds,
  type RaftCore,
  SteadyRows,
  tickRefused,
} from '@flotilla/core';
import { alignedMemory, type Clock, FlotillaError, type Timer } from '@flotilla/io';
import type { Lane, Peer, ReceivedFrame, TransportEvents } from '@flotilla/transport';
import type { VoteIdentity, Wal, WalEvents } from '@flotilla/wal';
import { type ApplyEvents, ApplyQueue } from './apply-queue.ts';
import { BlockWriter } from './block-writer.ts';
import type { CallTable } from './calls.ts';
import { Inbox } from './inbox.ts';
import { IncomingAppend } from './incoming-append.ts';
import { LeaseGuard } from './lease-guard.ts';
import { LiveFrames } from './live-frames.ts';
import { LostWaits } from './lost-waits.ts';
import { Members, progressOf } from './members.ts';
import { membershipOf, nodeIdsOf } from './membership.ts';
import { EngineCounters } from './metrics.ts';
import { PeerLink, type PeerLinkEvents } from './peer-link.ts';
import { type PersistedEvent, PersistQueue } from './persist-queue.ts';
import { CompletionBatch, type EnginePort, type SubmissionBatch, statusOf } from './port.ts';
import { type PositionDone, PositionWaits } from './position-waits.ts';
import { Prefetch, prefetchCount } from './prefetch.ts';
import { ReadDesk } from './read-desk.ts';
import { noMachine, type Replica } from './replica.ts';
import type { ReplicaColumns } from './replica-columns.ts';
import { ReplicaTable } from './replica-table.ts';
import { SteadyLane } from './steady-lane.ts';
import { type Stepper, SubmissionDesk } from './submission-desk.ts';
import { TimerWheel } from './timer-wheel.ts';
import { TransferDesk } from './transfer-desk.ts';

/** Each host says something on each connection this often. */
const beatMs = 1000;

const closed = statusOf('CLOSED');
const groupFatal = statusOf('GROUP_FATAL');
const walPoisoned = statusOf('WAL_POISONED');
const replicaRemoved = statusOf('REPLICA_REMOVED');

const noVote: VoteIdentity = { nodeId: 0, generation: 0, instance: 0 };

const { append, appendAnswer } = messageKinds;

export interface EngineOptions {
  readonly clock: Clock;
  readonly calls: CallTable;
  readonly nodeId: number;
  /** What is known of a node's data directory, 0 = nothing. */
  readonly instanceOf: (nodeId: number) => number;
  /** A replica was removed: its tombstone stands in the log, not yet durably. */
  readonly onRemoved: (replica: Replica) => void;
  /** Another configuration counts for the replica than before, or the one that does is committed now. */
  readonly onMembershipChanged: (replica: Replica) => void;
  readonly windowLimits: Pick<CoreConfig, 'inflightMessagesMax' | 'inflightBytesMax'>;
  readonly onInfo: (line: string) => void;
  readonly onPoisoned: (error: FlotillaError) => void;
  /** First contact with a peer whose instance the membership left open. */
  readonly onPeerIdentity: (nodeId: number, instance: number) => void;
}

export class Engine implements EnginePort, WalEvents, TransportEvents, ApplyEvents, PeerLinkEvents {
  readonly counters: EngineCounters = new EngineCounters();
  readonly #options: EngineOptions;
  readonly #clock: Clock;
  readonly #calls: CallTable;
  readonly #wheel: TimerWheel<Replica>;
  readonly #out: Effects = new Effects();
  readonly #message: Message = new Message();
  readonly #scratch: Message = new Message();
  readonly #rows: SteadyRows;
  readonly #persist: PersistQueue;
  readonly #completions: CompletionBatch = new CompletionBatch();
  readonly #reads: ReadDesk;
  readonly #transfers: TransferDesk = new TransferDesk(this.#completions);
  readonly #lostWaits: LostWaits;
  readonly #stepper: Stepper;
  readonly #members: Members;
  readonly #leases: LeaseGuard;
  #wal!: Wal;
  #incoming!: IncomingAppend;
  #blocks!: BlockWriter;
  #live!: LiveFrames;
  #apply!: ApplyQueue;
  #lane!: SteadyLane;
  #inbox!: Inbox;
  #prefetch!: Prefetch;
  #desk!: SubmissionDesk;
  readonly #table: ReplicaTable = new ReplicaTable();
  /** By handle number. */
  readonly #replicas: readonly Replica[] = this.#table.all;
  readonly #links: PeerLink[] = [];
  readonly #linkByNode = new Map<number, PeerLink>();
  #laneChanges: { readonly nodeId: number; readonly isUp: boolean }[] = [];
  readonly #positionWaits: PositionWaits = new PositionWaits();
  #nowMs = 0;
  #isTurnDue = false;
  #beatTimer: Timer | null = null;
  #isStopped = false;

  // Reused events.
  readonly #tick: CoreEvent = { kind: 'tick' };
  readonly #received: CoreEvent;
  readonly #persisted: PersistedEvent = {
    kind: 'persisted',
    term: 0,
    votedFor: 0,
    index: 0,
    indexTerm: 0,
  };

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#rows = new SteadyRows(
      options.windowLimits,
      (bytes) => alignedMemory(bytes)?.bytes.buffer ?? null,
    );
    this.#persist = new PersistQueue(this.#rows);
    this.#clock = options.clock;
    this.#calls = options.calls;
    this.#wheel = new TimerWheel(options.clock, () => this.wake());
    this.#reads = new ReadDesk(this.#completions, options.clock, () => this.wake());
    this.#leases = new LeaseGuard(options.clock);
    this.#lostWaits = new LostWaits(this.#completions, this.counters, () => this.wake());
    this.#stepper = {
      step: (replica, event) => this.#step(replica, event),
      proposed: (replica, count, bytes) => this.#proposedSteadily(replica, count, bytes),
      wake: () => this.wake(),
      now: () => this.#nowMs,
    };
    this.#members = new Members(
      {
        clock: options.clock,
        completions: this.#completions,
        linkOf: (nodeId) => this.#linkByNode.get(nodeId),
        stepper: this.#stepper,
      },
      this.#table,
      this.#leases,
      {
        remove: (replica) => this.removeReplica(replica),
        onMembershipChanged: options.onMembershipChanged,
      },
    );
    this.#received = { kind: 'message', message: this.#message };
  }

  /** Once, before anything else: the log that this engine was given to as its events. */
  attachWal(wal: Wal): void {
    this.#wal = wal;
    this.#prefetch = new Prefetch(wal, this.#table, this.#rows);
    this.#incoming = new IncomingAppend(wal);
    this.#blocks = new BlockWriter(wal);
    this.#live = new LiveFrames(wal, this.#links);
    this.#apply = new ApplyQueue(
      wal,
      this.#clock,
      this.counters,
      this.#completions,
      this.#reads,
      this,
    );
    this.#lane = new SteadyLane({
      rows: this.#rows,
      wal,
      blocks: this.#blocks,
      live: this.#live,
      incoming: this.#incoming,
      apply: this.#apply,
      persist: this.#persist,
      members: this.#members,
      links: this.#links,
      replicas: this.#replicas,
    });
    this.#inbox = new Inbox(this.#message, {
      table: this.#table,
      rows: this.#rows,
      lane: this.#lane,
      incoming: this.#incoming,
      members: this.#members,
      prefetch: this.#prefetch,
      wal,
      counters: this.counters,
      step: (replica) => this.#step(replica, this.#received),
      failReplica: (replica, cause) => this.failReplica(replica, cause),
    });
    this.#desk = new SubmissionDesk(this.#stepper, {
      replicas: this.#replicas,
      columns: this.#table.columns,
      rows: this.#rows,
      wal,
      blocks: this.#blocks,
      live: this.#live,
      prefetch: this.#prefetch,
      reads: this.#reads,
      transfers: this.#transfers,
      memberships: this.#members.desk,
      completions: this.#completions,
      counters: this.counters,
    });
  }

  attachPeer(peer: Peer): void {
    const link = new PeerLink(peer, this.#links.length, this.#wal, this.counters, this);
    this.#links.push(link);
    this.#linkByNode.set(peer.nodeId, link);
    if (this.#beatTimer === null) this.#armBeat();
  }

  /**
   * A host that only listens would never find out that a connection of its broke silently, and only the smaller node id
   * dials: a learner has nothing to say of its own, and a follower nothing on the append lane while nothing comes there.
   * Either would be left out for good.
   */
  #armBeat(): void {
    if (this.#isStopped) return;
    this.#beatTimer = this.#clock.at(this.#clock.monotonicMs() + beatMs, () => {
      for (const link of this.#links) link.beat();
      this.wake();
      this.#armBeat();
    });
  }

  get open(): SubmissionBatch {
    return this.#desk.open;
  }

  /** Bytes read back from the log for followers and not sent yet. */
  get catchUpBytes(): number {
    let bytes = 0;
    for (const link of this.#links) bytes += link.loadBytes;
    return bytes;
  }

  /** What new replicas stand in. */
  get columns(): ReplicaColumns {
    return this.#table.columns;
  }

  get replicaCount(): number {
    return this.#replicas.length;
  }

  replica(groupId: number): Replica | undefined {
    return this.#table.find(groupId);
  }

  refreshView(number: number): void {
    const replica = this.#replicas[number] as Replica;
    const { appliedIndex, core, view } = replica;
    view.members = nodeIdsOf(core.configuration);
    view.membership = membershipOf(core);
    view.progress = replica.isEnded ? null : progressOf(core);
    view.commitIndex = core.commitIndex;
    view.lastIndex = core.lastIndex;
    view.appliedIndex = appliedIndex;
  }

  addReplica(replica: Replica): void {
    this.#table.add(replica);
    this.#rows.addRow(replica.number);
    this.#members.configured(replica);
    this.#showState(replica);
    this.#wheel.file(replica, replica.core.deadlineMs);
    this.#apply.add(replica);
    this.wake();
  }

  /** Calls back when everything laid so far is durable, or with why it never will be. */
  whenDurable(done: PositionDone): void {
    this.#positionWaits.add(this.#wal.position, done);
    this.wake();
  }

  wake(): void {
    if (this.#isTurnDue || this.#isStopped) return;
    this.#isTurnDue = true;
    this.#clock.nextTurn(() => this.#turn());
  }

  /** Ends every call and every group; nothing is stepped any more. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#wheel.stop();
    this.#beatTimer?.cancel();
    this.#reads.stop();
    this.#members.desk.stop();
    this.#failAll(closed, null);
    for (const replica of this.#replicas) this.#closeMachine(replica);
  }

  // ── the turn ───────────────────────────────────────────────────────────────────────────────────

  #turn(): void {
    this.#isTurnDue = false;
    if (this.#isStopped || this.#wal.poisoned !== null) return;
    this.counters.turns++;
    const nowMs = this.#readClock();
    this.#handleLaneChanges();
    this.#takePersisted();
    this.#wheel.takeDue(nowMs, (replica) => {
      if (replica.isEnded) return Infinity;
      const dueMs = this.#rows.tick(replica.number, nowMs);
      if (dueMs !== tickRefused) return dueMs;
      this.#step(replica, this.#tick);
      return replica.isEnded ? Infinity : replica.core.deadlineMs;
    });
    this.#lostWaits.giveUpDeposed();
    this.#desk.take();
    for (const link of this.#links) if (link.hasWork) link.flush(this.#scratch);
    this.#live.flush();
    const position = this.#wal.endTurn();
    this.#persist.endTurn(position);
    for (const link of this.#links) link.endTurn(position);
    if (position <= this.#wal.durablePosition) this.#releaseUpTo(position);
    this.#apply.run(nowMs);
    this.#deliver();
  }

  /** Steps take the time at which their turn or frame began: a clock read a step would cost as much as some steps. */
  #readClock(): number {
    // Whole milliseconds stay small integers in the cores, where a fraction would be an object of its own.
    const monotonicMs = this.#clock.monotonicMs();
    this.#nowMs = Math.floor(monotonicMs);
    if (this.#leases.isWatching && this.#leases.hasJumped(monotonicMs)) this.#voidLeases();
    return this.#nowMs;
  }

  #voidLeases(): void {
    this.#options.onInfo('wall time ran ahead of the monotonic clock: leases begin anew');
    for (const replica of this.#replicas) {
      if (replica.isEnded || replica.core.configuration.leaseMs === 0) continue;
      this.#step(replica, { kind: 'voidLease' });
    }
  }

  /** Goes on with what became durable. */
  #takePersisted(): void {
    const due = this.#persist.takeDue();
    if (due.isEmpty) return;
    const { committed, stepped } = due;
    for (let i = 0; i < committed.length; i++) {
      if (i % prefetchCount === 0) this.#prefetch.numbers(committed, i, true);
      const replica = this.#replicas[committed[i] as number] as Replica;
      if (!replica.isEnded) this.#lane.committed(replica);
    }
    for (let i = 0; i < stepped.length; i++) {
      if (i % prefetchCount === 0) this.#prefetch.numbers(stepped, i, true);
      due.read(i, this.#persisted);
      this.#step(this.#replicas[stepped[i] as number] as Replica, this.#persisted);
    }
  }

  // ── one step ───────────────────────────────────────────────────────────────────────────────────

  /**
   * Steps a core and carries out what it asks for; then it is lent to its row where it is steady. A broken invariant
   * stops this replica, not the host.
   */
  #step(replica: Replica, event: CoreEvent): void {
    if (replica.isEnded) return;
    const { core } = replica;
    const out = this.#out;
    try {
      core.step(event, this.#nowMs, out);
      this.#carryOut(replica, event.kind);
    } catch (error) {
      this.failReplica(replica, error);
    }
    out.clear();
    if (replica.isEnded) return;
    core.lend(this.#rows, replica.number);
    if (core.deadlineMs < replica.wheelDueMs) this.#wheel.file(replica, core.deadlineMs);
  }

  #proposedSteadily(replica: Replica, count: number, bytes: number): void {
    try {
      this.#lane.proposed(replica, count, bytes, this.#nowMs);
    } catch (error) {
      this.failReplica(replica, error);
    }
    this.wake();
  }

  #carryOut(replica: Replica, kind: CoreEvent['kind']): void {
    const out = this.#out;
    const core = replica.core;
    const wal = this.#wal;
    const isLaid = kind === 'propose';
    if (out.hardStateChanged) {
      const vote = this.#voteIdentity(core, out.votedFor, out.votedGeneration);
      wal.layHardState(replica.slot, out.term, vote, out.commit);
      this.#persist.note(replica);
    }
    if (out.truncateFrom > 0) {
      // What stood there will never be applied: another leader's entries take its place.
      this.#lostWaits.end(replica, out.truncateFrom - 1);
      if (out.truncateFrom !== out.appendFirst) wal.layTruncate(replica.slot, out.truncateFrom);
    }
    if (out.appendFirst > 0) {
      if (core.role !== 'leader') {
        this.#incoming.lay(replica, this.#message.entriesTerm, out.appendFirst, out.appendLast);
      } else {
        if (!isLaid)
          this.#blocks.writeOwn(replica, out.appendFirst, core.term, out.appendConfiguration);
        this.#persist.note(replica);
      }
    }
    if (out.configurationChanged) this.#members.configured(replica);
    for (let i = 0; i < out.messages.count; i++) this.#route(replica, out.messages.at(i), isLaid);
    for (let i = 0; i < out.afterPersist.count; i++) {
      const message = out.afterPersist.at(i);
      const frame = message.kind === appendAnswer ? frameKinds.appendAnswer : frameKinds.control;
      const link = this.#linkByNode.get(message.to);
      if (link === undefined || !this.#members.mayTalk(replica, link.peer)) continue;
      link.hold(message, replica.groupId, frame);
      this.wake();
    }
    if (kind === 'configure') {
      this.#members.desk.stepped(replica, out.proposedFirst, out.refusal);
    }
    if (out.stateChanged) this.#stateChanged(replica);
    if (out.logReverted)
      throw new Error('its leader finds that it lost entries it had acknowledged');
    if (out.committedTo > 0) {
      wal.noteCommit(replica.slot, out.committedTo);
      // At once, while all that belongs to this group is in the processor's cache.
      this.#apply.apply(replica, core.commitIndex);
      this.wake();
    }
    if (out.readToken > 0) {
      this.counters.readRounds++;
      this.#reads.join(replica, out.readToken);
    }
    if (out.readsVoid) this.#reads.voidRounds(replica);
    for (const { token, index } of out.reads) {
      if (this.#reads.confirm(replica, token, index)) this.#apply.add(replica);
    }
    if (out.readsVoid || out.reads.length > 0) this.wake();
    if (out.committedTo > 0 && !replica.isConfigurationSettled) this.#members.committed(replica);
    if (out.snapshotsNeeded.length > 0) this.#sayNeedsSnapshot(replica);
    const { desk } = this.#members;
    if (!desk.isIdle && (out.stateChanged || out.committedTo > 0)) desk.changed(replica);
    if (out.removed && core.isRemoved) this.removeReplica(replica);
  }

  /** Snapshots do not exist yet: its progress says `awaitsSnapshot`, and an operator hears of it once. */
  #sayNeedsSnapshot(replica: Replica): void {
    if (replica.isSnapshotTold) return;
    replica.isSnapshotTold = true;
    this.#options.onInfo(
      `group ${replica.groupId}: what host ${this.#out.snapshotsNeeded.join(', ')} misses has left the log: remove it from the group`,
    );
  }

  #voteIdentity(core: RaftCore, nodeId: number, generation: number): VoteIdentity {
    if (nodeId === 0) return noVote;
    const member = core.configuration.memberOf(nodeId);
    const isNamed = member !== null && member.generation === generation && member.instance !== 0;
    const isSelf = nodeId === this.#options.nodeId;
    const instance = isNamed && !isSelf ? member.instance : this.#options.instanceOf(nodeId);
    return { nodeId, generation, instance };
  }

  #route(replica: Replica, message: Message, isLaid: boolean): void {
    const link = this.#linkByNode.get(message.to);
    if (link === undefined || !this.#members.mayTalk(replica, link.peer)) return;
    this.wake();
    if (message.kind !== append) {
      link.addControl(message, replica.groupId);
      return;
    }
    const { lastIndex, prevIndex } = message;
    const sharedAt = isLaid ? this.#live.offsetOf(this.#blocks, prevIndex + 1, lastIndex) : -1;
    link.addNew(replica, message, sharedAt);
  }

  #stateChanged(replica: Replica): void {
    const isLeader = replica.core.role === 'leader';
    if (isLeader && !replica.wasLeader) this.counters.elections++;
    if (!isLeader && replica.wasLeader) {
      this.counters.leadershipsLost++;
      this.#lostWaits.deposed(replica);
    }
    replica.wasLeader = isLeader;
    this.#transfers.stateChanged(replica);
    this.#showState(replica);
  }

  #showState(replica: Replica): void {
    const { core, view } = replica;
    if (replica.isEnded) return;
    view.role = core.role;
    view.term = core.term;
    view.leader = core.leader;
  }

  // ── what arrives ───────────────────────────────────────────────────────────────────────────────

  onFrame(peer: Peer, frame: ReceivedFrame): void {
    if (this.#isStopped || this.#wal.poisoned !== null) return;
    const nowMs = this.#readClock();
    this.#handleLaneChanges();
    const link = this.#linkByNode.get(peer.nodeId);
    if (link === undefined) return;
    this.#inbox.take(link, frame, nowMs);
    this.wake();
  }

  onLaneUp(peer: Peer, lane: Lane): void {
    this.#laneChanged(peer, lane, true);
  }

  onLaneDown(peer: Peer, lane: Lane): void {
    this.#laneChanged(peer, lane, false);
  }

  #laneChanged({ nodeId }: Peer, lane: Lane, isUp: boolean): void {
    if (lane !== 'append') return;
    // Not stepped here: the transport may call from inside a send of this engine.
    this.#laneChanges.push({ nodeId, isUp });
    this.wake();
  }

  #handleLaneChanges(): void {
    if (this.#laneChanges.length === 0) return;
    const changes = this.#laneChanges;
    this.#laneChanges = [];
    for (const { nodeId, isUp } of changes) {
      if (!isUp) this.#linkByNode.get(nodeId)?.dropAppends();
      const event: CoreEvent = { kind: isUp ? 'peerBack' : 'peerLost', nodeId };
      for (const replica of this.#replicas) {
        // Only a leader keeps a stream to its peers.
        if (!replica.isEnded && replica.core.role === 'leader') this.#step(replica, event);
      }
    }
  }

  onDrain(peer: Peer): void {
    const link = this.#linkByNode.get(peer.nodeId);
    if (link === undefined || link.queuedAppends === 0) return;
    link.hasWork = true;
    this.wake();
  }

  onPeerIdentity(peer: Peer, instance: number): void {
    this.#options.onPeerIdentity(peer.nodeId, instance);
  }

  onInfo(line: string): void {
    this.#options.onInfo(line);
  }

  onProblem(error: FlotillaError): void {
    this.#options.onInfo(`${error.code}: ${error.message}`);
  }

  // ── the log's events ───────────────────────────────────────────────────────────────────────────

  onDurable(position: number): void {
    this.#releaseUpTo(position);
    if (this.open.count > 0) this.wake();
  }

  #releaseUpTo(position: number): void {
    for (const link of this.#links) link.release(position);
    if (this.#persist.durable(position)) this.wake();
    this.#positionWaits.durable(position);
  }

  /** Entries that the log was to write again are damaged: that replica stops, the others are not concerned. */
  onGroupDamaged(slot: number, error: FlotillaError): void {
    const replica = this.#replicas.find((each) => each.slot === slot && !each.isEnded);
    if (replica !== undefined) this.failReplica(replica, error);
  }

  onPoisoned(error: FlotillaError): void {
    this.#failAll(walPoisoned, error);
    this.#options.onPoisoned(error);
  }

  // ── failure ────────────────────────────────────────────────────────────────────────────────────

  failReplica(replica: Replica, cause: unknown): void {
    const why = cause instanceof Error ? cause.message : String(cause);
    const error =
      cause instanceof FlotillaError
        ? cause
        : new FlotillaError(
            'GROUP_FATAL',
            `group ${replica.groupId} stopped: ${why}`,
            { groupId: replica.groupId },
            cause,
          );
    this.counters.groupFailures++;
    this.#endReplica(replica, groupFatal);
    replica.isFailed = true;
    replica.view.failure = error;
    replica.view.role = 'failed';
    this.#options.onInfo(error.message);
  }

  /** Ends a replica that is no member any more, or is to be given up: what stays is a tombstone in the log. */
  removeReplica(replica: Replica): void {
    if (replica.isRemoved) return;
    const { groupId, slot, view } = replica;
    const wasServing = !replica.isEnded;
    this.#endReplica(replica, replicaRemoved);
    replica.isFailed = true;
    replica.isRemoved = true;
    view.role = 'removed';
    view.failure = new FlotillaError(
      'REPLICA_REMOVED',
      `this host's replica of group ${groupId} was removed`,
      { groupId },
    );
    this.#table.remove(replica);
    this.#wal.removeGroup(slot);
    if (wasServing || replica.stateMachine !== noMachine) this.#closeMachine(replica);
    replica.stateMachine = noMachine;
    this.#options.onRemoved(replica);
  }

  #closeMachine({ groupId, stateMachine }: Replica): void {
    try {
      stateMachine.close?.();
    } catch (error) {
      this.#options.onInfo(
        `the state machine of group ${groupId} failed to close: ${String(error)}`,
      );
    }
  }

  #failAll(status: number, error: FlotillaError | null): void {
    for (const replica of this.#replicas) {
      if (replica.isFailed) continue;
      this.#endReplica(replica, status);
      replica.isFailed = error !== null;
      replica.view.failure = error;
      replica.view.role = error === null ? 'closed' : 'failed';
    }
    this.#desk.refuseAll(status);
    const ended = error ?? new FlotillaError('CLOSED', 'the host is closed');
    this.#positionWaits.fail(ended);
    this.#deliver();
  }

  #endReplica(replica: Replica, status: number): void {
    this.#calls.endGroup(replica.number);
    this.#lostWaits.end(replica, 0);
    this.#reads.refuseAll(replica, status);
    this.#transfers.refuse(replica, status);
    this.#members.desk.refuse(replica, status);
    replica.isEnded = true;
    replica.endStatus = status;
    replica.core.reclaim();
    this.#wheel.remove(replica);
    this.wake();
  }

  #deliver(): void {
    if (this.#completions.count === 0) return;
    this.#calls.deliver(this.#completions);
    this.#completions.clear();
  }
}
