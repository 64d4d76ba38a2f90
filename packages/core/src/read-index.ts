// Linearizable reads without writing: ReadIndex (thesis §6.4), with tokens that the leader makes.
//
// 1. Every `read` opens a new round whose heartbeats leave in that very step: a read never joins a round whose messages
//    left before it arrived.
// 2. A token is drawn once in a core's life, and only answers of the current term count, so an answer to an old question
//    can never confirm a new one. An answer to token t confirms every round up to t from that peer.
// 3. No round begins before an entry of the leader's own term is committed: until then it may not know how far its
//    predecessors committed. Earlier reads are held, share one round, and its index is taken when it begins.
// 4. The memory is bounded: past `roundsMax` open rounds, new reads join the newest place under a newer token and index.

import { assert } from './assert.ts';
import type { Effects } from './effects.ts';
import { sendHeartbeat } from './heartbeat.ts';
import { type Message, messageKinds } from './message.ts';
import type { Progress } from './progress.ts';
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
  readonly remoteRounds: number[] = [];
  readonly remoteNodes: number[] = [];
  readonly remoteTokens: number[] = [];
}

/** Local reads arrived. */
export function read(s: CoreState, nowMs: number, out: Effects): void {
  out.readToken = s.role === 'leader' ? openRound(s, nowMs, out) : 0;
}

/** A follower asks for a read index. */
export function onReadIndex(s: CoreState, m: Message, nowMs: number, out: Effects): void {
  const waiting = s.reads === null ? 0 : s.reads.remoteRounds.length;
  if (s.role !== 'leader' || m.term < s.term || waiting >= remotesMax) {
    const answer = pushMessage(s, termAnswers(s, out), messageKinds.readIndexAnswer, m.from);
    answer.token = m.token;
    return;
  }
  const round = openRound(s, nowMs, out);
  const reads = roundsOf(s);
  reads.remoteRounds.push(round);
  reads.remoteNodes.push(m.from);
  reads.remoteTokens.push(m.token);
}

function roundsOf(s: CoreState): ReadRounds {
  s.reads ??= new ReadRounds();
  return s.reads;
}

function openRound(s: CoreState, nowMs: number, out: Effects): number {
  const token = ++s.tokenLast;
  if (s.commitIndex < s.leaderFirstIndex) roundsOf(s).heldToken = token;
  else startRound(s, token, nowMs, out);
  return token;
}

function startRound(s: CoreState, token: number, nowMs: number, out: Effects): void {
  assert(s.commitIndex >= s.leaderFirstIndex, 'no read before a commit of the own term');
  if (s.quorum === 1) {
    out.reads.push({ token, index: s.commitIndex });
    return;
  }
  const reads = roundsOf(s);
  if (reads.tokens.length === roundsMax) {
    reads.tokens.pop();
    reads.indexes.pop();
  }
  reads.tokens.push(token);
  reads.indexes.push(s.commitIndex);
  for (const p of s.peers) sendHeartbeat(s, p, nowMs, out);
}

/** The first entry of the term is committed. */
export function startHeldRound(s: CoreState, nowMs: number, out: Effects): void {
  if (s.reads === null || s.reads.heldToken === 0) return;
  const token = s.reads.heldToken;
  s.reads.heldToken = 0;
  startRound(s, token, nowMs, out);
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
  out.reads.push({ token, index });
  let answered = 0;
  while (
    answered < reads.remoteRounds.length &&
    (reads.remoteRounds[answered] as number) <= token
  ) {
    const to = reads.remoteNodes[answered] as number;
    const answer = pushMessage(s, out.messages, messageKinds.readIndexAnswer, to);
    answer.granted = true;
    answer.token = reads.remoteTokens[answered] as number;
    answer.index = index;
    answered++;
  }
  reads.remoteRounds.splice(0, answered);
  reads.remoteNodes.splice(0, answered);
  reads.remoteTokens.splice(0, answered);
  if (reads.tokens.length === 0 && reads.heldToken === 0 && reads.remoteRounds.length === 0) {
    s.reads = null;
  }
}

function isAnswered(s: CoreState, token: number): boolean {
  let answers = 1;
  const peers = s.peers;
  for (let i = 0; i < peers.length; i++) if ((peers[i] as Progress).readToken >= token) answers++;
  return answers >= s.quorum;
}

/** Leadership is lost, and every open round with it. */
export function voidReads(s: CoreState, out: Effects): void {
  out.readsVoid = true;
  const reads = s.reads;
  if (reads === null) return;
  s.reads = null;
  for (let i = 0; i < reads.remoteRounds.length; i++) {
    const to = reads.remoteNodes[i] as number;
    const answer = pushMessage(s, termAnswers(s, out), messageKinds.readIndexAnswer, to);
    answer.token = reads.remoteTokens[i] as number;
  }
}
