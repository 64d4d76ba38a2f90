// Elections: Raft §5.2 and §5.4.1, pre-vote (thesis §9.6), check-quorum (Raft §6, thesis §4.2.3).

import { Configuration, messageKinds } from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { fieldsOf, Single } from './single.ts';

const { append, heartbeat, heartbeatAnswer, preVote, preVoteAnswer, vote, voteAnswer } =
  messageKinds;

describe('campaigning (Raft §5.2)', () => {
  it('starts when a whole election time-out passed without a leader, and not before', () => {
    const node = new Single();
    expect(node.core.deadlineMs).toBeGreaterThanOrEqual(100);
    expect(node.core.deadlineMs).toBeLessThan(200);
    node.tickAfter(99);
    expect(node.core.role).toBe('follower');
    node.tickAfter(101);
    expect(node.core.role).toBe('candidate');
    expect(node.core.term).toBe(1);
  });

  it('is repeated after half a time-out where the first try of a silence was not decided, then after whole ones', () => {
    for (const preVote of [false, true]) {
      const node = new Single({ config: { preVote } });
      const waited = Array.from({ length: 4 }, () => {
        node.nowMs = node.core.deadlineMs;
        node.step({ kind: 'tick' });
        return node.core.deadlineMs - node.nowMs;
      });
      const isWhole = waited.map((ms) => ms >= 100 && ms < 200);
      expect([isWhole, (waited[0] ?? 0) >= 50]).toEqual([[false, true, true, true], true]);
      // A leader was heard: the next silence begins anew.
      node.receive(heartbeat, { from: 2, term: node.core.term + 1 });
      const heardMs = node.nowMs;
      expect(node.core.role).toBe('follower');
      for (const least of [100, 50, 100]) {
        const dueMs = node.core.deadlineMs;
        expect(dueMs - node.nowMs).toBeGreaterThanOrEqual(least);
        expect(dueMs - node.nowMs).toBeLessThan(2 * least);
        node.nowMs = dueMs;
        node.step({ kind: 'tick' });
      }
      expect(node.nowMs).toBeGreaterThan(heardMs + 250);
    }
  });

  it('has the same short time for votes as for pre-votes, in a first try', () => {
    const node = new Single({ config: { preVote: true } });
    for (const [least, term] of [
      [50, 1],
      [100, 2],
    ] as const) {
      node.nowMs = node.core.deadlineMs;
      node.step({ kind: 'tick' });
      node.receive(preVoteAnswer, { from: 2, term, granted: true });
      expect([node.core.role, node.core.term]).toEqual(['candidate', term]);
      const leftMs = node.core.deadlineMs - node.nowMs;
      expect([leftMs >= least, leftMs < 2 * least]).toEqual([true, true]);
    }
  });

  it('is put off by every sign of the leader, whose arrival moves only a number', () => {
    const node = new Single();
    const first = node.core.deadlineMs;
    node.nowMs = 90;
    node.receive(heartbeat, { from: 2, term: 1 });
    const armed = node.core.deadlineMs;
    expect(armed).toBeGreaterThan(first - 100);
    node.nowMs = 180;
    node.receive(heartbeat, { from: 2, term: 1 });
    expect(node.core.deadlineMs).toBe(armed);
    node.nowMs = armed;
    node.step({ kind: 'tick' });
    expect(node.core.role).toBe('follower');
    expect(node.core.deadlineMs).toBeGreaterThanOrEqual(280);
  });

  it('M01: holds vote requests back until the own term and vote are durable', () => {
    const outcome = new Single({ termEnds: [{ term: 3, lastIndex: 7 }] }).campaign();
    expect(outcome.hardState).toEqual({ term: 4, votedFor: 1, commit: 0 });
    expect(outcome.now).toEqual([]);
    expect(outcome.later.map((m) => fieldsOf(m, 'kind', 'to', 'term', 'index', 'logTerm'))).toEqual(
      [
        { kind: vote, to: 2, term: 4, index: 7, logTerm: 3 },
        { kind: vote, to: 3, term: 4, index: 7, logTerm: 3 },
      ],
    );
  });

  it('counts its own vote only once `persisted` names its term and itself', () => {
    const node = new Single();
    node.campaign();
    node.receive(voteAnswer, { from: 2, term: 1, granted: true });
    node.step({ kind: 'persisted', term: 0, votedFor: 0, index: 0, indexTerm: 0 });
    expect(node.core.role).toBe('candidate');
    node.persist();
    expect(node.core.role).toBe('leader');
  });

  it('does not lead before its own term is durable, even where the others are a quorum', () => {
    const node = new Single();
    node.campaign();
    for (const from of [2, 3]) node.receive(voteAnswer, { from, term: 1, granted: true });
    expect(node.core.role).toBe('candidate');
    node.persist();
    expect(node.core.role).toBe('leader');
  });

  it('appends one blank entry of its term on winning and sends it at once', () => {
    const node = new Single({ termEnds: [{ term: 3, lastIndex: 7 }] });
    const won = node.lead();
    expect(won.append).toEqual([8, 8]);
    expect(won.proposedFirst).toBe(8);
    expect(
      won.now.map((m) =>
        fieldsOf(m, 'kind', 'to', 'prevIndex', 'prevTerm', 'lastIndex', 'entriesTerm'),
      ),
    ).toEqual([
      { kind: append, to: 2, prevIndex: 7, prevTerm: 3, lastIndex: 8, entriesTerm: 4 },
      { kind: append, to: 3, prevIndex: 7, prevTerm: 3, lastIndex: 8, entriesTerm: 4 },
    ]);
  });

  it('M03: counts an answer that arrives twice once', () => {
    const node = new Single({ voters: [1, 2, 3, 4, 5] });
    node.campaign();
    node.persist();
    node.receive(voteAnswer, { from: 2, term: 1, granted: true });
    node.receive(voteAnswer, { from: 2, term: 1, granted: true });
    expect(node.core.role).toBe('candidate');
    node.receive(voteAnswer, { from: 3, term: 1, granted: true });
    expect(node.core.role).toBe('leader');
  });

  it.each([
    ['a stranger', { from: 9, term: 1, granted: true }],
    ['an earlier term', { from: 2, term: 0, granted: true }],
    ['itself', { from: 1, term: 1, granted: true }],
    ['a voter that refuses', { from: 2, term: 1, granted: false }],
  ])('does not count an answer of %s', (_, fields) => {
    const node = new Single();
    node.campaign();
    node.persist();
    node.receive(voteAnswer, fields);
    expect(node.core.role).toBe('candidate');
  });

  it('goes back to following within its term once a quorum refused, and keeps its vote', () => {
    const node = new Single();
    node.campaign();
    node.persist();
    node.receive(voteAnswer, { from: 2, term: 1 });
    node.receive(voteAnswer, { from: 3, term: 1 });
    expect([node.core.role, node.core.term, node.core.votedFor]).toEqual(['follower', 1, 1]);
  });

  it('is refused to a replica that the configuration does not name', () => {
    const node = new Single({ voters: [2, 3, 4] });
    expect(node.core.deadlineMs).toBe(Number.POSITIVE_INFINITY);
    node.campaign();
    expect(node.core.role).toBe('follower');
  });

  it('draws time-outs that differ between replicas of one seed, and repeat for one replica', () => {
    const deadlineOf = (nodeId: number): number =>
      new Single({ config: { nodeId } }).core.deadlineMs;
    expect(deadlineOf(1)).toBe(deadlineOf(1));
    expect(new Set([1, 2, 3].map(deadlineOf)).size).toBe(3);
  });

  it('stands still where terms are used up', () => {
    const node = new Single({ term: Number.MAX_SAFE_INTEGER });
    node.campaign();
    expect(node.core.role).toBe('follower');
    expect(node.core.term).toBe(Number.MAX_SAFE_INTEGER);
  });
});

describe('a sole voter', () => {
  it('M24: leads only once its vote is durable, and commits only what is durable', () => {
    const node = new Single({ config: { preVote: true }, voters: [1] });
    node.campaign(true);
    expect(node.core.role).toBe('candidate');
    expect(node.persist().append).toEqual([1, 1]);
    expect(node.core.role).toBe('leader');
    expect(node.core.commitIndex).toBe(0);
    expect(node.persist().committedTo).toBe(1);
    expect(node.propose(2).committedTo).toBe(0);
    expect(node.persist().committedTo).toBe(3);
  });
});

describe('voting (Raft §5.2, §5.4.1)', () => {
  it('M01: answers a granted vote only behind the vote itself', () => {
    const outcome = new Single().receive(vote, { from: 2, term: 5 });
    expect(outcome.hardState).toEqual({ term: 5, votedFor: 2, commit: 0 });
    expect(outcome.now).toEqual([]);
    expect(fieldsOf(outcome.later[0], 'kind', 'to', 'term', 'granted')).toEqual({
      kind: voteAnswer,
      to: 2,
      term: 5,
      granted: true,
    });
  });

  it('holds back even a refusal while the term that it names is not durable', () => {
    const node = new Single({ termEnds: [{ term: 2, lastIndex: 5 }] });
    const refused = node.receive(vote, { from: 2, term: 5, index: 4, logTerm: 2 });
    expect([refused.now.length, refused.later[0]?.granted]).toEqual([0, false]);
    node.persist();
    const again = node.receive(vote, { from: 2, term: 5, index: 4, logTerm: 2 });
    expect([again.now[0]?.granted, again.later.length]).toEqual([false, 0]);
  });

  it('grants one vote a term, and the same one again to whoever asks again', () => {
    const node = new Single();
    node.receive(vote, { from: 2, term: 5 });
    expect(node.receive(vote, { from: 3, term: 5 }).later[0]?.granted).toBe(false);
    const again = node.receive(vote, { from: 2, term: 5 });
    expect(again.later[0]?.granted).toBe(true);
    expect(again.hardState).toBeNull();
  });

  it('gives its vote to one replica of a node: another one of it, which knows nothing of that, gets none in that term', () => {
    const isGranted = (node: Single, fromGeneration: number): boolean | undefined => {
      const { now, later } = node.receive(vote, { from: 2, fromGeneration, term: 5 });
      return [...now, ...later][0]?.granted;
    };
    const node = new Single({ term: 4 });
    const first = node.receive(vote, { from: 2, fromGeneration: 3, term: 5 });
    expect([first.hardState?.votedFor, first.votedGeneration]).toEqual([2, 3]);
    const restarted = new Single({ term: 5, votedFor: 2, votedGeneration: 3 });
    for (const each of [node, restarted]) {
      expect([isGranted(each, 4), isGranted(each, 3)]).toEqual([false, true]);
      expect([each.core.votedFor, each.core.votedGeneration]).toEqual([2, 3]);
    }
    const voters = [1, 2, 3].map((nodeId) => ({ nodeId, generation: 2, instance: 0 }));
    const configuration = new Configuration({ voters });
    const own = new Single({ term: 4, generation: 2, configuration });
    expect([own.campaign().votedGeneration, own.core.votedFor]).toEqual([2, 1]);
  });

  it.each([
    { index: 5, logTerm: 3, granted: true, why: 'the same log' },
    { index: 6, logTerm: 3, granted: true, why: 'a longer log' },
    { index: 1, logTerm: 4, granted: true, why: 'a shorter log with a later last term' },
    { index: 4, logTerm: 3, granted: false, why: 'a shorter log' },
    { index: 9, logTerm: 2, granted: false, why: 'a longer log with an earlier last term' },
  ])('§5.4.1: votes for $why: $granted', ({ index, logTerm, granted }) => {
    for (const kind of [vote, preVote]) {
      const node = new Single({ termEnds: [{ term: 3, lastIndex: 5 }] });
      const outcome = node.receive(kind, { from: 2, term: 9, index, logTerm });
      expect(outcome.later.concat(outcome.now)[0]?.granted).toBe(granted);
    }
  });

  it('M02: keeps its vote when it steps down within its term', () => {
    const node = new Single();
    node.campaign();
    node.persist();
    node.receive(heartbeat, { from: 2, term: 1 });
    expect([node.core.role, node.core.votedFor]).toEqual(['follower', 1]);
    const outcome = node.receive(vote, { from: 3, term: 1 });
    expect(outcome.now.concat(outcome.later)[0]?.granted).toBe(false);
  });

  it('is not sent back to the start of its time-out by a candidate that it refuses', () => {
    const node = new Single({ termEnds: [{ term: 2, lastIndex: 5 }] });
    const due = node.core.deadlineMs;
    node.nowMs = 90;
    node.receive(vote, { from: 2, term: 5 });
    expect(node.core.deadlineMs).toBe(due);
  });
});

describe('pre-vote (thesis §9.6)', () => {
  it('asks for the next term without taking it, then campaigns with a quorum', () => {
    const node = new Single({ term: 4 });
    const asked = node.campaign(true);
    expect(asked.hardState).toBeNull();
    expect(asked.now.map((m) => fieldsOf(m, 'kind', 'term'))).toEqual([
      { kind: preVote, term: 5 },
      { kind: preVote, term: 5 },
    ]);
    expect(node.core.term).toBe(4);
    node.receive(preVoteAnswer, { from: 3, term: 5, granted: true });
    expect([node.core.role, node.core.term]).toEqual(['candidate', 5]);
  });

  it('is granted without a change of term or vote, and any number of times', () => {
    const node = new Single({ term: 4, votedFor: 3 });
    for (const from of [2, 3]) {
      const outcome = node.receive(preVote, { from, term: 5 });
      expect(outcome.hardState).toBeNull();
      expect(fieldsOf(outcome.later[0], 'granted', 'term')).toEqual({ granted: true, term: 5 });
    }
    expect([node.core.term, node.core.votedFor]).toEqual([4, 3]);
  });

  it('M20: a replica that was left behind in terms is told, and catches up', () => {
    const voter = new Single({ term: 9 });
    const refused = voter.receive(preVote, { from: 2, term: 5 }).now[0];
    expect(fieldsOf(refused, 'granted', 'term')).toEqual({ granted: false, term: 9 });
    const asker = new Single({ term: 4 });
    asker.campaign(true);
    asker.receive(preVoteAnswer, { from: 3, term: 9, granted: false });
    expect([asker.core.role, asker.core.term]).toEqual(['follower', 9]);
  });

  it.each([preVote, vote])(
    'a request of a lower term is answered, never dropped (kind %i)',
    (kind) => {
      const answer = new Single({ term: 9 }).receive(kind, { from: 2, term: 3 }).now[0];
      expect(fieldsOf(answer, 'granted', 'term')).toEqual({ granted: false, term: 9 });
    },
  );

  it('ignores a granted answer to another question', () => {
    const node = new Single({ term: 4 });
    node.campaign(true);
    node.receive(preVoteAnswer, { from: 2, term: 7, granted: true });
    expect([node.core.role, node.core.term]).toEqual(['preCandidate', 4]);
  });
});

describe('check-quorum (Raft §6, thesis §4.2.3)', () => {
  it.each([preVote, vote])(
    'a voter that hears a leader ignores requests of higher terms (kind %i)',
    (kind) => {
      const node = new Single({ config: { checkQuorum: true } });
      node.receive(heartbeat, { from: 2, term: 1 });
      node.nowMs = 99;
      const ignored = node.receive(kind, { from: 3, term: 2 });
      expect([ignored.now.length, ignored.later.length, node.core.term]).toEqual([0, 0, 1]);
      const forced = node.receive(kind, { from: 3, term: 2, forced: true });
      expect(forced.later[0]?.granted).toBe(true);
      const late = new Single({ config: { checkQuorum: true } });
      late.receive(heartbeat, { from: 2, term: 1 });
      late.nowMs = 100;
      expect(late.receive(kind, { from: 3, term: 2 }).later[0]?.granted).toBe(true);
    },
  );

  it('without it, a voter listens to requests of higher terms', () => {
    const node = new Single();
    node.receive(heartbeat, { from: 2, term: 1 });
    expect(node.receive(vote, { from: 3, term: 2 }).later[0]?.granted).toBe(true);
  });

  it('a leader that no quorum answers steps down in its term and keeps its vote', () => {
    const node = new Single({ config: { checkQuorum: true } });
    node.lead();
    node.tickAfter(60);
    node.receive(heartbeatAnswer, { from: 3, term: 1 });
    node.tickAfter(99);
    expect(node.core.role).toBe('leader');
    const outcome = node.tickAfter(21);
    expect([node.core.role, node.core.term, node.core.votedFor]).toEqual(['follower', 1, 1]);
    expect(outcome.readsVoid).toBe(true);
    expect(outcome.hardState).toBeNull();
  });

  it('without it, a leader stays', () => {
    const node = new Single();
    node.lead();
    node.tickAfter(1000);
    expect(node.core.role).toBe('leader');
  });

  it.each([append, heartbeat])('a deposed leader is told the term (kind %i)', (kind) => {
    const outcome = new Single({ term: 7 }).receive(kind, { from: 2, term: 3, token: 4 });
    const answer = outcome.now.concat(outcome.later)[0];
    expect(fieldsOf(answer, 'to', 'term', 'granted', 'token')).toEqual({
      to: 2,
      term: 7,
      granted: false,
      token: 0,
    });
  });

  it.each([
    messageKinds.appendAnswer,
    heartbeatAnswer,
    voteAnswer,
    preVoteAnswer,
    messageKinds.readIndex,
    messageKinds.readIndexAnswer,
  ])('a leader steps down at a message of a higher term (kind %i)', (kind) => {
    const node = new Single();
    node.lead();
    const outcome = node.receive(kind, { from: 2, term: 6 });
    expect([node.core.role, node.core.term, node.core.leader]).toEqual(['follower', 6, 0]);
    expect(outcome.hardState).toEqual({ term: 6, votedFor: 0, commit: 0 });
    expect(outcome.readsVoid).toBe(true);
  });
});
