// Elections: campaigning, giving and counting votes (Raft §5.2, §5.4.1; pre-vote thesis §9.6; check-quorum §6.2).
//
// What keeps one leader per term:
// 1. A vote request leaves only once the candidate's own term and vote are durable, a granted answer only once the vote
//    is: both travel in afterPersist.
// 2. A candidate counts its own vote only when `persisted` names its term and itself.
// 3. Votes are bits by voter: an answer that arrives twice counts once, one from a stranger, or from another replica of a
//    voter's node, never. A joint configuration is won in both halves.
// 4. A replica that its own log leaves out without that being committed may campaign still, without a vote of its own: it
//    may be the only one that holds the entry without which nobody else can win (thesis §4.2.2).
// 5. A replica votes once a term, for one replica of one node, and only for a log that is at least as up to date as its own.
//
// What keeps elections possible with pre-vote and check-quorum in any mixture: a request of a lower term is always
// answered with our own term, never dropped, so that a replica left behind catches up; a pre-vote never changes a term;
// only requests of a higher term are ignored for a living leader's sake, and never those that a leader forces.

import type { Effects } from './effects.ts';
import { isLoyal, isPromised } from './lease.ts';
import { type Message, type MessageKind, messageKinds } from './message.ts';
import { voteInBoth } from './quorum.ts';
import { startReplication } from './replication.ts';
import { becomeCandidate, becomeFollower, becomeLeader, becomePreCandidate } from './roles.ts';
import {
  type CoreState,
  noteHardState,
  pushMessage,
  restartElectionTimer,
  termAnswers,
} from './state.ts';

/** Starts a campaign, with a pre-vote round first or at once. Ignored on a leader and where there is no right to it. */
export function campaign(s: CoreState, preVote: boolean, nowMs: number, out: Effects): void {
  if (!mayCampaign(s) || isPromised(s, nowMs)) return;
  if (preVote) {
    becomePreCandidate(s, nowMs, out);
    s.votesGranted = s.ownBit;
    if (!wins(s)) {
      requestVotes(s, messageKinds.preVote, s.term + 1, false, out);
      return;
    }
  }
  becomeCandidate(s, nowMs, out);
  requestVotes(s, messageKinds.vote, s.term, false, out);
}

/** The leader hands over to us: no pre-vote, and nobody is to be loyal to it any more (thesis §3.10). */
export function onTimeoutNow(s: CoreState, m: Message, nowMs: number, out: Effects): void {
  if (m.term < s.term || s.role === 'leader') return;
  if (m.term > s.term) becomeFollower(s, m.term, m.from, nowMs, out);
  if (s.role !== 'follower' || (s.leader !== 0 && s.leader !== m.from) || !mayCampaign(s)) return;
  becomeCandidate(s, nowMs, out);
  requestVotes(s, messageKinds.vote, s.term, true, out);
}

function mayCampaign(s: CoreState): boolean {
  if (s.role === 'leader' || !s.mayLead) return false;
  if (s.term < Number.MAX_SAFE_INTEGER && s.runs.lastIndex < Number.MAX_SAFE_INTEGER) return true;
  // The numbers are used up (somebody sent an absurd term). Standing still is safe; wrapping around is not.
  s.deadlineMs = Number.POSITIVE_INFINITY;
  return false;
}

function requestVotes(
  s: CoreState,
  kind: MessageKind,
  term: number,
  forced: boolean,
  out: Effects,
): void {
  // A pre-vote request promises nothing; a vote request says that we voted for ourselves.
  const list = kind === messageKinds.vote ? out.afterPersist : out.messages;
  const { configuration } = s;
  for (const voter of configuration.votingIds) {
    if (voter === s.nodeId) continue;
    const generation = configuration.memberOf(voter)?.generation ?? 1;
    const m = pushMessage(s, list, kind, voter, generation);
    m.term = term;
    m.index = s.runs.lastIndex;
    m.logTerm = s.runs.lastTerm;
    m.forced = forced;
  }
}

/** `persisted` showed that our term and our vote for ourselves are durable. */
export function countOwnVote(s: CoreState, nowMs: number, out: Effects): void {
  s.votesGranted |= s.ownBit;
  if (wins(s)) takeLeadership(s, nowMs, out);
}

function takeLeadership(s: CoreState, nowMs: number, out: Effects): void {
  becomeLeader(s, nowMs, out);
  startReplication(s, nowMs, out);
}

/** A vote or pre-vote request of any term. */
export function onVoteRequest(s: CoreState, m: Message, nowMs: number, out: Effects): void {
  const isPre = m.kind === messageKinds.preVote;
  if (m.term > s.term) {
    if (!m.forced && isLoyal(s, nowMs)) return;
    if (!isPre) becomeFollower(s, m.term, 0, nowMs, out);
  } else if (!m.forced && s.leader === 0 && !hasVoteOf(s, m) && isPromised(s, nowMs)) {
    // The term was learned from somebody, but what a lease rests on is a promise in time, not in terms.
    return;
  }
  const isFree =
    m.term >= s.term &&
    (hasVoteOf(s, m) || (s.votedFor === 0 && s.leader === 0) || (isPre && m.term > s.term));
  const isGranted = isFree && isUpToDate(s, m.index, m.logTerm);
  if (isGranted && !isPre) {
    if (!hasVoteOf(s, m)) {
      s.votedFor = m.from;
      s.votedGeneration = m.fromGeneration;
      noteHardState(s, out);
      // A repeated request restarts nothing: a late copy must not lengthen the loyalty to a leader elected since.
      restartElectionTimer(s, nowMs);
    }
  }
  const list = isGranted ? out.afterPersist : termAnswers(s, out);
  const kind = isPre ? messageKinds.preVoteAnswer : messageKinds.voteAnswer;
  const answer = pushMessage(s, list, kind, m.from, m.fromGeneration);
  answer.granted = isGranted;
  if (isGranted) answer.term = m.term;
}

/** Whether the sender is who has our vote: another replica of that node, which knows nothing of it, is not. */
function hasVoteOf(s: CoreState, m: Message): boolean {
  return s.votedFor === m.from && s.votedGeneration === m.fromGeneration;
}

/** Raft §5.4.1: the later last term wins, then the longer log. */
function isUpToDate(s: CoreState, index: number, logTerm: number): boolean {
  const { lastTerm, lastIndex } = s.runs;
  return logTerm > lastTerm || (logTerm === lastTerm && index >= lastIndex);
}

/** An answer to a pre-vote or vote request; refusals of a higher term have been acted upon already. */
export function onVoteAnswer(s: CoreState, m: Message, nowMs: number, out: Effects): void {
  const isPre = m.kind === messageKinds.preVoteAnswer;
  if (s.role !== (isPre ? 'preCandidate' : 'candidate')) return;
  // A granted pre-vote names the term that was asked for, a refusal (and any vote) the current one.
  if (m.term !== (isPre && m.granted ? s.term + 1 : s.term)) return;
  // A vote counts only from the very replica that the configuration names.
  const { configuration } = s;
  const bit = configuration.bitOf(m.from);
  if (bit === 0 || configuration.memberOf(m.from)?.generation !== m.fromGeneration) return;
  if (((s.votesGranted | s.votesRefused) & bit) !== 0) return;
  if (m.granted) {
    s.votesGranted |= bit;
    if (!wins(s)) return;
    if (isPre) campaign(s, false, nowMs, out);
    else takeLeadership(s, nowMs, out);
    return;
  }
  s.votesRefused |= bit;
  // Not to be won any more: whatever the others say, too few are left. Wait for the next time-out as a follower.
  if (voteInBoth(s.votesGranted, s.votesRefused, configuration) === 'lost') {
    becomeFollower(s, s.term, 0, nowMs, out);
  }
}

/**
 * A quorum granted. A candidate must also know its own term durable: `persisted` may reach it after the answers that it
 * made possible, and a leader's first append would then carry a term that it does not know to be its own for good.
 */
function wins(s: CoreState): boolean {
  if (s.role === 'candidate' && s.durableTerm !== s.term) return false;
  return voteInBoth(s.votesGranted, s.votesRefused, s.configuration) === 'won';
}
