// Whether a message from a peer makes sense by itself, before anything is believed or changed. A peer may run other code
// or be broken: its numbers can be anything. Whatever passes here is a message that some correct replica could have
// sent in some history; the handlers check it against this replica's own state.

import { type Message, messageKinds } from './message.ts';

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** An index and its term: both zero (before the first entry), or both not, and the term not above `termMax`. */
function isPlace(index: number, term: number, termMax: number): boolean {
  return isCount(index) && isCount(term) && (index === 0) === (term === 0) && term <= termMax;
}

function isId(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}

/** Configuration entries stand in the message's own entries, in order. */
function areConfigurationsSound(m: Message): boolean {
  let previous = m.prevIndex;
  for (const { index } of m.configurations) {
    if (!(Number.isSafeInteger(index) && index > previous && index <= m.lastIndex)) return false;
    previous = index;
  }
  return true;
}

export function isSound(m: Message): boolean {
  if (!(isId(m.term) && isId(m.from) && isId(m.fromGeneration))) return false;
  switch (m.kind) {
    case messageKinds.append:
      return (
        isPlace(m.prevIndex, m.prevTerm, m.term) &&
        isCount(m.lastIndex) &&
        isCount(m.commit) &&
        isCount(m.stream) &&
        m.lastIndex >= m.prevIndex &&
        (m.configurations.length === 0 || areConfigurationsSound(m)) &&
        (m.lastIndex === m.prevIndex ||
          (Number.isSafeInteger(m.entriesTerm) &&
            m.entriesTerm >= 1 &&
            m.entriesTerm >= m.prevTerm &&
            m.entriesTerm <= m.term))
      );
    case messageKinds.appendAnswer:
      return isCount(m.index) && isCount(m.hintTerm) && isCount(m.stream);
    case messageKinds.heartbeat:
      return isCount(m.commit) && isCount(m.token);
    case messageKinds.heartbeatAnswer:
    case messageKinds.readIndex:
      return isCount(m.token);
    case messageKinds.preVote:
    case messageKinds.vote:
      // The sender's log was written before this campaign.
      return isPlace(m.index, m.logTerm, m.term - 1);
    case messageKinds.preVoteAnswer:
    case messageKinds.voteAnswer:
      return true;
    case messageKinds.readIndexAnswer:
      return isCount(m.token) && isCount(m.index);
    case messageKinds.timeoutNow:
      return true;
    case messageKinds.logReverted:
      return isId(m.index);
    case messageKinds.snapshot: {
      const at = m.configurations[0];
      return (
        isId(m.index) &&
        isId(m.logTerm) &&
        m.logTerm <= m.term &&
        isCount(m.stream) &&
        m.configurations.length === 1 &&
        at !== undefined &&
        isCount(at.index) &&
        at.index <= m.index
      );
    }
    default:
      return false;
  }
}
