// The four roles and the ways between them. A transition changes state and notes what must become durable; who is asked
// for votes and what is sent afterwards stands in election.ts and replication.ts.
//
// The rule that all of them keep: a vote is cleared only together with a change of term (Raft §5.2). A replica that
// steps down within its term has still voted in it.

import { assert } from './assert.ts';
import type { Effects } from './effects.ts';
import { trackMembers } from './membership.ts';
import { voidAsked, voidReads } from './read-index.ts';
import {
  type CoreState,
  dropPeers,
  noteHardState,
  isFirstCampaign,
  restartElectionTimer,
  startFirstCampaignTimer,
  uncommittedBytes,
} from './state.ts';

/** Follows `leader` (0 = not known yet) in `term`, which is not below ours. */
export function becomeFollower(
  s: CoreState,
  term: number,
  leader: number,
  nowMs: number,
  out: Effects,
): void {
  assert(term >= s.term, 'a term never falls');
  const wasLeader = s.role === 'leader';
  const wasFollower = s.role === 'follower';
  if (s.askedToken !== 0 && (term > s.term || leader !== s.leader)) voidAsked(s, out);
  s.role = 'follower';
  s.leader = leader;
  s.votesGranted = 0;
  s.votesRefused = 0;
  if (term > s.term) {
    s.term = term;
    s.votedFor = 0;
    s.votedGeneration = 0;
    s.verifiedIndex = 0;
    noteHardState(s, out);
  }
  if (wasLeader) {
    dropPeers(s);
    s.leaderFirstIndex = 0;
    s.selfMatch = 0;
    s.transferTo = 0;
    s.isLeaseOver = false;
    voidReads(s, out);
  }
  // A follower that merely learned of a term goes on waiting: a stale candidate must not keep it quiet for ever.
  if (!wasFollower || leader !== 0) restartElectionTimer(s, nowMs);
  out.stateChanged = true;
}

/** Asks whether an election could be won, without touching the term (thesis §9.6). */
export function becomePreCandidate(s: CoreState, nowMs: number, out: Effects): void {
  assert(s.role !== 'leader' && s.mayLead, 'only a voter that does not lead campaigns');
  if (s.askedToken !== 0) voidAsked(s, out);
  const isFirst = s.role === 'follower';
  s.role = 'preCandidate';
  s.leader = 0;
  s.votesGranted = 0;
  s.votesRefused = 0;
  startCampaignTimer(s, isFirst, nowMs);
  out.stateChanged = true;
}

export function becomeCandidate(s: CoreState, nowMs: number, out: Effects): void {
  assert(s.role !== 'leader' && s.mayLead, 'only a voter that does not lead campaigns');
  if (s.askedToken !== 0) voidAsked(s, out);
  // A pre-candidate that may win goes on with the campaign it began.
  const isFirst = s.role === 'follower' || (s.role === 'preCandidate' && isFirstCampaign(s));
  s.role = 'candidate';
  s.leader = 0;
  s.term++;
  s.votedFor = s.nodeId;
  s.votedGeneration = s.generation;
  s.verifiedIndex = 0;
  s.votesGranted = 0;
  s.votesRefused = 0;
  startCampaignTimer(s, isFirst, nowMs);
  noteHardState(s, out);
  out.stateChanged = true;
}

function startCampaignTimer(s: CoreState, isFirst: boolean, nowMs: number): void {
  if (isFirst) startFirstCampaignTimer(s, nowMs);
  else restartElectionTimer(s, nowMs);
}

/** Takes leadership and appends the blank entry of the term. */
export function becomeLeader(s: CoreState, nowMs: number, out: Effects): void {
  assert(s.role === 'candidate' && s.votedFor === s.nodeId, 'only a candidate wins');
  assert(s.durableTerm === s.term, 'a leader leads in a durable term');
  assert(s.runs.lastTerm < s.term, 'a new leader has no entry of its own term');
  const blank = s.runs.lastIndex + 1;
  s.role = 'leader';
  s.leader = s.nodeId;
  s.votesGranted = 0;
  s.votesRefused = 0;
  s.leaderFirstIndex = blank;
  s.selfMatch = 0;
  // What earlier leaders left counts too: leaders that take turns must not each add as much again (etcd raft #11).
  s.uncommittedBefore = uncommittedBytes(s);
  s.uncommittedSince = 0;
  s.uncommittedMark = blank;
  trackMembers(s, blank, nowMs);
  s.runs.append(blank, s.term);
  out.appendFirst = blank;
  out.appendLast = blank;
  out.proposedFirst = blank;
  s.deadlineMs = s.peers.length > 0 ? nowMs + s.config.heartbeatMs : Number.POSITIVE_INFINITY;
  out.stateChanged = true;
}
