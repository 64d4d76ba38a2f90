// RaftCore: one replica of one Raft group as a pure state machine. The same config, boot state and events give the same
// effects on every machine; nothing here knows of time, randomness, promises, bytes or other packages.
//
// This file holds the public face and the dispatch. What happens stands in one file per concern:
//   roles.ts        the four roles and the ways between them
//   election.ts     campaigns and votes            follower.ts    taking appends and heartbeats
//   replication.ts  appends, commits, ticks of a leader (progress.ts: what it knows of each follower)
//   membership.ts   changes of who belongs (configuration.ts, configuration-change.ts and quorum.ts: their arithmetic)
//   transfer.ts     handing leadership over        lease.ts       promises, and the reads that rest on them
//   read-index.ts   linearizable reads             term-runs.ts   the terms of the log
//   message-check.ts  what a peer may say at all   invariants.ts  what must hold after every step
//
// Caller's duties: steps are not nested; times never go back; Effects are carried out as effects.ts says. A step throws
// only AssertionFailure, and then this replica must not be stepped again.

import { assert } from './assert.ts';
import type { CoreBoot, CoreConfig } from './config.ts';
import type { Configuration } from './configuration.ts';
import type { Effects, Role } from './effects.ts';
import { campaign, countOwnVote, onTimeoutNow, onVoteAnswer, onVoteRequest } from './election.ts';
import type { CoreEvent } from './event.ts';
import { onAppend, onHeartbeat, onLogReverted, onSnapshot } from './follower.ts';
import { checkInvariants } from './invariants.ts';
import { hasLease, voidLease } from './lease.ts';
import { type Message, messageKinds } from './message.ts';
import { isSound } from './message-check.ts';
import type { InflightWindow, Progress } from './progress.ts';
import { onReadIndex, onReadIndexAnswer, read } from './read-index.ts';
import {
  compact,
  configure,
  leaderTick,
  onAppendAnswer,
  onHeartbeatAnswer,
  onPeerBack,
  onPeerLost,
  onSnapshotFailed,
  ownEntriesDurable,
  propose,
} from './replication.ts';
import { becomeFollower } from './roles.ts';
import { CoreState, isRemoved, peerOf } from './state.ts';
import type { SteadyRows } from './steady.ts';
import type { TermRuns } from './term-runs.ts';
import { transfer } from './transfer.ts';

// What RaftCore.touch found on one level of memory and asks for on the next.
const touchedStates: CoreState[] = [];
const touchedRuns: TermRuns[] = [];
const touchedPeers: Progress[] = [];
const touchedWindows: InflightWindow[] = [];

/** What a leader knows of one member, as of the call. */
export interface ProgressView {
  readonly nodeId: number;
  readonly generation: number;
  /** Durable there up to here; for the leader itself only entries of its own term are counted. */
  readonly match: number;
  readonly next: number;
  readonly isProbing: boolean;
  /** It needs a snapshot, and nothing is appended to it before. */
  readonly awaitsSnapshot: boolean;
  readonly isLearner: boolean;
  readonly stream: number;
  readonly inflightMessages: number;
  readonly inflightBytes: number;
  /** When its last answer of this term arrived; Infinity for the leader itself. */
  readonly lastAnswerMs: number;
}

export class RaftCore {
  readonly #state: CoreState;
  // Where the state stands while it is lent (steady.ts).
  #rows: SteadyRows | null = null;
  #row = 0;

  /** Throws RangeError where config or boot state make no sense. */
  constructor(config: CoreConfig, boot: CoreBoot, nowMs: number) {
    this.#state = new CoreState(config, boot, nowMs);
  }

  get nodeId(): number {
    return this.#state.nodeId;
  }
  get role(): Role {
    return this.#state.role;
  }
  get term(): number {
    return this.#state.term;
  }
  /** Node id, 0 = none. */
  get votedFor(): number {
    return this.#state.votedFor;
  }
  /** Which replica of `votedFor` has the vote; 0 where nobody has it. */
  get votedGeneration(): number {
    return this.#state.votedGeneration;
  }
  /** Node id, 0 = unknown. */
  get leader(): number {
    return this.#state.leader;
  }
  get commitIndex(): number {
    const rows = this.#rows;
    return rows?.isLent(this.#row) === true ? rows.commitIndex(this.#row) : this.#state.commitIndex;
  }
  get firstIndex(): number {
    return this.#state.runs.firstIndex;
  }
  get lastIndex(): number {
    const rows = this.#rows;
    return rows?.isLent(this.#row) === true
      ? rows.lastIndex(this.#row)
      : this.#state.runs.lastIndex;
  }
  /** The configuration that counts: the last one in the log, committed or not. */
  get configuration(): Configuration {
    return this.#state.configuration;
  }
  /** Index of the entry (or snapshot) that brought it. It is committed where `commitIndex` has reached it. */
  get configurationIndex(): number {
    return this.#state.configurationIndex;
  }
  /** Node ids that vote in either half of the configuration. */
  get voters(): readonly number[] {
    return this.#state.configuration.votingIds;
  }
  /** Whether this replica votes in the configuration that counts. */
  get isVoter(): boolean {
    return this.#state.ownBit !== 0;
  }
  /** A committed configuration has left this replica out after one that had it: its work here is done. */
  get isRemoved(): boolean {
    return isRemoved(this.#state);
  }
  /** A committed configuration has named this very replica. */
  get wasMember(): boolean {
    return this.#state.wasMember;
  }
  /** To whom this leader hands over, 0 = to nobody. */
  get transferTo(): number {
    return this.#state.transferTo;
  }
  /**
   * Monotonic time at which a tick is due, Infinity = none. Compare after each step: it moves to an earlier time only
   * when the role changes. A tick that comes early does nothing; one that finds the leader was heard meanwhile only
   * moves the deadline on.
   */
  get deadlineMs(): number {
    const rows = this.#rows;
    return rows?.isLent(this.#row) === true ? rows.deadlineMs(this.#row) : this.#state.deadlineMs;
  }
  /** Messages that were dropped because no correct peer sends them, or sends them to this group. */
  get ignoredCount(): number {
    return this.#state.ignoredCount;
  }

  /**
   * Term of the entry at `index`. 0 for index 0, and for every index whose term is not known here: beyond the last one,
   * or more than one below the first.
   */
  termAt(index: number): number {
    this.#rows?.settle(this.#state, this.#row);
    return this.#state.runs.termAt(index);
  }

  /** A leader's view of a member, itself included; null on any other replica and for any other id. */
  progress(nodeId: number): ProgressView | null {
    this.#rows?.settle(this.#state, this.#row);
    const s = this.#state;
    if (s.role !== 'leader') return null;
    if (nodeId === s.nodeId) {
      return {
        nodeId,
        generation: s.generation,
        match: s.selfMatch,
        next: s.runs.lastIndex + 1,
        isProbing: false,
        awaitsSnapshot: false,
        isLearner: s.ownBit === 0,
        stream: 0,
        inflightMessages: 0,
        inflightBytes: 0,
        lastAnswerMs: Number.POSITIVE_INFINITY,
      };
    }
    const p = peerOf(s, nodeId);
    if (p === null) return null;
    return {
      nodeId,
      generation: p.generation,
      match: p.match,
      next: p.next,
      isProbing: p.isProbing,
      awaitsSnapshot: p.awaitsSnapshot,
      isLearner: p.position < 0,
      stream: p.stream,
      inflightMessages: p.window.count,
      inflightBytes: p.window.bytes,
      lastAnswerMs: p.lastAnswerMs,
    };
  }

  /**
   * Reads a little of what a step of each of the first `count` cores needs and changes nothing; the sum means nothing. A
   * host that is about to step many cores has the next few touched first: the processor then waits for their memory side
   * by side, level by level, and not for one pointer after the other.
   */
  static touch(cores: readonly RaftCore[], count: number): number {
    let sum = 0;
    for (let i = 0; i < count; i++) touchedStates[i] = (cores[i] as RaftCore).#state;
    let followers = 0;
    for (let i = 0; i < count; i++) {
      const s = touchedStates[i] as CoreState;
      sum += s.term + s.ignoredCount + s.selfMatch;
      touchedRuns[i] = s.runs;
      const peers = s.peers;
      for (let k = 0; k < peers.length; k++) touchedPeers[followers++] = peers[k] as Progress;
    }
    for (let i = 0; i < count; i++) {
      sum += (touchedRuns[i] as TermRuns).lastIndex + (touchedStates[i] as CoreState).deadlineMs;
    }
    for (let i = 0; i < followers; i++) {
      const p = touchedPeers[i] as Progress;
      sum += p.match + p.readToken;
      touchedWindows[i] = p.window;
    }
    for (let i = 0; i < followers; i++) sum += (touchedWindows[i] as InflightWindow).count;
    return sum;
  }

  /** Lends the state to row `number` of `rows` until the next step, where it is steady. Answers whether it is. */
  lend(rows: SteadyRows, number: number): boolean {
    this.#rows = rows;
    this.#row = number;
    return rows.lend(this.#state, number);
  }

  /** Takes the state back for good. */
  reclaim(): void {
    this.#rows?.takeBack(this.#state, this.#row);
    this.#rows = null;
  }

  /** Whether this leader may answer reads at `nowMs` without asking anybody. */
  hasLease(nowMs: number): boolean {
    const s = this.#state;
    return s.role === 'leader' && s.commitIndex >= s.leaderFirstIndex && hasLease(s, nowMs);
  }

  /** Throws AssertionFailure where an invariant does not hold. Costs O(terms); for tests and simulation. */
  checkInvariants(): void {
    this.#rows?.settle(this.#state, this.#row);
    checkInvariants(this.#state);
  }

  step(event: CoreEvent, nowMs: number, out: Effects): void {
    const s = this.#state;
    this.#rows?.takeBack(s, this.#row);
    switch (event.kind) {
      case 'message':
        receive(s, event.message, nowMs, out);
        return;
      case 'propose':
        propose(s, event.count, event.bytes, nowMs, out);
        return;
      case 'persisted':
        if (event.term > s.durableTerm) {
          assert(event.term <= s.term, 'what became durable was our term once');
          s.durableTerm = event.term;
        }
        if (s.role === 'leader') {
          // Only entries of the own term are counted. They were laid once: index and term name one write of them.
          if (event.indexTerm === s.term) ownEntriesDurable(s, event.index, nowMs, out);
        } else if (s.role === 'candidate') {
          if (event.term === s.term && event.votedFor === s.nodeId) countOwnVote(s, nowMs, out);
        }
        return;
      case 'tick':
        tick(s, nowMs, out);
        return;
      case 'read':
        read(s, event.viaLeader === true, event.byQuorum === true, nowMs, out);
        return;
      case 'campaign':
        campaign(s, event.preVote, nowMs, out);
        return;
      case 'peerLost':
        onPeerLost(s, event.nodeId);
        return;
      case 'peerBack':
        onPeerBack(s, event.nodeId, nowMs, out);
        return;
      case 'configure':
        configure(s, event, nowMs, out);
        return;
      case 'transfer':
        transfer(s, event.nodeId, nowMs, out);
        return;
      case 'compact':
        compact(s, event.index);
        return;
      case 'snapshotFailed':
        onSnapshotFailed(s, event.nodeId);
        return;
      case 'allowRevert': {
        const p = peerOf(s, event.nodeId);
        if (p !== null) p.mayRevert = event.isAllowed;
        return;
      }
      case 'voidLease':
        voidLease(s);
        return;
      default:
        unreachable(event);
    }
  }
}

function unreachable(event: never): never {
  throw new RangeError(`not a core event: ${String((event as { kind: unknown }).kind)}`);
}

function tick(s: CoreState, nowMs: number, out: Effects): void {
  if (nowMs < s.deadlineMs) return;
  if (s.role === 'leader') {
    leaderTick(s, nowMs, out);
    return;
  }
  // Hearing from the leader moved only the base; the deadline follows here, once a time-out and not once a message.
  const dueMs = s.timerBaseMs + s.timeoutMs;
  if (nowMs < dueMs) s.deadlineMs = dueMs;
  else campaign(s, s.config.preVote, nowMs, out);
}

function receive(s: CoreState, m: Message, nowMs: number, out: Effects): void {
  // Who sends a request is not asked: a replica that is behind in configurations must listen to members that it does not
  // know yet. Answers are another matter: their handlers count only those of the members that the configuration names.
  if (m.from === s.nodeId || !isSound(m)) {
    s.ignoredCount++;
    return;
  }
  switch (m.kind) {
    case messageKinds.append:
      onAppend(s, m, nowMs, out);
      return;
    case messageKinds.heartbeat:
      onHeartbeat(s, m, nowMs, out);
      return;
    case messageKinds.preVote:
    case messageKinds.vote:
      onVoteRequest(s, m, nowMs, out);
      return;
    case messageKinds.preVoteAnswer:
      // A granted one names the term that was asked for, which nobody has taken yet.
      if (m.granted || !isLate(s, m, nowMs, out)) onVoteAnswer(s, m, nowMs, out);
      return;
    case messageKinds.voteAnswer:
      if (!isLate(s, m, nowMs, out)) onVoteAnswer(s, m, nowMs, out);
      return;
    case messageKinds.appendAnswer:
      if (!isLate(s, m, nowMs, out)) onAppendAnswer(s, m, nowMs, out);
      return;
    case messageKinds.heartbeatAnswer:
      if (!isLate(s, m, nowMs, out)) onHeartbeatAnswer(s, m, nowMs, out);
      return;
    case messageKinds.readIndex:
      if (m.term > s.term) becomeFollower(s, m.term, 0, nowMs, out);
      onReadIndex(s, m, nowMs, out);
      return;
    case messageKinds.readIndexAnswer:
      if (!isLate(s, m, nowMs, out)) onReadIndexAnswer(s, m, out);
      return;
    case messageKinds.timeoutNow:
      onTimeoutNow(s, m, nowMs, out);
      return;
    case messageKinds.snapshot:
      onSnapshot(s, m, nowMs, out);
      return;
    case messageKinds.logReverted:
      onLogReverted(s, m, out);
      return;
    default:
      return;
  }
}

/** An answer of another term than ours is no answer to us; a higher term is taken from it all the same. */
function isLate(s: CoreState, m: Message, nowMs: number, out: Effects): boolean {
  if (m.term > s.term) becomeFollower(s, m.term, 0, nowMs, out);
  else if (m.term === s.term) return false;
  return true;
}
