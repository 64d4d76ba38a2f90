// Lease reads (thesis §6.4.1): a leader that a quorum has promised to elect nobody else answers reads without asking.
// Opt-in by the committed configuration (`leaseMs`), which then forces check-quorum and is the minimum election time-out.
//
// What keeps two leaders from both believing that they may answer:
// 1. The promise: whoever heard a leader (or has just started: it may have heard one in its earlier life) gives no
//    unforced vote, pre-vote or campaign of its own for `leaseMs`, whatever its term and role do meanwhile.
// 2. The lease counts from when the question *left*, on the leader's clock, and ends `leaseDriftMs` before the promise.
// 3. Only answers of followers count whose log holds the configuration that asks for the promise; of both halves where it
//    is joint.
// 4. A leader that begins to hand over gives the lease up for the rest of its term: the vote requests that it forces pass
//    every promise.
// 5. A host whose wall clock ran ahead of its monotonic one voids every lease measured so far: the machine stood still
//    while the followers' promises ran out.

import type { Progress } from './progress.ts';
import { voteIn } from './quorum.ts';
import { type CoreState, electionMsMinOf } from './state.ts';

/** Before every moment; a small integer. */
const never = -(2 ** 30);

/** Whether a promise that a lease may rest on forbids this replica to elect anybody now. */
export function isPromised(s: CoreState, nowMs: number): boolean {
  const { leaseMs } = s.configuration;
  return leaseMs > 0 && nowMs < s.heardMs + leaseMs;
}

/** Whether this replica defends the leader that it hears against requests of higher terms (Raft §6, thesis §4.2.3). */
export function isLoyal(s: CoreState, nowMs: number): boolean {
  if (isPromised(s, nowMs)) return true;
  if (!checksQuorum(s) || s.leader === 0) return false;
  return s.role === 'leader' || nowMs < s.timerBaseMs + electionMsMinOf(s);
}

export function checksQuorum(s: CoreState): boolean {
  return s.config.checkQuorum || s.configuration.leaseMs > 0;
}

/** A question with `token` leaves for `p`. One is measured at a time, so that slow answers still count for theirs. */
export function noteAsked(s: CoreState, p: Progress, token: number, nowMs: number): void {
  const { leaseMs } = s.configuration;
  if (leaseMs === 0 || token === 0) return;
  p.lease ??= { askedToken: 0, askedMs: never, answeredMs: never };
  if (p.lease.askedToken !== 0 && nowMs < p.lease.askedMs + leaseMs) return;
  p.lease.askedToken = token;
  p.lease.askedMs = nowMs;
}

/** `p` answered every question up to `token`. */
export function noteAnswered(p: Progress, token: number): void {
  const { lease } = p;
  if (lease === null || lease.askedToken === 0 || token < lease.askedToken) return;
  lease.answeredMs = lease.askedMs;
  lease.askedToken = 0;
}

/** Whether this leader may answer reads at once. It must have committed an entry of its own term besides. */
export function hasLease(s: CoreState, nowMs: number): boolean {
  const { leaseMs } = s.configuration;
  if (leaseMs === 0 || s.isLeaseOver || s.ownBit === 0) return false;
  const validMs = leaseMs - (s.config.leaseDriftMs ?? Math.ceil(leaseMs / 10));
  let promised = s.ownBit;
  for (const p of s.peers) {
    if (p.lease === null || p.position < 0 || p.match < s.configurationIndex) continue;
    if (nowMs < p.lease.answeredMs + validMs) promised |= 1 << p.position;
  }
  const { incoming, outgoing } = s.configuration;
  return voteIn(promised, 0, incoming) === 'won' && voteIn(promised, 0, outgoing) === 'won';
}

/** No lease that was measured so far is to be trusted. */
export function voidLease(s: CoreState): void {
  for (const p of s.peers) p.lease = null;
}
