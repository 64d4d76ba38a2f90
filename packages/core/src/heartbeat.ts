// Heartbeats: they keep followers quiet, carry the commit index when no append does, carry the token of a read round,
// and their answers show a leader who lives.

import type { Effects } from './effects.ts';
import { noteAsked } from './lease.ts';
import { messageKinds } from './message.ts';
import type { Progress } from './progress.ts';
import { type CoreState, pushMessage } from './state.ts';

/** `token` is the question that it asks, 0 = none. */
export function sendHeartbeat(
  s: CoreState,
  p: Progress,
  token: number,
  nowMs: number,
  out: Effects,
): void {
  const m = pushMessage(s, out.messages, messageKinds.heartbeat, p.nodeId, p.generation);
  // Never beyond what this follower is known to hold: heartbeats overtake appends.
  m.commit = Math.min(p.match, s.commitIndex);
  m.token = token;
  noteAsked(s, p, token, nowMs);
  p.lastSentMs = nowMs;
}
