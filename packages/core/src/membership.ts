// Changes of the membership on a leader (Raft §6, thesis §4.1-4.3): one configuration entry at a time, which counts from
// the moment it is appended. The arithmetic of configurations stands in configuration-change.ts.
//
// What keeps two majorities from deciding apart:
// 1. No change before an entry of the leader's own term is committed (Ongaro 2015): only then does it know that its
//    predecessors' changes are in force or gone.
// 2. No change while the one before is uncommitted: any two configurations in force at a time are neighbours.
// 3. A joint configuration that a leader left behind is left by the next one, as soon as both are committed.
// 4. A leader without a vote in the new configuration counts itself out at once and leaves when that is committed.
// 5. Who is left out still gets the entries that say so, and counts for nothing, until the change is committed.

import { assert } from './assert.ts';
import type { Configuration } from './configuration.ts';
import {
  applySimple,
  type ChangeResult,
  enterJoint,
  leaveJoint,
  type MemberChange,
} from './configuration-change.ts';
import type { Effects, Refusal } from './effects.ts';
import type { Transition } from './event.ts';
import { Progress } from './progress.ts';
import { type CoreState, isRemoved, peerOf, pushConfiguration } from './state.ts';

/** What a change would make of the configuration, or why it may not be made now. */
export function plan(
  s: CoreState,
  transition: Transition,
  changes: readonly MemberChange[],
  leaseMs: number | undefined,
): Configuration | Refusal {
  const refusal = refusalNow(s);
  if (refusal !== null) return refusal;
  const result = change(s.configuration, transition, changes);
  if (!result.ok) return result.refusal;
  return leaseMs === undefined ? result.configuration : result.configuration.withLease(leaseMs);
}

function refusalNow(s: CoreState): Refusal | null {
  if (s.role !== 'leader') return 'notLeader';
  // One that stays after its removal makes no more changes: it could bring another replica of its own node in.
  if (s.ownBit === 0 && isRemoved(s)) return 'notLeader';
  if (s.transferTo !== 0) return 'transferring';
  if (s.commitIndex < s.leaderFirstIndex) return 'noOwnCommit';
  return s.configurationIndex > s.commitIndex ? 'changeInProgress' : null;
}

function change(
  from: Configuration,
  transition: Transition,
  changes: readonly MemberChange[],
): ChangeResult {
  switch (transition) {
    case 'leave':
      return leaveJoint(from);
    case 'simple':
      return applySimple(from, changes);
    case 'joint':
      return enterJoint(from, changes, true);
    case 'explicit':
      return enterJoint(from, changes, false);
    default: {
      const simple = applySimple(from, changes);
      const isTooMuch = !simple.ok && simple.refusal === 'moreThanOneVoterChanged';
      return isTooMuch ? enterJoint(from, changes, true) : simple;
    }
  }
}

/** The entry at `index`, just appended to this leader's log, is `configuration`: it counts from here on. */
export function adopt(
  s: CoreState,
  configuration: Configuration,
  index: number,
  nowMs: number,
  out: Effects,
): void {
  pushConfiguration(s, configuration, index);
  out.configurationChanged = true;
  trackMembers(s, index, nowMs);
}

/** Makes the leader's progress list that of the configuration. Followers that are new begin with a probe at `next`. */
export function trackMembers(s: CoreState, next: number, nowMs: number): void {
  const { configuration } = s;
  const peers: Progress[] = [];
  for (const member of configuration.members()) {
    if (member.nodeId === s.nodeId) {
      // Its votes and entries would be taken for ours.
      assert(member.generation === s.generation, 'no other replica of this node belongs');
      continue;
    }
    const known = peerOf(s, member.nodeId);
    const isSame = known !== null && known.generation === member.generation;
    const p = isSame ? known : new Progress(member, next, ++s.streamLast, nowMs);
    p.position = configuration.positionOf(member.nodeId);
    p.isDeparting = false;
    peers.push(p);
  }
  for (const p of s.peers) {
    if (peers.includes(p)) continue;
    p.position = -1;
    p.isDeparting = true;
    peers.push(p);
  }
  // Copied, because an array that grew has room for many more.
  s.peers = peers.slice();
}

/** The configuration that left them out is committed. */
export function dropDeparting(s: CoreState): void {
  if (s.peers.some((p) => p.isDeparting)) s.peers = s.peers.filter((p) => !p.isDeparting);
}

/** The configuration that this leader must go on to now by itself, or null. */
export function nextByItself(s: CoreState): Configuration | null {
  const { configuration } = s;
  if (!(configuration.isJoint && configuration.autoLeave)) return null;
  if (s.commitIndex < s.leaderFirstIndex || s.commitIndex < s.configurationIndex) return null;
  const left = leaveJoint(configuration);
  return left.ok ? left.configuration : null;
}
