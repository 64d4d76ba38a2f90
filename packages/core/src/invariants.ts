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
  assert(s.role === 'follower' || s.isVoter, '8: only voters campaign and lead');
  assert(s.role !== 'candidate' || s.votedFor === s.nodeId, '9: a candidate votes for itself');
  assert(!isLeader || s.votedFor === s.nodeId, '10: a leader voted for itself');
  assert((s.votesGranted & s.votesRefused) === 0, '11: nobody grants and refuses');
  // Leaders.
  assert(s.peers.length === (isLeader ? s.voters.length - 1 : 0), '12: a leader tracks its peers');
  assert(isLeader || s.reads === null, '13: only a leader has open reads');
  if (isLeader) {
    assert(runs.termAt(s.leaderFirstIndex) === s.term, '14: a leader has its blank entry');
    assert(runs.termAt(s.leaderFirstIndex - 1) < s.term, '15: which is its first');
    assert(s.selfMatch <= runs.lastIndex, '16: what is durable was written');
  }
  for (const p of s.peers) {
    assert(p.match < p.next && p.next <= runs.lastIndex + 1, '17: match < next <= last + 1');
    assert(!p.isProbing || p.window.count === 0, '18: a probing peer has no window');
    const hasAll = p.next === runs.lastIndex + 1;
    assert(p.isProbing || p.window.isFull || hasAll, '19: what fits the window was sent');
    assert(p.stream <= s.streamLast, '20: streams are drawn from one counter');
    let last = p.match;
    for (let i = 0; i < p.window.count; i++) {
      assert(p.window.lastIndexOf(i) > last, '21: the window ascends above match');
      last = p.window.lastIndexOf(i);
    }
    assert(last < p.next, '22: and ends before next');
  }
}
