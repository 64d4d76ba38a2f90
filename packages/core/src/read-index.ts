// Linearizable reads without writing: ReadIndex (thesis §6.4), with tokens that the leader makes.
//
// 1. Every `read` opens a new round whose heartbeats leave in that very step: a read never joins a round whose messages
//    left before it arrived.
// 2. A token is drawn once in a core's life, and only answers of the current term count, so an answer to an old question
//    can never confirm a new one. An answer to token t confirms every round up to t from that peer.
// 3. No round begins before an entry of the leader's own term is committed: until then it may not know how far its
//    predecessors committed. Earlier reads are held, share one round, and its index is taken when it begins.
// 4. A leader with a valid lease (lease.ts) answers at once, unless the read wants a quorum; everything else is as without.
// 5. A follower that reads through its leader draws the token of its question itself, above all that an earlier life of
//    it can have drawn; an answer counts only from the leader it asked, in the term it asked in.
// 6. The memory is bounded: past `roundsMax` open rounds, new reads join the newest place under a newer token and index.

import { assert } from './assert.ts';
import type { Effects } from './effects.ts';
import { sendHeartbeat } from './heartbeat.ts';
import { hasLease } from './lease.ts';
import { type Message, type MessageList, messageKinds } from './message.ts';
import type { Progress } from './progress.ts';
import { voteInBoth } from './quorum.ts';
import { type CoreState, pushMessage, termAnswers } from './state.ts';

const roundsMax = 64;
/** Questions of followers that wait at one time; more are refused, and ask again. */
const remotesMax = 256;

/** Open rounds of one leader, oldest first, and the followers' questions that wait for them. */
export class ReadRounds {
  readonly tokens: number[] = [];
  readonly indexes: number[] = [];
  /** Newest token of the reads that wait for the first commit of the term; 0 = none. */
  heldToken = 0;
  /** One of those reads trusts no lease. */
  isHeldByQuorum = false;
  /** Newest open round of a read that trusts no lease, 0 = none. */
  byQuorumToken = 0;
  readonly remoteRounds: number[] = [];
  readonly remoteNodes: number[] = [];
  readonly remoteGenerations: number[] = [];
  readonly remoteTokens: number[] = [];
}

/** Local reads arrived. */
export function read(
  s: CoreState,
  viaLeader: boolean,
  byQuorum: boolean,
  nowMs: number,
  out: Effects,
): void {
  out.readToken = 0;
  out.refusal = null;
  if (s.role === 'leader') {
    out.readToken = openRound(s, byQuorum, nowMs, out);
  } else if (viaLeader && s.role === 'follower' && s.leader !== 0) {
    out.readToken = ++s.tokenLast;
    s.askedToken = out.readToken;
    ask(s, nowMs, out);
  } else {
    out.refusal = 'notLeader';
  }
}

/** Asks the leader for a read index with the newest token, which stands for all older ones. */
function ask(s: CoreState, nowMs: number, out: Effects): void {
  s.askedMs = nowMs;
  const generation = s.configuration.memberOf(s.leader)?.generation ?? 1;
  const m = pushMessage(s, termAnswers(s, out), messageKinds.readIndex, s.leader, generation);
  m.token = s.askedToken;
}

/** The leader lives; a question that it has not answered for an interval may be lost. */
export function askAgain(s: CoreState, nowMs: number, out: Effects): void {
  if (nowMs >= s.askedMs + s.config.heartbeatMs) ask(s, nowMs, out);
}

/** The leader's answer to a follower's question. */
export function onReadIndexAnswer(s: CoreState, m: Message, out: Effects): void {
  if (s.role !== 'follower' || m.from !== s.leader || s.askedToken === 0) return;
  if (m.token > s.askedToken) {
    s.ignoredCount++;
    return;
  }
  if (!m.granted) {
    // Asked again at the next heartbeat, if it still leads then.
    return;
  }
  out.reads.push({ token: m.token, index: m.index });
  if (m.token === s.askedToken) s.askedToken = 0;
}

/** The leader that was asked leads no more, or is not followed any more. */
export function voidAsked(s: CoreState, out: Effects): void {
  s.askedToken = 0;
  out.readsVoid = true;
}

/** A follower asks for a read index. */
export function onReadIndex(s: CoreState, m: Message, nowMs: number, out: Effects): void {
  const waiting = s.reads === null ? 0 : s.reads.remoteRounds.length;
  if (s.role !== 'leader' || m.term < s.term || waiting >= remotesMax) {
    answerRemote(s, termAnswers(s, out), m.from, m.fromGeneration, m.token);
    return;
  }
  if (s.commitIndex >= s.leaderFirstIndex && hasLease(s, nowMs)) {
    const answer = answerRemote(s, out.messages, m.from, m.fromGeneration, m.token);
    answer.granted = true;
    answer.index = s.commitIndex;
    return;
  }
  const round = openRound(s, false, nowMs, out);
  const reads = roundsOf(s);
  reads.remoteRounds.push(round);
  reads.remoteNodes.push(m.from);
  reads.remoteGenerations.push(m.fromGeneration);
  reads.remoteTokens.push(m.token);
}

function answerRemote(
  s: CoreState,
  list: MessageList,
  to: number,
  generation: number,
  token: number,
): Message {
  const answer = pushMessage(s, list, messageKinds.readIndexAnswer, to, generation);
  answer.token = token;
  return answer;
}

function roundsOf(s: CoreState): ReadRounds {
  s.reads ??= new ReadRounds();
  return s.reads;
}

function openRound(s: CoreState, byQuorum: boolean, nowMs: number, out: Effects): number {
  const token = ++s.tokenLast;
  if (s.commitIndex < s.leaderFirstIndex) hold(s, token, byQuorum);
  else startRound(s, token, byQuorum, nowMs, out);
  return token;
}

function hold(s: CoreState, token: number, byQuorum: boolean): void {
  const reads = roundsOf(s);
  reads.heldToken = token;
  if (byQuorum) reads.isHeldByQuorum = true;
}

function startRound(
  s: CoreState,
  token: number,
  byQuorum: boolean,
  nowMs: number,
  out: Effects,
): void {
  assert(s.commitIndex >= s.leaderFirstIndex, 'no read before a commit of the own term');
  if (
    (!byQuorum && mayTrustLease(s, nowMs)) ||
    voteInBoth(s.ownBit, 0, s.configuration) === 'won'
  ) {
    // Held questions of followers wait in this round too.
    confirm(s, token, s.commitIndex, out);
    return;
  }
  const reads = roundsOf(s);
  if (reads.tokens.length === roundsMax) {
    reads.tokens.pop();
    reads.indexes.pop();
  }
  reads.tokens.push(token);
  reads.indexes.push(s.commitIndex);
  if (byQuorum) reads.byQuorumToken = token;
  for (const p of s.peers) sendHeartbeat(s, p, s.tokenLast, nowMs, out);
}

/** Who confirms a round confirms all older ones, which must not be by lease while one of them trusts none. */
function mayTrustLease(s: CoreState, nowMs: number): boolean {
  return (s.reads === null || s.reads.byQuorumToken === 0) && hasLease(s, nowMs);
}

/** The first entry of the term is committed. */
export function startHeldRound(s: CoreState, nowMs: number, out: Effects): void {
  if (s.reads === null || s.reads.heldToken === 0) return;
  const token = s.reads.heldToken;
  const byQuorum = s.reads.isHeldByQuorum;
  s.reads.heldToken = 0;
  s.reads.isHeldByQuorum = false;
  // Asked under a number of its own: questions that were sent meanwhile may have been answered under a higher one.
  s.tokenLast++;
  startRound(s, token, byQuorum, nowMs, out);
}

/** A peer answered a newer token: confirms what a quorum, the leader included, has answered. */
export function confirmReads(s: CoreState, out: Effects): void {
  const reads = s.reads;
  if (reads === null) return;
  let confirmed = 0;
  while (confirmed < reads.tokens.length && isAnswered(s, reads.tokens[confirmed] as number)) {
    confirmed++;
  }
  if (confirmed === 0) return;
  const token = reads.tokens[confirmed - 1] as number;
  const index = reads.indexes[confirmed - 1] as number;
  reads.tokens.splice(0, confirmed);
  reads.indexes.splice(0, confirmed);
  if (token >= reads.byQuorumToken) reads.byQuorumToken = 0;
  confirm(s, token, index, out);
}

/** The rounds up to `token` may be answered at `index`. */
function confirm(s: CoreState, token: number, index: number, out: Effects): void {
  out.reads.push({ token, index });
  const { reads } = s;
  if (reads === null) return;
  let answered = 0;
  while (
    answered < reads.remoteRounds.length &&
    (reads.remoteRounds[answered] as number) <= token
  ) {
    const to = reads.remoteNodes[answered] as number;
    const generation = reads.remoteGenerations[answered] as number;
    const remoteToken = reads.remoteTokens[answered] as number;
    const answer = answerRemote(s, out.messages, to, generation, remoteToken);
    answer.granted = true;
    answer.index = index;
    answered++;
  }
  reads.remoteRounds.splice(0, answered);
  reads.remoteNodes.splice(0, answered);
  reads.remoteGenerations.splice(0, answered);
  reads.remoteTokens.splice(0, answered);
  if (reads.tokens.length === 0 && reads.heldToken === 0 && reads.remoteRounds.length === 0) {
    s.reads = null;
  }
}

/** Whether a quorum, of both halves where there are two, has answered the question since. */
function isAnswered(s: CoreState, token: number): boolean {
  let answered = s.ownBit;
  const peers = s.peers;
  for (let i = 0; i < peers.length; i++) {
    const p = peers[i] as Progress;
    if (p.position >= 0 && p.readToken >= token) answered |= 1 << p.position;
  }
  return voteInBoth(answered, 0, s.configuration) === 'won';
}

/** Leadership is lost, and every open round with it. */
export function voidReads(s: CoreState, out: Effects): void {
  out.readsVoid = true;
  const reads = s.reads;
  if (reads === null) return;
  s.reads = null;
  for (let i = 0; i < reads.remoteRounds.length; i++) {
    const to = reads.remoteNodes[i] as number;
    const generation = reads.remoteGenerations[i] as number;
    answerRemote(s, termAnswers(s, out), to, generation, reads.remoteTokens[i] as number);
  }
}
