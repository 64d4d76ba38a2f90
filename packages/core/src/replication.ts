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
import type { Effects } from './effects.ts';
import { sendHeartbeat } from './heartbeat.ts';
import { type Message, messageKinds } from './message.ts';
import type { Progress } from './progress.ts';
import { confirmReads, startHeldRound } from './read-index.ts';
import { becomeFollower } from './roles.ts';
import { advanceCommit, type CoreState, newestToken, peerOf, pushMessage } from './state.ts';

/** A new leader's blank entry goes out as the first probe: most followers hold all that stands before it. */
export function startReplication(s: CoreState, nowMs: number, out: Effects): void {
  const blank = s.leaderFirstIndex;
  for (const p of s.peers) sendRange(s, p, blank, blank, 0, nowMs, out);
}

/** Takes `count` commands, or refuses them (proposedFirst 0) where this replica does not lead. */
export function propose(
  s: CoreState,
  count: number,
  bytes: number,
  nowMs: number,
  out: Effects,
): void {
  out.proposedFirst = 0;
  assert(Number.isSafeInteger(count) && count >= 1, 'a proposal holds commands');
  if (s.role !== 'leader') return;
  const first = s.runs.lastIndex + 1;
  const last = s.runs.lastIndex + count;
  if (last > Number.MAX_SAFE_INTEGER) return;
  assert(out.appendLast === 0, 'effects that append are carried out before the next proposal');
  s.runs.append(last, s.term);
  out.proposedFirst = first;
  out.appendFirst = first;
  out.appendLast = last;
  const peers = s.peers;
  for (let i = 0; i < peers.length; i++) {
    const p = peers[i] as Progress;
    // A follower that lags gets these entries later, in order, when its answers make room.
    if (p.next === first && !p.isProbing && !p.window.isFull) {
      sendRange(s, p, first, last, bytes, nowMs, out);
    }
  }
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
  p.lastAnswerMs = nowMs;
  if (m.stream !== p.stream) return;
  if (m.granted) onGranted(s, p, m.index, nowMs, out);
  else onRefused(s, p, m.index, m.hintTerm, nowMs, out);
}

function onGranted(s: CoreState, p: Progress, index: number, nowMs: number, out: Effects): void {
  if (index > s.runs.lastIndex || (p.isProbing && index < p.next - 1)) {
    // It cannot hold what was never written, nor match less than the probe that it grants.
    s.ignoredCount++;
    return;
  }
  const isNews = index > p.match;
  if (isNews) p.match = index;
  if (p.isProbing) {
    p.startReplicating();
  } else {
    if (p.next <= p.match) p.next = p.match + 1;
    p.window.freeTo(index);
  }
  if (p.next <= s.runs.lastIndex) sendMissing(s, p, nowMs, out);
  if (isNews && index > s.commitIndex) commitByCounting(s, nowMs, out);
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
  const probed = p.next - 1;
  let prev = s.runs.lastIndexNotAbove(hintIndex, hintTerm);
  // A probe must come down, whatever the hint says; a pipelined append may have been refused far below `next`.
  if (p.isProbing && prev >= probed) prev = probed - 1;
  prev = Math.max(prev, p.match);
  const isStuck = p.isProbing && prev >= probed;
  p.startProbe(prev + 1, ++s.streamLast);
  // Stuck: it refuses even what it had acknowledged, or our log begins too late. Heartbeats set the pace then.
  if (isStuck) p.probeSent = true;
  else sendProbe(s, p, nowMs, out);
}

export function onHeartbeatAnswer(s: CoreState, m: Message, nowMs: number, out: Effects): void {
  const p = peerOf(s, m.from);
  if (s.role !== 'leader' || p === null) return;
  p.lastAnswerMs = nowMs;
  if (m.token > s.tokenLast) {
    s.ignoredCount++;
  } else if (m.token > p.readToken) {
    p.readToken = m.token;
    confirmReads(s, out);
  }
  // Appends that left a moment ago are probably under way still. Those older than an interval have had their time.
  if (nowMs < p.lastAppendMs + s.config.heartbeatMs) return;
  if (p.isProbing) {
    p.probeSent = false;
    sendProbe(s, p, nowMs, out);
  } else if (p.match < p.next - 1) {
    // Empty: granted, it stands for all lost answers; refused, it tells where the first lost append belongs.
    sendRange(s, p, p.next, p.next - 1, 0, nowMs, out);
  }
}

/** The connection broke: nothing more is sent on the old stream, and nothing at all before a sign of life. */
export function onPeerLost(s: CoreState, nodeId: number): void {
  const p = peerOf(s, nodeId);
  if (p === null) return;
  p.startProbe(restartNext(p), ++s.streamLast);
  p.probeSent = true;
}

export function onPeerBack(s: CoreState, nodeId: number, nowMs: number, out: Effects): void {
  const p = peerOf(s, nodeId);
  if (p === null) return;
  p.startProbe(restartNext(p), ++s.streamLast);
  sendProbe(s, p, nowMs, out);
}

/** Where nothing has matched yet, the last guess is as good as any: match + 1 would mean the whole log. */
function restartNext(p: Progress): number {
  return p.match > 0 ? p.match + 1 : p.next;
}

/** The one append of a probing peer, with as many entries as one append takes. */
function sendProbe(s: CoreState, p: Progress, nowMs: number, out: Effects): void {
  if (p.probeSent) return;
  sendNext(s, p, nowMs, out);
}

/** All that is missing and fits the window. */
function sendMissing(s: CoreState, p: Progress, nowMs: number, out: Effects): void {
  while (p.next <= s.runs.lastIndex && !p.window.isFull) {
    if (!sendNext(s, p, nowMs, out)) return;
  }
}

/** One append from `next` on: a part of one term's run, cut by bytes. False where our log begins after `next`. */
function sendNext(s: CoreState, p: Progress, nowMs: number, out: Effects): boolean {
  const first = p.next;
  if (first < s.runs.firstIndex) {
    p.probeSent = true;
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
  const m = pushMessage(s, out.messages, messageKinds.append, p.nodeId);
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
    p.window.add(last, bytes);
  }
}

/** Commits the highest entry of our own term that a quorum holds durably. */
function commitByCounting(s: CoreState, nowMs: number, out: Effects): void {
  const index = quorumMatch(s);
  if (index <= s.commitIndex || index < s.leaderFirstIndex) return;
  const isFirst = s.commitIndex < s.leaderFirstIndex;
  advanceCommit(s, index, out);
  if (isFirst) startHeldRound(s, nowMs, out);
}

/**
 * The greatest index that at least a quorum of the voters match. By counting for each voter how many hold as much:
 * groups are small, and there is nothing to sort, so nothing can be unsorted.
 */
function quorumMatch(s: CoreState): number {
  const peers = s.peers;
  let best = 0;
  for (let i = -1; i < peers.length; i++) {
    const match = i < 0 ? s.selfMatch : (peers[i] as Progress).match;
    if (match <= best) continue;
    let holders = s.selfMatch >= match ? 1 : 0;
    for (let k = 0; k < peers.length; k++) if ((peers[k] as Progress).match >= match) holders++;
    if (holders >= s.quorum) best = match;
  }
  return best;
}

/** A leader's tick: check-quorum, then a heartbeat to every peer that nothing was sent to for an interval. */
export function leaderTick(s: CoreState, nowMs: number, out: Effects): void {
  const { checkQuorum, electionMsMin, heartbeatMs } = s.config;
  let dueMs = Number.POSITIVE_INFINITY;
  let active = 1;
  for (const p of s.peers) if (nowMs < p.lastAnswerMs + electionMsMin) active++;
  if (checkQuorum && active < s.quorum) {
    becomeFollower(s, s.term, 0, nowMs, out);
    return;
  }
  const token = newestToken(s);
  for (const p of s.peers) {
    // Appends keep followers quiet as well, but only a heartbeat repeats the question of a read round.
    const isIdle = p.lastSentMs + heartbeatMs <= nowMs;
    if (isIdle || token > p.readToken) sendHeartbeat(s, p, nowMs, out);
    if (isIdle && p.window.count === 0) p.window.release();
    dueMs = Math.min(dueMs, p.lastSentMs + heartbeatMs);
  }
  s.deadlineMs = dueMs;
}
