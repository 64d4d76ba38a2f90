// All that one replica knows, as one flat object, and the few primitives that every concern shares: who is a voter, what
// makes the hard state dirty, when the next tick is due, where an answer may leave from.
//
// The other files are functions over this state, one concern each. Every field is initialised in the constructor, in one
// order, so that all cores of a host share one hidden class; nothing is allocated here that a sleeping follower does not
// need (a leader's progress and read rounds exist only while it leads or reads), and configurations are shared.

import { assert } from './assert.ts';
import type { ConfigurationAt, CoreBoot, CoreConfig } from './config.ts';
import type { Configuration } from './configuration.ts';
import type { Effects, Role } from './effects.ts';
import type { LogView } from './log-view.ts';
import type { Message, MessageKind, MessageList } from './message.ts';
import type { Progress } from './progress.ts';
import type { ReadRounds } from './read-index.ts';
import { TermRuns } from './term-runs.ts';

const noPeers: readonly Progress[] = [];
export const noConfigurations: readonly ConfigurationAt[] = [];

export class CoreState {
  readonly config: CoreConfig;
  readonly generation: number;
  readonly log: LogView;
  readonly runs: TermRuns;

  /** The configuration that counts: the last one in the log, and the index of its entry. */
  configuration: Configuration;
  configurationIndex: number;
  /** Those before it that a truncation could bring back, ascending; none where it is committed. */
  configurationsBefore: readonly ConfigurationAt[] = noConfigurations;
  /** This replica's bit among the voters, 0 = it does not vote. */
  ownBit = 0;
  /** It votes, or did in a configuration that is not replaced for good: only it may hold the entry that leaves it out. */
  mayLead = false;
  /** A configuration has named this very replica: one without it means removal, not that it is still to join. */
  wasMember = false;

  role: Role = 'follower';
  term: number;
  /** Node id, 0 = nobody, and which replica of that node: another one is another candidate. */
  votedFor: number;
  votedGeneration: number;
  /** Node id, 0 = unknown. */
  leader = 0;
  commitIndex: number;
  /** The term that is known to be durable; an answer that promises nothing else may leave once it is ours. */
  durableTerm: number;

  /** Follower: what was verified to equal the log of this term's leader. No commit index passes it. */
  verifiedIndex = 0;

  /** Candidate and pre-candidate: who granted and who refused, bits by position among the voters. */
  votesGranted = 0;
  votesRefused = 0;

  /** Leader: one per other member, and per one that is being left out; empty else. */
  peers: readonly Progress[] = noPeers;
  /** Leader: the blank entry of its term. Entries from it on are of its own term. */
  leaderFirstIndex = 0;
  /** Leader: its own log is durable up to here, as far as entries of its own term go. */
  selfMatch = 0;
  /** Leader: to whom it hands over, 0 = to nobody, and until when. */
  transferTo = 0;
  transferDueMs = 0;
  /** Leader: it has begun to hand over in this term, so that no lease counts any more. */
  isLeaseOver = false;
  /** Leader: proposed bytes that are not committed, in two parts; a commit at or above the mark drops the first one. */
  uncommittedBefore = 0;
  uncommittedSince = 0;
  uncommittedMark = 0;
  streamLast = 0;
  tokenLast: number;
  reads: ReadRounds | null = null;
  /** Follower: the newest question for a read index that is not answered, 0 = none, and when it was asked last. */
  askedToken = 0;
  askedMs = 0;

  /** When the leader was heard last, or whatever else restarted the election timer; and its present length. */
  timerBaseMs: number;
  timeoutMs: number;
  deadlineMs: number;
  /** When a leader was heard last, or this life began: what a lease rests on, whatever the timer does. */
  heardMs: number;
  random: number;
  /** Messages dropped because they made no sense. */
  ignoredCount = 0;

  constructor(config: CoreConfig, boot: CoreBoot, nowMs: number) {
    checkConfig(config);
    checkCount('boot.term', boot.term);
    checkCount('boot.votedFor', boot.votedFor);
    checkCount('boot.votedGeneration', boot.votedGeneration ?? 1);
    checkCount('boot.commit', boot.commit);
    checkCount('boot.generation', boot.generation ?? 1);
    checkCount('boot.tokenBase', boot.tokenBase ?? 0);
    this.config = config;
    this.generation = boot.generation ?? 1;
    this.log = boot.log;
    this.runs = new TermRuns(boot.firstIndex, boot.prevTerm, boot.termEnds);
    if (boot.term < this.runs.lastTerm) {
      throw new RangeError(
        `boot.term ${boot.term} is below the log's last term ${this.runs.lastTerm}`,
      );
    }
    this.configuration = boot.configuration;
    this.configurationIndex = boot.firstIndex - 1;
    this.term = boot.term;
    this.votedFor = boot.votedFor;
    this.votedGeneration = boot.votedFor === 0 ? 0 : (boot.votedGeneration ?? 1);
    // A commit index may have been written before a crash that took the entries behind it.
    this.commitIndex = Math.max(boot.firstIndex - 1, Math.min(boot.commit, this.runs.lastIndex));
    this.durableTerm = boot.term;
    // An entry of this term comes from this term's leader, and the log up to it is that leader's (log matching, Raft
    // §5.3). Without this, a follower that restarts beside an idle leader would never learn what is committed: the
    // leader knows it to match, sends no append, and heartbeats alone verify nothing.
    if (this.runs.lastTerm === boot.term) this.verifiedIndex = this.runs.lastIndex;
    this.tokenLast = boot.tokenBase ?? 0;
    this.random = seedOf(boot.seed, config.nodeId);
    this.timerBaseMs = nowMs;
    this.timeoutMs = 0;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.heardMs = nowMs;
    noteOwnPlace(this);
    noteMembership(this, this.configurationIndex, this.configuration);
    for (const { index, configuration } of boot.configurations ?? noConfigurations) {
      if (!(index > this.configurationIndex && index <= this.runs.lastIndex)) {
        throw new RangeError(`boot.configurations: ${index} is no place in the log for one`);
      }
      pushConfiguration(this, configuration, index);
    }
    restartElectionTimer(this, nowMs);
  }

  get nodeId(): number {
    return this.config.nodeId;
  }
}

function checkCount(name: string, value: number): void {
  if (!(Number.isSafeInteger(value) && value >= 0)) {
    throw new RangeError(`${name} is not an unsigned safe integer: ${value}`);
  }
}

function checkConfig(config: CoreConfig): void {
  const { nodeId, electionMsMin, electionMsMax, heartbeatMs } = config;
  if (!(Number.isSafeInteger(nodeId) && nodeId >= 1)) throw new RangeError(`nodeId: ${nodeId}`);
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

/** The minimum election time-out: the host's, or what the group's lease rests on where that is longer. */
export function electionMsMinOf(s: CoreState): number {
  return Math.max(s.config.electionMsMin, s.configuration.leaseMs);
}

/** Begins a new election time-out (Raft §5.2: drawn anew, so that split votes do not repeat). */
export function restartElectionTimer(s: CoreState, nowMs: number): void {
  const { electionMsMin, electionMsMax } = s.config;
  startTimer(s, electionMsMinOf(s), electionMsMax - electionMsMin, nowMs);
}

/**
 * Begins the time of the first campaign in a silence: from half the least election time-out up to it. Its end waits for
 * answers, not for a leader; a split vote, or a voter that heard the leader a moment longer, would else cost a whole
 * second time-out. Only the first: where answers take long, the next campaign has the whole time.
 */
export function startFirstCampaignTimer(s: CoreState, nowMs: number): void {
  const halfMs = s.config.electionMsMin / 2;
  startTimer(s, halfMs, halfMs, nowMs);
}

/** Whether the time that runs is that of a first campaign: no other one is that short. */
export function isFirstCampaign(s: CoreState): boolean {
  return s.timeoutMs < s.config.electionMsMin;
}

function startTimer(s: CoreState, leastMs: number, spreadMs: number, nowMs: number): void {
  s.timerBaseMs = nowMs;
  // Whole milliseconds are small integers, which need no object of their own.
  s.timeoutMs = Math.floor(leastMs + drawFraction(s) * spreadMs);
  s.deadlineMs = s.mayLead ? nowMs + s.timeoutMs : Number.POSITIVE_INFINITY;
}

/** Whether a configuration names this very replica: another one of this node has another log. */
function isNamed(s: CoreState, configuration: Configuration): boolean {
  return configuration.memberOf(s.nodeId)?.generation === s.generation;
}

/** What the configuration that counts says of this replica, and those that could count again. */
function noteOwnPlace(s: CoreState): void {
  s.ownBit = ownBitIn(s, s.configuration);
  s.mayLead = s.ownBit !== 0;
  for (const { configuration } of s.configurationsBefore) {
    if (ownBitIn(s, configuration) !== 0) s.mayLead = true;
  }
}

function ownBitIn(s: CoreState, configuration: Configuration): number {
  return isNamed(s, configuration) ? configuration.bitOf(s.nodeId) : 0;
}

/** Membership is a matter of committed configurations: one that is truncated again has made nobody a member. */
function noteMembership(s: CoreState, index: number, configuration: Configuration): void {
  if (index <= s.commitIndex && isNamed(s, configuration)) s.wasMember = true;
}

/** From here on `configuration`, of the entry at `index`, counts. The ones before are kept until it is committed. */
export function pushConfiguration(s: CoreState, configuration: Configuration, index: number): void {
  const before = [
    ...s.configurationsBefore,
    { index: s.configurationIndex, configuration: s.configuration },
  ];
  for (const older of before) noteMembership(s, older.index, older.configuration);
  noteMembership(s, index, configuration);
  // A truncation ends above what is committed: of the committed ones only the last can come back.
  let from = 0;
  while (from + 1 < before.length && (before[from + 1] as ConfigurationAt).index <= s.commitIndex) {
    from++;
  }
  s.configurationsBefore = index <= s.commitIndex ? noConfigurations : before.slice(from);
  s.configuration = configuration;
  s.configurationIndex = index;
  noteOwnPlace(s);
}

/** All entries from `from` on are dropped: the configuration before them counts again. Answers whether that is another. */
export function popConfigurations(s: CoreState, from: number): boolean {
  if (s.configurationIndex < from) return false;
  const before = [...s.configurationsBefore];
  while (s.configurationIndex >= from) {
    const older = before.pop();
    assert(older !== undefined, 'the configuration of the committed log stays');
    s.configuration = older.configuration;
    s.configurationIndex = older.index;
  }
  // What counts now may have been committed while a later one counted: then nothing before it can come back.
  const isCommitted = s.configurationIndex <= s.commitIndex;
  for (const older of before) noteMembership(s, older.index, older.configuration);
  noteMembership(s, s.configurationIndex, s.configuration);
  s.configurationsBefore = isCommitted ? noConfigurations : before;
  noteOwnPlace(s);
  return true;
}

/** A snapshot up to `index` replaces the log: what it covers is committed, and of configurations only its own is left. */
export function resetConfiguration(s: CoreState, at: ConfigurationAt, index: number): void {
  assert(at.index <= index && index > s.commitIndex, 'a snapshot brings news');
  for (const older of s.configurationsBefore) noteMembership(s, older.index, older.configuration);
  s.commitIndex = index;
  s.configurationsBefore = noConfigurations;
  s.configuration = at.configuration;
  s.configurationIndex = at.index;
  noteMembership(s, at.index, at.configuration);
  noteOwnPlace(s);
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
  out.votedGeneration = s.votedGeneration;
  out.commit = s.commitIndex;
}

/** Where an answer belongs that promises nothing but our term. */
export function termAnswers(s: CoreState, out: Effects): MessageList {
  return s.durableTerm === s.term ? out.messages : out.afterPersist;
}

/** A message of our term to replica `toGeneration` of node `to` at the end of `list`. */
export function pushMessage(
  s: CoreState,
  list: MessageList,
  kind: MessageKind,
  to: number,
  toGeneration: number,
): Message {
  const message = list.push();
  message.kind = kind;
  message.from = s.nodeId;
  message.fromGeneration = s.generation;
  message.to = to;
  message.toGeneration = toGeneration;
  message.term = s.term;
  return message;
}

/** Bytes of the entries that are in the log and not committed; not counted where nothing limits them. */
export function uncommittedBytes(s: CoreState): number {
  if (s.config.uncommittedBytesMax === undefined) return 0;
  const first = Math.max(s.commitIndex + 1, s.runs.firstIndex);
  const last = s.runs.lastIndex;
  return first <= last ? s.log.bytesBetween(first, last) : 0;
}

/** Moves the commit index up to `index`, which is not below it. */
export function advanceCommit(s: CoreState, index: number, out: Effects): void {
  if (index <= s.commitIndex) return;
  const isNews = index >= s.configurationIndex && s.commitIndex < s.configurationIndex;
  s.commitIndex = index;
  out.committedTo = index;
  if (!isNews) return;
  for (const older of s.configurationsBefore) noteMembership(s, older.index, older.configuration);
  noteMembership(s, s.configurationIndex, s.configuration);
  s.configurationsBefore = noConfigurations;
  noteOwnPlace(s);
  if (!s.mayLead && s.role !== 'leader') s.deadlineMs = Number.POSITIVE_INFINITY;
  if (isRemoved(s)) out.removed = true;
}

/** A committed configuration has left this replica out. */
export function isRemoved(s: CoreState): boolean {
  return s.wasMember && s.configurationIndex <= s.commitIndex && !isNamed(s, s.configuration);
}

/** Token that heartbeats carry: that of the newest open read round, 0 = none. */
export function newestToken(s: CoreState): number {
  const reads = s.reads;
  return reads === null || reads.tokens.length === 0 ? 0 : (reads.tokens.at(-1) as number);
}
