// All that one replica knows, as one flat object, and the few primitives that every concern shares: who is a voter, what
// a quorum is, what makes the hard state dirty, when the next tick is due, where an answer may leave from.
//
// The other files are functions over this state, one concern each. Every field is initialised in the constructor, in one
// order, so that all cores of a host share one hidden class; nothing is allocated here that a sleeping follower does not
// need (a leader's progress and read rounds exist only while it leads or reads).

import type { CoreBoot, CoreConfig } from './config.ts';
import type { Effects, Role } from './effects.ts';
import type { LogView } from './log-view.ts';
import type { Message, MessageKind, MessageList } from './message.ts';
import type { Progress } from './progress.ts';
import { votersMax } from './quorum.ts';
import type { ReadRounds } from './read-index.ts';
import { TermRuns } from './term-runs.ts';

const noPeers: readonly Progress[] = [];

export class CoreState {
  readonly config: CoreConfig;
  readonly nodeId: number;
  readonly voters: readonly number[];
  readonly quorum: number;
  readonly isVoter: boolean;
  readonly log: LogView;
  readonly runs: TermRuns;

  role: Role = 'follower';
  term: number;
  votedFor: number;
  /** Node id, 0 = unknown. */
  leader = 0;
  commitIndex: number;
  /** The term that is known to be durable; an answer that promises nothing else may leave once it is ours. */
  durableTerm: number;

  /** Follower: what was verified to equal the log of this term's leader. No commit index passes it. */
  verifiedIndex = 0;

  /** Candidate and pre-candidate: who granted and who refused, bits by position in `voters`. */
  votesGranted = 0;
  votesRefused = 0;

  /** Leader: one per other voter; empty else. */
  peers: readonly Progress[] = noPeers;
  /** Leader: the blank entry of its term. Entries from it on are of its own term. */
  leaderFirstIndex = 0;
  /** Leader: its own log is durable up to here, as far as entries of its own term go. */
  selfMatch = 0;
  streamLast = 0;
  tokenLast = 0;
  reads: ReadRounds | null = null;

  /** When the leader was heard last, or whatever else restarted the election timer; and its present length. */
  timerBaseMs: number;
  timeoutMs: number;
  deadlineMs: number;
  random: number;
  /** Messages dropped because they made no sense. */
  ignoredCount = 0;

  constructor(config: CoreConfig, boot: CoreBoot, nowMs: number) {
    checkConfig(config);
    checkCount('boot.term', boot.term);
    checkCount('boot.votedFor', boot.votedFor);
    checkCount('boot.commit', boot.commit);
    this.config = config;
    this.nodeId = config.nodeId;
    this.voters = config.voters;
    this.quorum = (config.voters.length >>> 1) + 1;
    this.isVoter = config.voters.includes(config.nodeId);
    this.log = boot.log;
    this.runs = new TermRuns(boot.firstIndex, boot.prevTerm, boot.termEnds);
    if (boot.term < this.runs.lastTerm) {
      throw new RangeError(
        `boot.term ${boot.term} is below the log's last term ${this.runs.lastTerm}`,
      );
    }
    this.term = boot.term;
    this.votedFor = boot.votedFor;
    // A commit index may have been written before a crash that took the entries behind it.
    this.commitIndex = Math.max(boot.firstIndex - 1, Math.min(boot.commit, this.runs.lastIndex));
    this.durableTerm = boot.term;
    // An entry of this term comes from this term's leader, and the log up to it is that leader's (log matching, Raft
    // §5.3). Without this, a follower that restarts beside an idle leader would never learn what is committed: the
    // leader knows it to match, sends no append, and heartbeats alone verify nothing.
    if (this.runs.lastTerm === boot.term) this.verifiedIndex = this.runs.lastIndex;
    this.random = seedOf(config.seed, config.nodeId);
    this.timerBaseMs = nowMs;
    this.timeoutMs = 0;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    restartElectionTimer(this, nowMs);
  }
}

function checkCount(name: string, value: number): void {
  if (!(Number.isSafeInteger(value) && value >= 0)) {
    throw new RangeError(`${name} is not an unsigned safe integer: ${value}`);
  }
}

function checkConfig(config: CoreConfig): void {
  const { nodeId, voters, electionMsMin, electionMsMax, heartbeatMs } = config;
  if (!(Number.isSafeInteger(nodeId) && nodeId >= 1)) throw new RangeError(`nodeId: ${nodeId}`);
  if (voters.length < 1 || voters.length > votersMax) {
    throw new RangeError(`voters: 1 to ${votersMax} are possible, not ${voters.length}`);
  }
  for (const voter of voters) {
    if (!(Number.isSafeInteger(voter) && voter >= 1)) throw new RangeError(`voters: ${voter}`);
    if (voters.indexOf(voter) !== voters.lastIndexOf(voter)) {
      throw new RangeError(`voters: ${voter} stands there twice`);
    }
  }
  if (!(heartbeatMs > 0 && electionMsMin > heartbeatMs && electionMsMax > electionMsMin)) {
    throw new RangeError('0 < heartbeatMs < electionMsMin < electionMsMax must hold');
  }
  if (!Number.isFinite(electionMsMax)) throw new RangeError('electionMsMax is not finite');
  if (!(Number.isSafeInteger(config.inflightMessagesMax) && config.inflightMessagesMax >= 1)) {
    throw new RangeError(`inflightMessagesMax: ${config.inflightMessagesMax}`);
  }
  if (!(config.inflightBytesMax >= 1)) {
    throw new RangeError(`inflightBytesMax: ${config.inflightBytesMax}`);
  }
  if (!(config.appendBytesMax >= 1))
    throw new RangeError(`appendBytesMax: ${config.appendBytesMax}`);
}

/** A non-zero xorshift state. The node id is mixed in: replicas that share a seed must not share their time-outs. */
function seedOf(seed: number, nodeId: number): number {
  let x = (Math.imul(seed | 0, 0x9e3779b1) ^ Math.imul(nodeId | 0, 0x85ebca6b)) | 0;
  x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d);
  x = Math.imul(x ^ (x >>> 12), 0x297a2d39);
  x ^= x >>> 15;
  return x === 0 ? 1 : x;
}

/** A uniform number in [0, 1), by xorshift32. */
function drawFraction(s: CoreState): number {
  let x = s.random;
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  s.random = x;
  return (x >>> 0) / 2 ** 32;
}

/** Begins a new election time-out (Raft §5.2: drawn anew, so that split votes do not repeat). */
export function restartElectionTimer(s: CoreState, nowMs: number): void {
  const { electionMsMin, electionMsMax } = s.config;
  s.timerBaseMs = nowMs;
  s.timeoutMs = electionMsMin + drawFraction(s) * (electionMsMax - electionMsMin);
  s.deadlineMs = s.isVoter ? nowMs + s.timeoutMs : Number.POSITIVE_INFINITY;
}

/** Position in `voters`, -1 = not one of them. */
export function voterPosition(s: CoreState, nodeId: number): number {
  return s.voters.indexOf(nodeId);
}

export function peerOf(s: CoreState, nodeId: number): Progress | null {
  const peers = s.peers;
  for (let i = 0; i < peers.length; i++) {
    const peer = peers[i] as Progress;
    if (peer.nodeId === nodeId) return peer;
  }
  return null;
}

/** Leaves leadership's memory behind. */
export function dropPeers(s: CoreState): void {
  s.peers = noPeers;
}

/**
 * Term or vote changed. The commit index noted is the one that holds now, before any entry of this step: the host lays
 * the hard state before the entries, and a commit index that covered them would, after a crash between the two, commit
 * whatever stale entries stand at those places.
 */
export function noteHardState(s: CoreState, out: Effects): void {
  out.hardStateChanged = true;
  out.term = s.term;
  out.votedFor = s.votedFor;
  out.commit = s.commitIndex;
}

/** Where an answer belongs that promises nothing but our term. */
export function termAnswers(s: CoreState, out: Effects): MessageList {
  return s.durableTerm === s.term ? out.messages : out.afterPersist;
}

/** A message of our term to `to` at the end of `list`. */
export function pushMessage(
  s: CoreState,
  list: MessageList,
  kind: MessageKind,
  to: number,
): Message {
  const message = list.push();
  message.kind = kind;
  message.from = s.nodeId;
  message.to = to;
  message.term = s.term;
  return message;
}

/** Moves the commit index up to `index`, which is not below it. */
export function advanceCommit(s: CoreState, index: number, out: Effects): void {
  if (index <= s.commitIndex) return;
  s.commitIndex = index;
  out.committedTo = index;
}

/** Token that heartbeats carry: that of the newest open read round, 0 = none. */
export function newestToken(s: CoreState): number {
  const reads = s.reads;
  return reads === null || reads.tokens.length === 0 ? 0 : (reads.tokens.at(-1) as number);
}
