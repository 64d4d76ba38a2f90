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
import { type CoreEvent, Effects, Message, messageKinds, type RaftCore } from '@flotilla/core';
import { type Clock, FlotillaError } from '@flotilla/io';
import type { Lane, Peer, ReceivedFrame, TransportEvents } from '@flotilla/transport';
import type { VoteIdentity, Wal, WalEvents } from '@flotilla/wal';
import type { StateMachine } from './api.ts';
import { type ApplyEvents, ApplyQueue } from './apply-queue.ts';
import { BlockWriter } from './block-writer.ts';
import type { CallTable } from './calls.ts';
import { DeferredSteps, type PersistedEvent } from './deferred-steps.ts';
import { encodeConfiguration } from './configuration-codec.ts';
import { IncomingAppend } from './incoming-append.ts';
import { LeaseGuard } from './lease-guard.ts';
import { LiveFrames } from './live-frames.ts';
import { isAnswer, Members, progressOf } from './members.ts';
import { membershipOf, nodeIdsOf } from './membership.ts';
import { EngineCounters } from './metrics.ts';
import { PeerLink, type PeerLinkEvents } from './peer-link.ts';
import { PersistQueue } from './persist-queue.ts';
import {
  CompletionBatch,
  type EnginePort,
  noTicket,
  type SubmissionBatch,
  statusOf,
} from './port.ts';
import { Prefetch, prefetchCount } from './prefetch.ts';
import { ReadDesk } from './read-desk.ts';
import type { Replica } from './replica.ts';
import { ReplicaTable } from './replica-table.ts';
import { type Stepper, SubmissionDesk, walPendingBytesMax } from './submission-desk.ts';
import { TimerWheel } from './timer-wheel.ts';
import { TransferDesk } from './transfer-desk.ts';
import {
  isHostRecord,
  messageBytesAt,
  messageGroupId,
  messageSharedAt,
  messageToGeneration,
  readMessage,
} from './wire.ts';

/** Bytes laid and not durable above which a follower takes no entries. */
const walHeldBytesMax = 2 * walPendingBytesMax;

const outcomeUnknown = statusOf('OUTCOME_UNKNOWN');
const closed = statusOf('CLOSED');
const groupFatal = statusOf('GROUP_FATAL');
const walPoisoned = statusOf('WAL_POISONED');
const replicaRemoved = statusOf('REPLICA_REMOVED');

const noVote: VoteIdentity = { nodeId: 0, generation: 0, instance: 0 };
/** In place of the state machine of a replica that was removed. */
const noMachine: StateMachine = { apply(): void {} };

const { append, appendAnswer, preVote, vote } = messageKinds;

interface PositionWait {
  readonly position: number;
  readonly done: (error: FlotillaError | null) => void;
}

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
  readonly #persist: PersistQueue = new PersistQueue();
  readonly #deferred: DeferredSteps = new DeferredSteps();
  readonly #completions: CompletionBatch = new CompletionBatch();
  readonly #reads: ReadDesk;
  readonly #transfers: TransferDesk = new TransferDesk(this.#completions);
  readonly #stepper: Stepper;
  readonly #members: Members;
  readonly #leases: LeaseGuard;
  #wal!: Wal;
  #incoming!: IncomingAppend;
  #blocks!: BlockWriter;
  #live!: LiveFrames;
  #apply!: ApplyQueue;
  #prefetch!: Prefetch;
  #desk!: SubmissionDesk;
  readonly #table: ReplicaTable = new ReplicaTable();
  /** By handle number. */
  readonly #replicas: readonly Replica[] = this.#table.all;
  readonly #links: PeerLink[] = [];
  readonly #linkByNode = new Map<number, PeerLink>();
  #laneChanges: { readonly nodeId: number; readonly isUp: boolean }[] = [];
  #positionWaits: PositionWait[] = [];
  #nowMs = 0;
  #isTurnDue = false;
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
  readonly #late: Message = new Message();
  readonly #receivedLate: CoreEvent = { kind: 'message', message: this.#late };

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#calls = options.calls;
    this.#wheel = new TimerWheel(options.clock, () => this.wake());
    this.#reads = new ReadDesk(this.#completions, options.clock, () => this.wake());
    this.#leases = new LeaseGuard(options.clock);
    const engine = this;
    this.#stepper = {
      step: (replica, event) => this.#step(replica, event),
      wake: () => this.wake(),
      get nowMs(): number {
        return engine.#nowMs;
      },
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
    this.#prefetch = new Prefetch(wal, this.#table, this.#deferred);
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
    this.#desk = new SubmissionDesk(this.#stepper, {
      replicas: this.#replicas,
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
    this.#deferred.addPeer();
    this.#links.push(link);
    this.#linkByNode.set(peer.nodeId, link);
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
    this.#deferred.addReplica(replica.number);
    this.#members.configured(replica);
    this.#showState(replica);
    this.#wheel.file(replica, replica.core.deadlineMs);
    this.#apply.add(replica);
    this.wake();
  }

  /** Calls back when everything laid so far is durable, or with why it never will be. */
  whenDurable(done: (error: FlotillaError | null) => void): void {
    this.#positionWaits.push({ position: this.#wal.position, done });
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
    this.#stepPersisted();
    this.#wheel.takeDue(nowMs, (replica) => {
      if (replica.isEnded) return Infinity;
      this.#step(replica, this.#tick);
      return replica.isEnded ? Infinity : replica.core.deadlineMs;
    });
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

  /** Steps the replicas that await what became durable. */
  #stepPersisted(): void {
    if (!this.#deferred.hasDue) return;
    const due = this.#deferred.takeDue();
    for (let i = 0; i < due.length; i++) {
      if (i % prefetchCount === 0) this.#prefetch.numbers(due, i);
      const replica = this.#replicas[due[i] as number] as Replica;
      if (this.#deferred.hasWork(replica.number)) this.#step(replica, null);
    }
  }

  // ── one step ───────────────────────────────────────────────────────────────────────────────────

  /**
   * Steps a core for what was deferred and then for `event`, and carries out what it asks for. A broken invariant stops
   * this replica, not the host.
   */
  #step(replica: Replica, event: CoreEvent | null): void {
    const { core, number } = replica;
    const deferred = this.#deferred;
    if (deferred.hasWork(number)) this.#stepDeferred(replica);
    if (event !== null && !replica.isEnded) this.#stepNow(replica, event, this.#nowMs);
    if (replica.isEnded) {
      deferred.end(number);
      return;
    }
    deferred.noteStep(number, core.pace, core.term, core.commitIndex);
    if (core.deadlineMs < replica.wheelDueMs) this.#wheel.file(replica, core.deadlineMs);
  }

  #stepDeferred(replica: Replica): void {
    const deferred = this.#deferred;
    const { core, number } = replica;
    if (deferred.hasAnswers(number)) {
      const message = this.#late;
      let nowMs = 0;
      for (const link of this.#links) {
        message.clear();
        const arrivedMs = deferred.nextAnswer(number, link.place, message);
        if (arrivedMs < 0 || replica.isEnded) continue;
        message.kind = appendAnswer;
        message.from = link.peer.nodeId;
        message.term = core.term;
        nowMs = Math.max(nowMs, arrivedMs);
        this.#stepNow(replica, this.#receivedLate, nowMs);
      }
    }
    const event = this.#persisted;
    if (deferred.nextPersisted(number, event) && !replica.isEnded) {
      this.#stepNow(replica, event, this.#nowMs);
    }
  }

  #stepNow(replica: Replica, event: CoreEvent, nowMs: number): void {
    const out = this.#out;
    try {
      replica.core.step(event, nowMs, out);
      this.#carryOut(replica, event.kind);
    } catch (error) {
      this.failReplica(replica, error);
    }
    out.clear();
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
    if (out.truncateFrom > 0 && out.truncateFrom !== out.appendFirst) {
      wal.layTruncate(replica.slot, out.truncateFrom);
    }
    if (out.appendFirst > 0) {
      if (core.role !== 'leader') {
        this.#incoming.lay(replica, this.#message.entriesTerm, out.appendFirst, out.appendLast);
      } else {
        if (!isLaid) this.#layOwn(replica);
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
    if (out.stateChanged) this.#stateChanged(replica, out.truncateFrom);
    if (out.logReverted)
      throw new Error('its leader finds that it lost entries it had acknowledged');
    if (out.committedTo > 0) {
      wal.noteCommit(replica.slot, out.committedTo);
      // At once, while all that belongs to this group is in the processor's cache.
      this.#apply.apply(replica);
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

  /** Lays what a leader appends by itself: a configuration, or the blank entry of its term. */
  #layOwn(replica: Replica): void {
    const { appendConfiguration, appendFirst } = this.#out;
    const { term } = replica.core;
    if (appendConfiguration === null) {
      this.#blocks.writeBlank(replica, appendFirst, term);
    } else {
      const payload = encodeConfiguration(appendConfiguration);
      this.#blocks.writeConfiguration(replica, appendFirst, term, payload);
    }
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
    const position = isLaid
      ? this.#blocks.positionOf(message.prevIndex + 1, message.lastIndex)
      : -1;
    if (position >= 0 && link.canSendLive(replica)) {
      link.addLive(message, replica.groupId, this.#live.offsetOf(position));
    } else {
      link.addAppend(replica, message);
    }
  }

  #stateChanged(replica: Replica, truncateFrom: number): void {
    const isLeader = replica.core.role === 'leader';
    if (isLeader && !replica.wasLeader) this.counters.elections++;
    if (!isLeader && replica.wasLeader) {
      this.counters.leadershipsLost++;
      // What is committed will be applied here, and then its callers have their results: nothing about it is unknown.
      // Unless one step both lost the leadership and replaced entries: what the commit index covers may be another's.
      const { commitIndex } = replica.core;
      const own = truncateFrom > 0 ? Math.min(commitIndex, truncateFrom - 1) : commitIndex;
      this.#failWaits(replica, outcomeUnknown, own);
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
    this.#readClock();
    this.#handleLaneChanges();
    const link = this.#linkByNode.get(peer.nodeId);
    if (link === undefined) return;
    const isAppend = frame.kind === frameKinds.append;
    const bytes = frame.bytes;
    const end = frame.headsEnd;
    let at = isAppend ? frame.at + 8 : frame.at;
    let records = 0;
    while (at < end) {
      if (records % prefetchCount === 0) this.#prefetch.records(bytes, at, end, link.place);
      const recordBytes = messageBytesAt(bytes, at, end);
      const problem =
        recordBytes === 0 || (bytes[at] === append) !== isAppend
          ? 'a frame holds a record that does not belong there'
          : this.#receive(peer, link.place, frame, at);
      if (problem !== null) {
        peer.reject(problem);
        break;
      }
      at += recordBytes;
      records++;
    }
    if (at >= end && records !== frame.records)
      peer.reject('a frame holds another number of records than it says');
    this.wake();
  }

  /** Steps one message; answers what is wrong with it, if it breaks the protocol. */
  #receive(peer: Peer, place: number, frame: ReceivedFrame, at: number): string | null {
    const bytes = frame.bytes;
    const message = this.#message;
    this.counters.messagesReceived++;
    if (isHostRecord(bytes, at)) return this.#receiveHostRecord(peer, place, frame, at);
    if (!readMessage(bytes, at, message)) return 'a message holds a number that cannot be one';
    const groupId = messageGroupId(bytes, at);
    const number = this.#table.numberOf(groupId);
    if (number < 0) {
      this.counters.unknownGroupMessages++;
      return groupId < 0 ? 'a group id is above 2^53 - 1' : null;
    }
    const isForUs = messageToGeneration(bytes, at) === this.#table.generationOf(number);
    const isGuarded = this.#table.isGuarded(number);
    if (message.kind === appendAnswer && isForUs && !isGuarded) {
      if (this.#deferred.takeAnswer(number, place, message, this.#nowMs)) return null;
    }
    const replica = this.#replicas[number] as Replica;
    const isTrusted = !isGuarded || !isAnswer(message.kind) || this.#members.mayTalk(replica, peer);
    if (!isForUs || replica.isEnded || !isTrusted) {
      this.counters.messagesDropped++;
      return null;
    }
    message.from = peer.nodeId;
    message.to = 0;
    if (message.kind === append) {
      if (message.lastIndex > message.prevIndex && this.#wal.pendingBytes > walHeldBytesMax) {
        // The disk does not keep up. The leader finds the gap by its next empty append.
        this.counters.messagesDropped++;
        return null;
      }
      const sharedAt = frame.headsEnd + messageSharedAt(bytes, at);
      const problem = this.#incoming.check(
        message,
        groupId,
        bytes,
        sharedAt,
        frame.end,
        this.#wal.recordBytesMax,
      );
      if (problem !== null) {
        this.counters.messagesDropped++;
        return problem;
      }
    }
    this.#step(replica, this.#received);
    const isCampaign = message.kind === preVote || message.kind === vote;
    if (isCampaign) this.#members.campaigned(replica, peer.nodeId);
    return null;
  }

  /** A question or an answer about membership (member-wire.ts). */
  #receiveHostRecord(peer: Peer, place: number, frame: ReceivedFrame, at: number): string | null {
    if (frame.kind !== frameKinds.control) {
      return 'a frame holds a record that does not belong there';
    }
    const link = this.#links[place] as PeerLink;
    return this.#members.receive(link, peer, frame.bytes, at);
  }

  onLaneUp(peer: Peer, lane: Lane): void {
    this.#laneChanged(peer, lane, true);
  }

  onLaneDown(peer: Peer, lane: Lane): void {
    this.#laneChanged(peer, lane, false);
  }

  #laneChanged(peer: Peer, lane: Lane, isUp: boolean): void {
    if (lane !== 'append') return;
    // Not stepped here: the transport may call from inside a send of this engine.
    this.#laneChanges.push({ nodeId: peer.nodeId, isUp });
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
    this.#persist.durable(position, this.#deferred);
    if (this.#deferred.hasDue) this.wake();
    while (this.#positionWaits.length > 0) {
      const wait = this.#positionWaits[0] as PositionWait;
      if (wait.position > position) break;
      this.#positionWaits.shift();
      wait.done(null);
    }
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
    for (const wait of this.#positionWaits) wait.done(ended);
    this.#positionWaits = [];
    this.#deliver();
  }

  #endReplica(replica: Replica, status: number): void {
    this.#failWaits(replica, outcomeUnknown, 0);
    this.#reads.refuseAll(replica, status);
    this.#transfers.refuse(replica, status);
    this.#members.desk.refuse(replica, status);
    replica.isEnded = true;
    replica.endStatus = status;
    this.#deferred.end(replica.number);
    this.#wheel.remove(replica);
    this.wake();
  }

  /** Ends the waits for entries above `above`. */
  #failWaits(replica: Replica, status: number, above: number): void {
    const kept = Math.max(0, above + 1 - replica.waitsFirst);
    const from = Math.min(replica.waitsAt + kept, replica.waitsEnd);
    for (let i = from; i < replica.waitsEnd; i++) {
      const ticket = replica.waits[i] as number;
      if (ticket === noTicket) continue;
      this.counters.outcomesUnknown++;
      this.#completions.add(ticket, status, 0, 0, null);
    }
    replica.cutWaits(from);
    this.wake();
  }

  #deliver(): void {
    if (this.#completions.count === 0) return;
    this.#calls.deliver(this.#completions);
    this.#completions.clear();
  }
}
