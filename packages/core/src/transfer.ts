// Leadership transfer (thesis §3.10): the leader stops taking proposals, brings its target up to date, and tells it to
// campaign at once. The vote requests of that campaign are forced: whoever is loyal to the leader answers them.
//
// 1. It ends with another leader's term, or after an election time-out, when the old leader goes on as if nothing had been.
// 2. The target is told only when it holds the whole log: nobody else could win.
// 3. From the start on no lease counts in this term (lease.ts): the target may be elected at any moment, also by a
//    message that is late.

import type { Effects } from './effects.ts';
import { messageKinds } from './message.ts';
import type { Progress } from './progress.ts';
import { type CoreState, electionMsMinOf, peerOf, pushMessage } from './state.ts';

export function transfer(s: CoreState, nodeId: number, nowMs: number, out: Effects): void {
  if (s.role !== 'leader') {
    out.refusal = 'notLeader';
    return;
  }
  const p = peerOf(s, nodeId);
  // An outgoing voter would have to leave again as soon as the joint configuration is left.
  if (p === null || (s.configuration.incoming & s.configuration.bitOf(nodeId)) === 0) {
    out.refusal = 'notVoter';
    return;
  }
  out.refusal = null;
  if (s.transferTo === nodeId) return;
  s.transferTo = nodeId;
  s.transferDueMs = nowMs + electionMsMinOf(s);
  s.isLeaseOver = true;
  s.deadlineMs = Math.min(s.deadlineMs, s.transferDueMs);
  handOver(s, p, out);
}

/** Tells the target to campaign, if it has everything. */
export function handOver(s: CoreState, p: Progress, out: Effects): void {
  if (p.match < s.runs.lastIndex) return;
  pushMessage(s, out.messages, messageKinds.timeoutNow, p.nodeId, p.generation);
}

/** Its time may be over; else a message may have been lost. */
export function transferTick(s: CoreState, nowMs: number, out: Effects): void {
  const p = peerOf(s, s.transferTo);
  if (p === null || p.position < 0 || nowMs >= s.transferDueMs) {
    s.transferTo = 0;
    out.stateChanged = true;
  } else {
    handOver(s, p, out);
  }
}
