// Heartbeats: they keep followers quiet, carry the commit index when no append does, carry the token of a read round,
// and their answers show a leader who lives.

import type { Effects } from './effects.ts';
import { messageKinds } from './message.ts';
import type { Progress } from './progress.ts';
import { type CoreState, newestToken, pushMessage } from './state.ts';

export function sendHeartbeat(s: CoreState, p: Progress, nowMs: number, out: Effects): void {
  const m = pushMessage(s, out.messages, messageKinds.heartbeat, p.nodeId);
  // Never beyond what this follower is known to hold: heartbeats overtake appends.
  m.commit = Math.min(p.match, s.commitIndex);
  m.token = newestToken(s);
  p.lastSentMs = nowMs;
}
