// The follower's side of replication (Raft §5.3): verify, append, answer; commit no further than was verified.
//
// 1. A suffix is dropped only from the first entry whose term differs: an append that is late or arrives twice finds
//    all of its entries in place and drops nothing behind them (akka-raft #66).
// 2. The answer names exactly the last index that this message covered. What stands behind it may be another leader's.
// 3. The commit index moves to min(the leader's, verifiedIndex): heartbeats overtake appends, and a heartbeat that
//    arrives before the conflicting suffix was replaced must not commit it.
// 4. Answers leave when all that was handed to the log is durable.
// 5. The configuration that counts is the last one in the log: one that is appended counts at once, one that is truncated
//    no more, and a snapshot leaves none but its own (openraft #1808).

import { assert } from './assert.ts';
import type { ConfigurationAt } from './config.ts';
import type { Effects } from './effects.ts';
import { type Message, messageKinds } from './message.ts';
import { askAgain } from './read-index.ts';
import { becomeFollower } from './roles.ts';
import {
  advanceCommit,
  type CoreState,
  isRemoved,
  popConfigurations,
  pushConfiguration,
  pushMessage,
  resetConfiguration,
  restartElectionTimer,
  termAnswers,
} from './state.ts';

/** Takes `m`'s sender for the leader of our term. False where that cannot be: its message is dropped. */
function isHeard(s: CoreState, m: Message, nowMs: number, out: Effects): boolean {
  if (s.role === 'follower' && s.leader === m.from && s.term === m.term) {
    s.timerBaseMs = nowMs;
    s.heardMs = nowMs;
    return true;
  }
  if (m.term === s.term && s.leader !== 0) {
    // A second leader of one term: somebody lies, or is broken. The first one stays.
    s.ignoredCount++;
    return false;
  }
  becomeFollower(s, m.term, m.from, nowMs, out);
  s.heardMs = nowMs;
  return true;
}

export function onAppend(s: CoreState, m: Message, nowMs: number, out: Effects): void {
  if (m.term < s.term) {
    answerAppend(s, m, false, 0, 0, out);
    return;
  }
  if (!isHeard(s, m, nowMs, out)) return;
  const runs = s.runs;
  const { prevIndex, lastIndex } = m;
  if (prevIndex < runs.firstIndex - 1) {
    // It begins below what was compacted, all of which is committed, and so is in every later leader's log.
    answerAppend(s, m, true, s.commitIndex, 0, out);
    return;
  }
  if (prevIndex > runs.lastIndex || runs.termAt(prevIndex) !== m.prevTerm) {
    // What is committed here is in the leader's log, so no probe below it can be needed.
    const notAbove = runs.lastIndexNotAbove(prevIndex, m.prevTerm);
    const hint = Math.max(notAbove, s.commitIndex);
    answerAppend(s, m, false, hint, runs.termAt(hint), out);
    return;
  }
  if (lastIndex > prevIndex) {
    const first = firstMissing(s, m);
    if (first <= lastIndex) {
      if (first <= s.commitIndex) {
        // No leader contradicts a committed entry. Whatever this is, it does not touch the log.
        s.ignoredCount++;
        return;
      }
      appendFrom(s, m, first, nowMs, out);
    }
  }
  if (lastIndex > s.verifiedIndex) s.verifiedIndex = lastIndex;
  advanceCommit(s, Math.min(m.commit, s.verifiedIndex), out);
  answerAppend(s, m, true, lastIndex, 0, out);
}

/**
 * The first entry of the message that is not in the log as it says: missing, or of another term there. One more than
 * its last index where all are held. An entry is known by index and term (log matching, Raft §5.3).
 */
function firstMissing(s: CoreState, m: Message): number {
  const runs = s.runs;
  const first = m.prevIndex + 1;
  if (first > runs.lastIndex || runs.termAt(first) !== m.entriesTerm) return first;
  return Math.min(runs.runEnd(first), m.lastIndex) + 1;
}

function appendFrom(s: CoreState, m: Message, first: number, nowMs: number, out: Effects): void {
  const runs = s.runs;
  assert(
    out.appendLast === 0 && out.installIndex === 0,
    'effects that append are carried out before the next append',
  );
  let isNewConfiguration = false;
  if (first <= runs.lastIndex) {
    assert(first > s.commitIndex, 'nothing committed is dropped');
    runs.truncate(first - 1);
    out.truncateFrom = first;
    // A correct leader never contradicts what it has shown us; after a wrong one nothing stays verified.
    if (s.verifiedIndex >= first) s.verifiedIndex = first - 1;
    isNewConfiguration = popConfigurations(s, first);
  }
  runs.append(m.lastIndex, m.entriesTerm);
  out.appendFirst = first;
  out.appendLast = m.lastIndex;
  if (m.configurations.length > 0) {
    isNewConfiguration = takeConfigurations(s, m, first) || isNewConfiguration;
  }
  if (isNewConfiguration) noteNewConfiguration(s, nowMs, out);
}

/** The configurations among the new entries count from here on, committed or not (Raft §6). Whether there are any. */
function takeConfigurations(s: CoreState, m: Message, first: number): boolean {
  let isAny = false;
  for (const { index, configuration } of m.configurations) {
    if (index < first) continue;
    pushConfiguration(s, configuration, index);
    isAny = true;
  }
  return isAny;
}

/** What another configuration changes for a follower: whether it waits for a leader's silence at all. */
function noteNewConfiguration(s: CoreState, nowMs: number, out: Effects): void {
  out.configurationChanged = true;
  if (isRemoved(s)) out.removed = true;
  restartElectionTimer(s, nowMs);
}

/** A whole snapshot of the leader's stands here, not installed yet. What it covers is committed. */
export function onSnapshot(s: CoreState, m: Message, nowMs: number, out: Effects): void {
  if (m.term < s.term) {
    answerAppend(s, m, false, 0, 0, out);
    return;
  }
  if (!isHeard(s, m, nowMs, out)) return;
  const { index, logTerm, configurations } = m;
  if (index > s.commitIndex) {
    if (s.runs.isKnown(index) && s.runs.termAt(index) === logTerm) {
      // The log has it all: nothing to install, and what follows stays.
      if (index > s.verifiedIndex) s.verifiedIndex = index;
      advanceCommit(s, index, out);
    } else {
      assert(
        out.appendLast === 0 && out.installIndex === 0,
        'effects that append are carried out before the next snapshot',
      );
      s.runs.reset(index, logTerm);
      resetConfiguration(s, configurations[0] as ConfigurationAt, index);
      s.verifiedIndex = index;
      out.installIndex = index;
      out.installTerm = logTerm;
      noteNewConfiguration(s, nowMs, out);
    }
  }
  answerAppend(s, m, true, s.commitIndex, 0, out);
}

/** The leader found that this log has lost entries which it acknowledged. */
export function onLogReverted(s: CoreState, m: Message, out: Effects): void {
  if (m.term !== s.term || s.leader !== m.from || s.role !== 'follower') return;
  // Only what is missing shows a loss: a message may be late, and the log filled again meanwhile.
  if (m.index > s.runs.lastIndex || m.index > s.verifiedIndex) out.logReverted = true;
}

function answerAppend(
  s: CoreState,
  m: Message,
  granted: boolean,
  index: number,
  hintTerm: number,
  out: Effects,
): void {
  const answer = pushMessage(
    s,
    out.afterPersist,
    messageKinds.appendAnswer,
    m.from,
    m.fromGeneration,
  );
  answer.granted = granted;
  answer.index = index;
  answer.hintTerm = hintTerm;
  answer.stream = m.stream;
}

export function onHeartbeat(s: CoreState, m: Message, nowMs: number, out: Effects): void {
  const isCurrent = m.term >= s.term;
  if (isCurrent) {
    if (!isHeard(s, m, nowMs, out)) return;
    advanceCommit(s, Math.min(m.commit, s.verifiedIndex), out);
    if (s.askedToken !== 0) askAgain(s, nowMs, out);
  }
  const answer = pushMessage(
    s,
    termAnswers(s, out),
    messageKinds.heartbeatAnswer,
    m.from,
    m.fromGeneration,
  );
  // To a deposed leader only our term matters; its question must not be answered.
  answer.token = isCurrent ? m.token : 0;
}
