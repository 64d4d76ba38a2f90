// What a replica says of itself after a step, so that its host knows which news it may keep back until the next step of this
// replica. Keeping news back is always safe, as a slower network is; these bits say when nobody waits for it either.
//
// A leader's pace names how many voters more than now must be known to hold something beyond the commit index before it
// can move: fewer answers than that, the leader's own durable log counted as one, change nothing that others see.

import type { Progress } from './progress.ts';
import { bitCount } from './quorum.ts';
import type { CoreState } from './state.ts';

export const pace = {
  /** The low bits of a leader's pace: voters missing to a commit, at least 1; 0 on all other replicas. */
  missingMask: 31,
  /** A leader that sends its followers whatever it appends, at once: a granted answer makes it send nothing more. */
  isSteady: 32,
  /** A candidate whose own vote counts once it is durable. */
  awaitsOwnVote: 64,
} as const;

/** RaftCore.pace of a leader. While members change or leadership is handed over every answer may matter at once. */
export function leaderPace(s: CoreState): number {
  const { commitIndex, configuration, peers } = s;
  const isPlain =
    configuration.outgoing === 0 &&
    s.ownBit !== 0 &&
    s.transferTo === 0 &&
    s.configurationIndex <= commitIndex;
  if (!isPlain) return 1;
  const lastIndex = s.runs.lastIndex;
  let missing = (bitCount(configuration.incoming) >>> 1) + 1;
  if (s.selfMatch > commitIndex) missing--;
  let steady: number = pace.isSteady;
  for (let i = 0; i < peers.length; i++) {
    const p = peers[i] as Progress;
    if (p.position < 0) return 1;
    if (p.match > commitIndex) missing--;
    if (p.isProbing || p.window.isFull || p.next <= lastIndex) steady = 0;
  }
  return steady | (missing < 1 ? 1 : missing);
}
