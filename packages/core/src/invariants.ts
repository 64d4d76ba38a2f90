// What must hold between any two steps of a core. Checked after every step in tests and simulation; the checks that cost
// nothing stand as assertions where the state changes.

import { assert } from './assert.ts';
import type { CoreState } from './state.ts';

/** Throws AssertionFailure for the first of the numbered invariants that does not hold. */
export function checkInvariants(s: CoreState): void {
  const { runs } = s;
  const isLeader = s.role === 'leader';
  // The order of the log's pointers.
  assert(runs.firstIndex - 1 <= s.commitIndex, '1: what was compacted is committed');
  assert(s.commitIndex <= runs.lastIndex, '2: what is committed is in the log');
  assert(s.verifiedIndex <= runs.lastIndex, '3: what is verified is in the log');
  // Terms.
  assert(runs.lastTerm <= s.term, '4: no entry is newer than the term');
  assert(s.durableTerm <= s.term, '5: the durable term was the term once');
  let previous = 0;
  for (let index = runs.firstIndex; index <= runs.lastIndex; index = runs.runEnd(index) + 1) {
    assert(runs.termAt(index) > previous, '6: runs ascend');
    previous = runs.termAt(index);
  }
  // Roles.
  assert(isLeader === (s.leader === s.nodeId), '7: a replica follows itself only as leader');
  const isCampaigning = s.role === 'candidate' || s.role === 'preCandidate';
  assert(!isCampaigning || s.mayLead, '8: only voters campaign');
  const isOwnVote = s.votedFor === s.nodeId && s.votedGeneration === s.generation;
  assert(s.role !== 'candidate' || isOwnVote, '9: a candidate votes for itself');
  assert(!isLeader || isOwnVote, '10: a leader voted for itself');
  assert((s.votedFor === 0) === (s.votedGeneration === 0), '37: a vote names a replica');
  assert((s.votesGranted & s.votesRefused) === 0, '11: nobody grants and refuses');
  // Leaders.
  assert(isLeader || s.peers.length === 0, '12: only a leader tracks peers');
  assert(isLeader || s.reads === null, '13: only a leader has open reads');
  if (isLeader) {
    if (runs.isKnown(s.leaderFirstIndex)) {
      assert(runs.termAt(s.leaderFirstIndex) === s.term, '14: a leader has its blank entry');
    }
    if (s.leaderFirstIndex >= runs.firstIndex) {
      assert(runs.termAt(s.leaderFirstIndex - 1) < s.term, '15: which is its first');
    }
    assert(s.selfMatch <= runs.lastIndex, '16: what is durable was written');
  }
  for (const p of s.peers) {
    assert(p.match < p.next && p.next <= runs.lastIndex + 1, '17: match < next <= last + 1');
    assert(!p.isProbing || p.window.count === 0, '18: a probing peer has no window');
    const hasAll = p.next === runs.lastIndex + 1;
    assert(p.isProbing || p.window.isFull(s.config) || hasAll, '19: what fits the window was sent');
    assert(
      !p.awaitsSnapshot || (p.isProbing && p.probeSent),
      '23: who awaits a snapshot gets no append',
    );
    assert(p.stream <= s.streamLast, '20: streams are drawn from one counter');
    let last = p.match;
    for (let i = 0; i < p.window.count; i++) {
      assert(p.window.lastIndexOf(i) > last, '21: the window ascends above match');
      last = p.window.lastIndexOf(i);
    }
    assert(last < p.next, '22: and ends before next');
  }
  checkConfigurations(s);
}

/** Membership: what counts, what could count again, and whom a leader counts. */
function checkConfigurations(s: CoreState): void {
  const { configuration, configurationIndex, runs } = s;
  assert(configurationIndex <= runs.lastIndex, '24: the configuration that counts is in the log');
  let previous = -1;
  for (const { index } of s.configurationsBefore) {
    assert(index > previous && index < configurationIndex, '25: configurations ascend');
    previous = index;
  }
  const oldest = s.configurationsBefore[0]?.index ?? configurationIndex;
  assert(oldest <= s.commitIndex, '26: one of them is committed');
  const second = s.configurationsBefore[1]?.index ?? configurationIndex;
  const isKept = s.configurationsBefore.length === 0 || second > s.commitIndex;
  assert(isKept || configurationIndex > s.commitIndex, '27: and none before it is kept');
  const own = configuration.memberOf(s.nodeId);
  const bit = own?.generation === s.generation ? configuration.bitOf(s.nodeId) : 0;
  assert(s.ownBit === bit, '28: a replica votes as the configuration says');
  const couldVote = s.configurationsBefore.some((before) => {
    const member = before.configuration.memberOf(s.nodeId);
    return member?.generation === s.generation && before.configuration.bitOf(s.nodeId) !== 0;
  });
  assert(s.mayLead === (bit !== 0 || couldVote), '36: who may be needed may campaign');
  if (s.role !== 'leader') return;
  for (const member of configuration.members()) {
    if (member.nodeId === s.nodeId) continue;
    const p = s.peers.find(({ nodeId, isDeparting }) => nodeId === member.nodeId && !isDeparting);
    assert(p?.generation === member.generation, '29: a leader tracks every member');
    assert(p.position === configuration.positionOf(member.nodeId), '30: and counts who votes');
  }
  for (const p of s.peers) {
    const isMember = configuration.memberOf(p.nodeId)?.generation === p.generation;
    assert(p.isDeparting !== isMember, '31: others are departing');
    assert(!p.isDeparting || p.position < 0, '32: and count for nothing');
    assert(!p.isDeparting || configurationIndex > s.commitIndex, '33: until that is committed');
  }
  const isOwnCommitted = s.commitIndex >= s.leaderFirstIndex;
  const isChangeOpen = configurationIndex > s.commitIndex;
  const isInherited = configurationIndex < s.leaderFirstIndex;
  assert(isOwnCommitted || !isChangeOpen || isInherited, '34: no change before an own commit');
  const isStuck =
    configuration.isJoint && configuration.autoLeave && isOwnCommitted && !isChangeOpen;
  assert(!isStuck, '35: a joint configuration is left as soon as it is committed');
}
