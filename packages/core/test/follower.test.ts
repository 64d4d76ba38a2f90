// The follower's side of replication: Raft §5.3.

import { messageKinds, type TermEnd } from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { fieldsOf, Single } from './single.ts';

const { append, appendAnswer, heartbeat, heartbeatAnswer } = messageKinds;
/** Terms 1 1 1 2 2 3 3 3. */
const log: TermEnd[] = [
  { term: 1, lastIndex: 3 },
  { term: 2, lastIndex: 5 },
  { term: 3, lastIndex: 8 },
];

describe('taking appends (Raft §5.3)', () => {
  it('appends what continues its log and answers behind it', () => {
    const node = new Single({ term: 1 });
    const outcome = node.receive(append, {
      from: 2,
      term: 1,
      lastIndex: 3,
      entriesTerm: 1,
      stream: 7,
    });
    expect(outcome.append).toEqual([1, 3]);
    expect(outcome.now).toEqual([]);
    const answer = fieldsOf(outcome.later[0], 'kind', 'granted', 'index', 'stream');
    expect(answer).toEqual({ kind: appendAnswer, granted: true, index: 3, stream: 7 });
    expect([node.core.leader, node.core.lastIndex, node.core.termAt(3)]).toEqual([2, 3, 1]);
  });

  it.each([
    { prev: [10, 3], hint: [8, 3], why: 'beyond its end: its last entry' },
    { prev: [7, 2], hint: [5, 2], why: 'a later term stands there: the end of the probed term' },
    { prev: [7, 1], hint: [3, 1], why: 'two later terms: the end of the probed one' },
    { prev: [4, 3], hint: [4, 2], why: 'an earlier term stands there: that entry' },
    { prev: [9, 2], hint: [5, 2], why: 'beyond its end, in an earlier term than its last' },
  ])('refuses with a hint that skips whole terms; $why', ({ prev, hint }) => {
    const node = new Single({ termEnds: log });
    const [prevIndex, prevTerm] = prev;
    const fields = { from: 2, term: 4, prevIndex, prevTerm, lastIndex: prevIndex as number };
    const outcome = node.receive(append, fields as { prevIndex: number });
    expect(outcome.append).toBeNull();
    const answer = fieldsOf(outcome.later[0], 'granted', 'index', 'hintTerm');
    expect(answer).toEqual({ granted: false, index: hint[0], hintTerm: hint[1] });
  });

  it('never hints below what is committed', () => {
    const node = new Single({ termEnds: log, commit: 6 });
    const refused = node.receive(append, {
      from: 2,
      term: 4,
      prevIndex: 9,
      prevTerm: 1,
      lastIndex: 9,
    });
    expect(fieldsOf(refused.later[0], 'index', 'hintTerm')).toEqual({ index: 6, hintTerm: 3 });
  });

  it.each([
    { last: 6, entriesTerm: 4, drops: 4, why: 'the first entry differs' },
    { last: 9, entriesTerm: 2, drops: 6, why: 'its run of that term is shorter' },
  ])(
    'drops a suffix from the first entry of another term; $why',
    ({ last, entriesTerm, drops }) => {
      const node = new Single({ termEnds: log });
      const fields = { from: 2, term: 4, prevIndex: 3, prevTerm: 1, lastIndex: last, entriesTerm };
      const outcome = node.receive(append, fields);
      expect([outcome.truncateFrom, outcome.append]).toEqual([drops, [drops, last]]);
      expect([node.core.lastIndex, node.core.termAt(last)]).toEqual([last, entriesTerm]);
    },
  );

  it('M05: a late append that repeats held entries drops nothing behind them', () => {
    const node = new Single({ termEnds: log });
    const fields = { from: 2, term: 3, prevIndex: 3, prevTerm: 1, lastIndex: 4, entriesTerm: 2 };
    const outcome = node.receive(append, fields);
    expect([outcome.truncateFrom, outcome.append, node.core.lastIndex]).toEqual([0, null, 8]);
  });

  it('M07: answers what this message covered, whatever stands behind it', () => {
    const node = new Single({ termEnds: log });
    const empty = node.receive(append, {
      from: 2,
      term: 4,
      prevIndex: 5,
      prevTerm: 2,
      lastIndex: 5,
    });
    expect(fieldsOf(empty.later[0], 'granted', 'index')).toEqual({ granted: true, index: 5 });
    const fields = { from: 2, term: 4, prevIndex: 3, prevTerm: 1, lastIndex: 4, entriesTerm: 2 };
    expect(node.receive(append, fields).later[0]?.index).toBe(4);
  });

  it('never drops a committed entry, whoever asks', () => {
    const node = new Single({ termEnds: log, commit: 5 });
    const fields = { from: 2, term: 4, prevIndex: 3, prevTerm: 1, lastIndex: 6, entriesTerm: 4 };
    const outcome = node.receive(append, fields);
    expect([outcome.truncateFrom, outcome.later.length]).toEqual([0, 0]);
    expect([node.core.lastIndex, node.core.ignoredCount]).toEqual([8, 1]);
  });

  it('answers a repeated append behind the first one, though it has nothing to write', () => {
    const node = new Single({ term: 1 });
    const fields = { from: 2, term: 1, lastIndex: 2, entriesTerm: 1 };
    node.receive(append, fields);
    const again = node.receive(append, fields);
    expect([again.append, again.now.length, again.later[0]?.index]).toEqual([null, 0, 2]);
  });

  it('keeps to the first leader of a term', () => {
    const node = new Single({ term: 1 });
    node.receive(heartbeat, { from: 2, term: 1 });
    const outcome = node.receive(append, { from: 3, term: 1, lastIndex: 1, entriesTerm: 1 });
    expect([outcome.append, node.core.leader, node.core.ignoredCount]).toEqual([null, 2, 1]);
  });

  it('acknowledges its commit index to an append that begins below what it compacted', () => {
    const node = new Single({
      firstIndex: 11,
      prevTerm: 2,
      termEnds: [{ term: 3, lastIndex: 14 }],
      commit: 12,
    });
    const fields = { from: 2, term: 3, prevIndex: 4, prevTerm: 1, lastIndex: 5, entriesTerm: 2 };
    const outcome = node.receive(append, fields);
    expect(fieldsOf(outcome.later[0], 'granted', 'index')).toEqual({ granted: true, index: 12 });
    expect(outcome.append).toBeNull();
  });
});

describe('commit indexes of a follower (Raft §5.3, figure 2)', () => {
  it('M07: go no further than what was verified against this leader in this term', () => {
    const node = new Single({ termEnds: log });
    const early = node.receive(heartbeat, { from: 2, term: 4, commit: 8 });
    expect(early.committedTo).toBe(0);
    const empty = { from: 2, term: 4, prevIndex: 5, prevTerm: 2, lastIndex: 5, commit: 8 };
    expect(node.receive(append, empty).committedTo).toBe(5);
    expect(node.receive(heartbeat, { from: 2, term: 4, commit: 8 }).committedTo).toBe(0);
  });

  it('M07: what an earlier leader verified does not count for a later one', () => {
    const node = new Single({ termEnds: log });
    node.receive(append, { from: 2, term: 4, prevIndex: 8, prevTerm: 3, lastIndex: 8 });
    expect(node.receive(heartbeat, { from: 3, term: 5, commit: 8 }).committedTo).toBe(0);
    const fields = { from: 3, term: 5, prevIndex: 5, prevTerm: 2, lastIndex: 6, entriesTerm: 5 };
    const outcome = node.receive(append, { ...fields, commit: 6 });
    expect([outcome.truncateFrom, outcome.committedTo]).toEqual([6, 6]);
  });

  it('reach a follower that restarted in its term beside an idle leader (log matching)', () => {
    const node = new Single({ termEnds: log, commit: 5 });
    expect(node.receive(heartbeat, { from: 2, term: 3, commit: 8 }).committedTo).toBe(8);
    const older = new Single({ termEnds: log, term: 4, commit: 5 });
    expect(older.receive(heartbeat, { from: 2, term: 4, commit: 8 }).committedTo).toBe(0);
  });

  it('M35: a commit index beyond the log is clamped, not fatal', () => {
    const node = new Single({ termEnds: [{ term: 1, lastIndex: 2 }], term: 3, commit: 9 });
    expect(node.core.commitIndex).toBe(2);
    const fields = { from: 2, term: 3, prevIndex: 2, prevTerm: 1, lastIndex: 2, commit: 50 };
    expect(node.receive(append, fields).committedTo).toBe(0);
    expect(node.core.commitIndex).toBe(2);
  });

  it('never fall', () => {
    const node = new Single({ termEnds: log, commit: 6 });
    node.receive(append, { from: 2, term: 3, prevIndex: 8, prevTerm: 3, lastIndex: 8, commit: 2 });
    expect(node.core.commitIndex).toBe(6);
  });

  it('are laid with the hard state as they stood before the entries of the step', () => {
    // The host lays hard state first. Were the new index in it, a crash before the entries would commit stale ones.
    const node = new Single({ termEnds: log, commit: 5 });
    const fields = { from: 2, term: 9, prevIndex: 5, prevTerm: 2, lastIndex: 7, entriesTerm: 9 };
    const outcome = node.receive(append, { ...fields, commit: 7 });
    expect(outcome.hardState?.commit).toBe(5);
    expect([outcome.truncateFrom, outcome.append, outcome.committedTo]).toEqual([6, [6, 7], 7]);
  });
});

describe('heartbeat answers', () => {
  it('leave at once where the term is durable, and wait for it where it is not', () => {
    const node = new Single({ term: 3 });
    const kept = node.receive(heartbeat, { from: 2, term: 3, token: 5 });
    expect(fieldsOf(kept.now[0], 'kind', 'token')).toEqual({ kind: heartbeatAnswer, token: 5 });
    const raised = node.receive(heartbeat, { from: 3, term: 4, token: 6 });
    expect([raised.now.length, raised.later[0]?.token]).toEqual([0, 6]);
    node.persist();
    expect(node.receive(heartbeat, { from: 3, term: 4, token: 7 }).now[0]?.token).toBe(7);
  });
});
