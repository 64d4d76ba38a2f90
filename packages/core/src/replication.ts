// The leader's side of replication (Raft §5.3, §5.4.2; pipelining thesis §10.2.1): taking proposals, keeping a stream of
// appends to each follower, counting durable copies, heartbeats and check-quorum.
//
// 1. An append holds entries of one term only, so that it names one term; the next message continues after the boundary.
// 2. Entries proposed in this step are not in the host's index yet: they travel as the one range that was proposed, and
//    the LogView is asked only about entries of earlier steps.
// 3. Only entries of the leader's own term are committed by counting; the older ones below come along (§5.4.2).
// 4. A lost message is found by the next append (its predecessor is missing), or, where none follows, by an empty append
//    that the first heartbeat answer after a silent interval provokes.

import { assert } from './assert.ts';
import type { Configuration } from './configuration.ts';
import type { Effects, Refusal } from './effects.ts';
import type { CoreEvent } from './event.ts';
import { sendHeartbeat } from './heartbeat.ts';
import { checksQuorum, noteAnswered } from './lease.ts';
import { adopt, dropDeparting, nextByItself, plan } from './membership.ts';
import { type Message, messageKinds } from './message.ts';
import type { Progress } from './progress.ts';
import { committedIn, committedOfThree, voteInBoth, votersMax } from './quorum.ts';
import { confirmReads, startHeldRound } from './read-index.ts';
import { becomeFollower } from './roles.ts';
import {
  advanceCommit,
  type CoreState,
  electionMsMinOf,
  isRemoved,
  newestToken,
  peerOf,
  pushMessage,
  uncommittedBytes,
} from './state.ts';
import { handOver, transferTick } from './transfer.ts';

/** What a configuration entry takes at most on its way, for the windows: exact sizes are the host's. */
const configurationBytes = 4096;

/** A new leader's blank entry goes out as the first probe: most followers hold all that stands before it. */
export function startReplication(s: CoreState, nowMs: number, out: Effects): void {
  const blank = s.leaderFirstIndex;
  for (const p of s.peers) sendRange(s, p, blank, blank, 0, nowMs, out);
}

/** Takes `count` commands, or says in `refusal` why not. */
export function propose(
  s: CoreState,
  count: number,
  bytes: number,
  nowMs: number,
  out: Effects,
): void {
  out.proposedFirst = 0;
  assert(Number.isSafeInteger(count) && count >= 1, 'a proposal holds commands');
  out.refusal = refusalOf(s, count, bytes);
  if (out.refusal !== null) return;
  const first = s.runs.lastIndex + 1;
  const last = s.runs.lastIndex + count;
  assert(out.appendLast === 0, 'effects that append are carried out before the next proposal');
  s.runs.append(last, s.term);
  s.uncommittedSince += bytes;
  out.proposedFirst = first;
  out.appendFirst = first;
  out.appendLast = last;
  sendNew(s, first, last, bytes, nowMs, out);
}

function refusalOf(s: CoreState, count: number, bytes: number): Refusal | null {
  if (s.role !== 'leader') return 'notLeader';
  if (s.transferTo !== 0) return 'transferring';
  // A leader that stays after its removal only tells the others of it (membership.ts says the same of changes).
  if (s.ownBit === 0 && isRemoved(s)) return 'notLeader';
  // The numbers are used up: nobody will ever take it.
  if (s.runs.lastIndex + count > Number.MAX_SAFE_INTEGER) return 'notLeader';
  const bytesMax = s.config.uncommittedBytesMax;
  if (bytesMax === undefined) return null;
  return isOverUncommitted(s, bytes, bytesMax) ? 'uncommittedFull' : null;
}

/** Nothing uncommitted, and one proposal is taken whatever its size. */
function isOverUncommitted(s: CoreState, bytes: number, bytesMax: number): boolean {
  // Counted too high by what was committed since the mark; only where that would refuse is it counted exactly.
  if (s.uncommittedBefore + s.uncommittedSince + bytes <= bytesMax) return false;
  s.uncommittedBefore = uncommittedBytes(s);
  s.uncommittedSince = 0;
  s.uncommittedMark = s.runs.lastIndex;
  return s.uncommittedBefore > 0 && s.uncommittedBefore + bytes > bytesMax;
}

/** Entries that were appended in this step go to every follower whose stream they continue. */
function sendNew(
  s: CoreState,
  first: number,
  last: number,
  bytes: number,
  nowMs: number,
  out: Effects,
): void {
  const peers = s.peers;
  for (let i = 0; i < peers.length; i++) {
    const p = peers[i] as Progress;
    // A follower that lags gets these entries later, in order, when its answers make room.
    if (p.next === first && !p.isProbing && !p.window.isFull(s.config)) {
      sendRange(s, p, first, last, bytes, nowMs, out);
    }
  }
}

/** Changes the membership, or says in `refusal` why not now. */
export function configure(
  s: CoreState,
  event: CoreEvent & { kind: 'configure' },
  nowMs: number,
  out: Effects,
): void {
  out.proposedFirst = 0;
  const planned = plan(s, event.transition, event.changes, event.leaseMs);
  if (typeof planned === 'string') {
    out.refusal = planned;
    return;
  }
  out.refusal = null;
  appendConfiguration(s, planned, nowMs, out);
}

function appendConfiguration(
  s: CoreState,
  configuration: Configuration,
  nowMs: number,
  out: Effects,
): void {
  assert(out.appendLast === 0, 'effects that append are carried out before the next change');
  const index = s.runs.lastIndex + 1;
  s.runs.append(index, s.term);
  out.proposedFirst = index;
  out.appendFirst = index;
  out.appendLast = index;
  out.appendConfiguration = configuration;
  const streamBefore = s.streamLast;
  adopt(s, configuration, index, nowMs, out);
  for (const p of s.peers) {
    // Who is new is probed with this very entry.
    if (p.stream > streamBefore) sendRange(s, p, index, index, configurationBytes, nowMs, out);
  }
  sendNew(s, index, index, configurationBytes, nowMs, out);
  s.deadlineMs =
    s.peers.length === 0
      ? Number.POSITIVE_INFINITY
      : Math.min(s.deadlineMs, nowMs + s.config.heartbeatMs);
}

/** `persisted`: our own entries count as a copy now. Those of older terms need not: they are not counted. */
export function ownEntriesDurable(s: CoreState, index: number, nowMs: number, out: Effects): void {
  assert(index <= s.runs.lastIndex, 'what became durable was appended');
  if (index <= s.selfMatch) return;
  s.selfMatch = index;
  commitByCounting(s, nowMs, out);
}

export function onAppendAnswer(s: CoreState, m: Message, nowMs: number, out: Effects): void {
  const p = peerOf(s, m.from);
  if (s.role !== 'leader' || p === null) return;
  if (p.generation !== m.fromGeneration) return;
  p.lastAnswerMs = nowMs;
  if (m.stream !== p.stream) return;
  if (m.granted) onGranted(s, p, m.index, nowMs, out);
  else onRefused(s, p, m.index, m.hintTerm, nowMs, out);
}

function onGranted(s: CoreState, p: Progress, index: number, nowMs: number, out: Effects): void {
  const isShort = p.isProbing && !p.awaitsSnapshot && index < p.next - 1;
  if (index > s.runs.lastIndex || isShort) {
    // It cannot hold what was never written, nor match less than the probe that it grants.
    s.ignoredCount++;
    return;
  }
  const isNews = index > p.match;
  if (isNews) p.match = index;
  if (p.awaitsSnapshot && p.match < s.runs.firstIndex - 1) {
    // A late answer to what was sent before it fell behind.
    if (p.next <= p.match) p.next = p.match + 1;
  } else if (p.isProbing) {
    p.startReplicating();
  } else {
    if (p.next <= p.match) p.next = p.match + 1;
    p.window.freeTo(index);
  }
  if (p.next <= s.runs.lastIndex && !p.isProbing) sendMissing(s, p, nowMs, out);
  if (!isNews) return;
  if (index > s.commitIndex) commitByCounting(s, nowMs, out);
  if (p.nodeId === s.transferTo) handOver(s, p, out);
}

/** The follower's log does not continue ours there: find where it does, a term at a time. */
function onRefused(
  s: CoreState,
  p: Progress,
  hintIndex: number,
  hintTerm: number,
  nowMs: number,
  out: Effects,
): void {
  if (p.awaitsSnapshot) return;
  const { runs } = s;
  const probed = p.next - 1;
  if (p.isProbing && probed <= p.match) {
    // It refuses what it acknowledged in this very term.
    if (probed === 0 || !p.mayRevert) {
      tellReverted(s, p, out);
      return;
    }
    p.mayRevert = false;
    p.match = 0;
  }
  if (Math.max(hintIndex, p.match) < runs.firstIndex - 1) {
    needSnapshot(p, out);
    return;
  }
  let prev = runs.lastIndexNotAbove(hintIndex, hintTerm);
  // A probe must come down, whatever the hint says; a pipelined append may have been refused far below `next`.
  if (p.isProbing && prev >= probed) prev = probed - 1;
  prev = Math.max(prev, p.match);
  p.startProbe(prev + 1, ++s.streamLast);
  sendProbe(s, p, nowMs, out);
}

/**
 * Its log ends before, or differs from, what it acknowledged: a correct replica's never does. It is told, and told again
 * when it shows life; nothing more is sent, because what was counted on it may be committed and lost.
 */
function tellReverted(s: CoreState, p: Progress, out: Effects): void {
  p.probeSent = true;
  if (p.match === 0) return;
  const m = pushMessage(s, out.messages, messageKinds.logReverted, p.nodeId, p.generation);
  m.index = p.match;
}

/** What it misses is compacted here. */
function needSnapshot(p: Progress, out: Effects): void {
  p.startAwaitingSnapshot();
  // Who is being left out is not worth one.
  if (!p.isDeparting) out.snapshotsNeeded.push(p.nodeId);
}

/** The snapshot did not get through. A sign of life begins anew. */
export function onSnapshotFailed(s: CoreState, nodeId: number): void {
  const p = peerOf(s, nodeId);
  if (p === null || !p.awaitsSnapshot) return;
  p.startProbe(restartNext(s, p), ++s.streamLast);
  p.probeSent = true;
}

export function onHeartbeatAnswer(s: CoreState, m: Message, nowMs: number, out: Effects): void {
  const p = peerOf(s, m.from);
  if (s.role !== 'leader' || p === null || p.generation !== m.fromGeneration) return;
  p.lastAnswerMs = nowMs;
  if (m.token > s.tokenLast) {
    s.ignoredCount++;
  } else {
    noteAnswered(p, m.token);
    if (m.token > p.readToken) {
      p.readToken = m.token;
      confirmReads(s, out);
    }
  }
  // Appends that left a moment ago are probably under way still. Those older than an interval have had their time.
  if (p.awaitsSnapshot || nowMs < p.lastAppendMs + s.config.heartbeatMs) return;
  if (p.isProbing) {
    p.probeSent = false;
    sendProbe(s, p, nowMs, out);
  } else if (p.match < p.next - 1) {
    // Empty: granted, it stands for all lost answers; refused, it tells where the first lost append belongs. Where our log
    // begins behind it, what it needs next is compacted, whatever became of the appends before.
    if (p.next < s.runs.firstIndex) needSnapshot(p, out);
    else sendRange(s, p, p.next, p.next - 1, 0, nowMs, out);
  }
}

/** The connection broke: nothing more is sent on the old stream, and nothing at all before a sign of life. */
export function onPeerLost(s: CoreState, nodeId: number): void {
  const p = peerOf(s, nodeId);
  if (p === null) return;
  p.startProbe(restartNext(s, p), ++s.streamLast);
  p.probeSent = true;
}

export function onPeerBack(s: CoreState, nodeId: number, nowMs: number, out: Effects): void {
  const p = peerOf(s, nodeId);
  if (p === null) return;
  p.startProbe(restartNext(s, p), ++s.streamLast);
  sendProbe(s, p, nowMs, out);
}

/**
 * Where nothing has matched yet, the last guess is as good as any: match + 1 would mean the whole log. Never below what is
 * present: whoever holds more than was heard of needs no snapshot.
 */
function restartNext(s: CoreState, p: Progress): number {
  return Math.max(p.match > 0 ? p.match + 1 : p.next, s.runs.firstIndex);
}

/** The one append of a probing peer, with as many entries as one append takes. */
function sendProbe(s: CoreState, p: Progress, nowMs: number, out: Effects): void {
  if (p.probeSent) return;
  sendNext(s, p, nowMs, out);
}

/** All that is missing and fits the window. */
function sendMissing(s: CoreState, p: Progress, nowMs: number, out: Effects): void {
  while (p.next <= s.runs.lastIndex && !p.window.isFull(s.config)) {
    if (!sendNext(s, p, nowMs, out)) return;
  }
}

/** One append from `next` on: a part of one term's run, cut by bytes. False where our log begins after `next`. */
function sendNext(s: CoreState, p: Progress, nowMs: number, out: Effects): boolean {
  const first = p.next;
  if (first < s.runs.firstIndex) {
    needSnapshot(p, out);
    return false;
  }
  let last = first - 1;
  let bytes = 0;
  if (first <= s.runs.lastIndex) {
    const runEnd = s.runs.runEnd(first);
    last = s.log.lastIndexWithin(first, runEnd, s.config.appendBytesMax);
    assert(last >= first && last <= runEnd, 'LogView cuts inside the range it was asked about');
    bytes = s.log.bytesBetween(first, last);
  }
  sendRange(s, p, first, last, bytes, nowMs, out);
  return true;
}

/** An append of the entries first..last, all of one term; none where last = first - 1. */
function sendRange(
  s: CoreState,
  p: Progress,
  first: number,
  last: number,
  bytes: number,
  nowMs: number,
  out: Effects,
): void {
  const m = pushMessage(s, out.messages, messageKinds.append, p.nodeId, p.generation);
  m.prevIndex = first - 1;
  m.prevTerm = s.runs.termAt(first - 1);
  m.lastIndex = last;
  m.entriesTerm = last >= first ? s.runs.termAt(first) : 0;
  m.commit = s.commitIndex;
  m.stream = p.stream;
  p.lastSentMs = nowMs;
  p.lastAppendMs = nowMs;
  if (p.isProbing) {
    p.probeSent = true;
  } else if (last >= first) {
    p.next = last + 1;
    p.window.add(last, bytes, s.config);
  }
}

/** Commits the highest entry of our own term that a quorum (of both halves, where there are two) holds durably. */
function commitByCounting(s: CoreState, nowMs: number, out: Effects): void {
  const index = quorumMatch(s);
  if (index <= s.commitIndex || index < s.leaderFirstIndex) return;
  const isFirst = s.commitIndex < s.leaderFirstIndex;
  const isChange = s.commitIndex < s.configurationIndex && index >= s.configurationIndex;
  advanceCommit(s, index, out);
  if (index >= s.uncommittedMark) {
    s.uncommittedBefore = s.uncommittedSince;
    s.uncommittedSince = 0;
    s.uncommittedMark = s.runs.lastIndex;
  }
  if (isFirst) startHeldRound(s, nowMs, out);
  if (isChange || isFirst) onConfigurationCommitted(s, nowMs, out);
}

/** What each voter holds, by position; filled anew for each count. */
const acked: number[] = new Array<number>(votersMax).fill(0);

/** What the configuration that counts has committed. The leader's own copy counts only where it has a vote. */
function quorumMatch(s: CoreState): number {
  const { configuration, ownBit, peers } = s;
  if (configuration.incoming === 0b111 && peers.length === 2 && configuration.outgoing === 0) {
    // Three voters and nobody else, as in most groups (a leader without a vote would have three peers): the median.
    return committedOfThree(
      s.selfMatch,
      (peers[0] as Progress).match,
      (peers[1] as Progress).match,
    );
  }
  if (ownBit !== 0) acked[31 - Math.clz32(ownBit)] = s.selfMatch;
  for (let i = 0; i < peers.length; i++) {
    const p = peers[i] as Progress;
    if (p.position >= 0) acked[p.position] = p.match;
  }
  const index = committedIn(acked, configuration.incoming);
  return configuration.outgoing === 0
    ? index
    : Math.min(index, committedIn(acked, configuration.outgoing));
}

/** The configuration that counts is committed, and so is an entry of this term: go on to what follows by itself. */
function onConfigurationCommitted(s: CoreState, nowMs: number, out: Effects): void {
  if (s.commitIndex < s.configurationIndex) return;
  for (const p of s.peers) if (p.isDeparting) sendCommit(s, p, nowMs, out);
  dropDeparting(s);
  if (s.ownBit === 0 && s.config.stepDownOnRemoval !== false) {
    for (const p of s.peers) sendCommit(s, p, nowMs, out);
    becomeFollower(s, s.term, 0, nowMs, out);
    return;
  }
  const next = nextByItself(s);
  if (next !== null) appendConfiguration(s, next, nowMs, out);
}

/** Tells a follower what is committed now, where no other message would. */
function sendCommit(s: CoreState, p: Progress, nowMs: number, out: Effects): void {
  if (!p.isProbing && p.next >= s.runs.firstIndex) {
    sendRange(s, p, p.next, p.next - 1, 0, nowMs, out);
  }
}

/** A leader's tick: check-quorum, the end of a transfer, then a heartbeat to every peer that was sent nothing lately. */
export function leaderTick(s: CoreState, nowMs: number, out: Effects): void {
  const { heartbeatMs } = s.config;
  const { leaseMs } = s.configuration;
  if (checksQuorum(s) && !hearsQuorum(s, nowMs)) {
    becomeFollower(s, s.term, 0, nowMs, out);
    return;
  }
  if (s.transferTo !== 0) transferTick(s, nowMs, out);
  // A lease is renewed by every interval's answers; else only an open read round has a question.
  const token = leaseMs > 0 ? ++s.tokenLast : newestToken(s);
  let dueMs = Number.POSITIVE_INFINITY;
  for (const p of s.peers) {
    // Appends keep followers quiet as well, but only a heartbeat repeats the question of a read round.
    const isIdle = p.lastSentMs + heartbeatMs <= nowMs;
    if (isIdle || token > p.readToken) sendHeartbeat(s, p, token, nowMs, out);
    if (isIdle && p.window.count === 0) p.window.release();
    dueMs = Math.min(dueMs, p.lastSentMs + heartbeatMs);
  }
  s.deadlineMs = leaseMs > 0 ? Math.min(dueMs, nowMs + heartbeatMs) : dueMs;
  if (s.transferTo !== 0) s.deadlineMs = Math.min(s.deadlineMs, s.transferDueMs);
}

function hearsQuorum(s: CoreState, nowMs: number): boolean {
  const electionMsMin = electionMsMinOf(s);
  let heard = s.ownBit;
  for (const p of s.peers) {
    if (p.position >= 0 && nowMs < p.lastAnswerMs + electionMsMin) heard |= 1 << p.position;
  }
  return voteInBoth(heard, 0, s.configuration) === 'won';
}

/** Entries up to `index` are in a durable snapshot and leave the log. */
export function compact(s: CoreState, index: number): void {
  if (index < s.runs.firstIndex) return;
  assert(index <= s.commitIndex, 'only what is committed is compacted');
  s.runs.compact(index);
}
