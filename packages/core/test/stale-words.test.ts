// Rules that only an old word can break: a log that was verified for another leader, a question that was asked before, a
// configuration that was overwritten.

import { Configuration, messageKinds } from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { Single } from './single.ts';

const { append, heartbeat, heartbeatAnswer, snapshot, timeoutNow } = messageKinds;
/** Entries 1..3 of term 1, 4..5 of term 2, 6..8 of term 3. */
const termEnds = [
  { term: 1, lastIndex: 3 },
  { term: 2, lastIndex: 5 },
  { term: 3, lastIndex: 8 },
];

describe('what was verified', () => {
  it('was so for the leader before: a candidate that loses commits nothing that the winner has not matched', () => {
    const node = new Single({ termEnds });
    node.receive(append, { from: 2, term: 4, prevIndex: 8, prevTerm: 3, lastIndex: 8 });
    node.nowMs = 1000;
    node.step({ kind: 'campaign', preVote: false });
    expect(node.core.term).toBe(5);
    // Node 3 won: its log is ours up to 5, and 6..8 of its own term are committed.
    const match = { from: 3, term: 5, prevIndex: 5, prevTerm: 2, lastIndex: 5, commit: 8 };
    expect(node.receive(append, match).committedTo).toBe(5);
    expect(node.core.commitIndex).toBe(5);
  });

  it('by a snapshot that is held already goes as far as the snapshot, not as far as the log', () => {
    const node = new Single({ termEnds });
    const configurations = [{ index: 0, configuration: Configuration.ofNodes([1, 2, 3]) }];
    node.receive(snapshot, { from: 2, term: 4, index: 5, logTerm: 2, configurations });
    node.receive(append, { from: 2, term: 4, prevIndex: 5, prevTerm: 2, lastIndex: 5, commit: 8 });
    expect(node.core.commitIndex).toBe(5);
  });
});

describe('an old question', () => {
  it('does not lengthen a lease by its late answer while a newer one is measured', () => {
    const node = new Single({ configuration: Configuration.ofNodes([1, 2, 3]).withLease(100) });
    node.nowMs = 100;
    node.lead();
    node.persist();
    node.ack(2, 1);
    const startMs = node.nowMs;
    const askAfter = (afterMs: number): number => {
      node.nowMs = startMs + afterMs;
      const { now } = node.step({ kind: 'tick' });
      return now.find((m) => m.kind === heartbeat && m.to === 2)?.token ?? 0;
    };
    const answer = (token: number): void => {
      node.receive(heartbeatAnswer, { from: 2, term: node.core.term, token });
    };
    const first = askAfter(20);
    const second = askAfter(40);
    // The one that was measured is answered: the next one is.
    answer(first);
    const third = askAfter(80);
    expect([first, second, third].every((token) => token > 0)).toBe(true);
    answer(second);
    expect(node.core.role).toBe('leader');
    // The question of 40 promises until 40 + 90 at the most.
    expect(node.core.hasLease(startMs + 135)).toBe(false);
  });

  it('keeps no newer read at its index: the last of a full table of rounds is begun anew', () => {
    const node = new Single();
    node.lead();
    node.persist();
    node.ack(2, 1);
    for (let i = 0; i < 64; i++) node.read();
    node.propose();
    node.persist();
    node.ack(2, 2);
    expect(node.core.commitIndex).toBe(2);
    const { readToken } = node.read();
    const { reads } = node.receive(heartbeatAnswer, {
      from: 2,
      term: node.core.term,
      token: readToken,
    });
    expect(reads.at(-1)).toEqual({ token: readToken, index: 2 });
  });

  it('to campaign, of an earlier term, deposes nobody', () => {
    const node = new Single({ termEnds });
    node.receive(heartbeat, { from: 2, term: 4 });
    expect(node.receive(timeoutNow, { from: 2, term: 3 }).later).toEqual([]);
    expect([node.core.term, node.core.role, node.core.leader]).toEqual([4, 'follower', 2]);
  });
});

describe('a configuration that was overwritten', () => {
  it('has made nobody a member: who it named is not removed by its going', () => {
    const node = new Single({ configuration: Configuration.ofNodes([2, 3]) });
    const entry = { entriesTerm: 1, term: 1, from: 2, commit: 1 };
    node.receive(append, { ...entry, prevIndex: 0, prevTerm: 0, lastIndex: 1 });
    const configurations = [{ index: 2, configuration: Configuration.ofNodes([1, 2, 3]) }];
    node.receive(append, { ...entry, prevIndex: 1, prevTerm: 1, lastIndex: 2, configurations });
    const other = { from: 3, term: 2, entriesTerm: 2, commit: 1 };
    const outcome = node.receive(append, { ...other, prevIndex: 1, prevTerm: 1, lastIndex: 2 });
    expect(outcome.truncateFrom).toBe(2);
    expect([outcome.removed, node.core.isRemoved, node.core.wasMember]).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe('a member that is being left out', () => {
  it('is no target of a transfer: it votes in the outgoing half only', () => {
    const members = (ids: readonly number[]) =>
      ids.map((nodeId) => ({ nodeId, generation: 1, instance: 0 }));
    const configuration = new Configuration({
      voters: members([1, 2]),
      votersOutgoing: members([1, 2, 3]),
    });
    const node = new Single({ configuration });
    node.lead();
    node.persist();
    node.ack(2, 1);
    node.ack(3, 1);
    expect(node.step({ kind: 'transfer', nodeId: 3 }).refusal).toBe('notVoter');
  });
});
