// The leader's side of replication: Raft §5.3 and §5.4.2, pipelining (thesis §10.2.1).

import { type CoreConfig, messageKinds } from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { fieldsOf, type Outcome, Single } from './single.ts';

const { append, appendAnswer, heartbeat, heartbeatAnswer } = messageKinds;

/** [to, prevIndex, lastIndex] of the appends that left. */
function appendsOf(outcome: Outcome): number[][] {
  return outcome.now.filter((m) => m.kind === append).map((m) => [m.to, m.prevIndex, m.lastIndex]);
}

/** A leader of term 1 whose blank entry is durable and known to match everywhere. */
function settled(config: Partial<CoreConfig> = {}, voters: readonly number[] = [1, 2, 3]): Single {
  const node = new Single({ config, voters });
  node.lead();
  node.persist();
  for (const voter of node.core.voters) if (voter !== 1) node.ack(voter, 1);
  return node;
}

describe('proposing', () => {
  it('is refused where this replica does not lead', () => {
    const outcome = new Single().propose(3);
    expect([outcome.proposedFirst, outcome.append]).toEqual([0, null]);
  });

  it('is refused by a leader that stays after its own removal is committed', () => {
    const node = settled({ stepDownOnRemoval: false });
    node.ack(2, 1);
    node.step({
      kind: 'configure',
      transition: 'simple',
      changes: [{ kind: 'remove', nodeId: 1 }],
    });
    expect(node.propose().refusal).toBe(null);
    node.persist();
    node.ack(2, 3);
    node.ack(3, 3);
    expect([node.core.role, node.core.commitIndex]).toEqual(['leader', 3]);
    expect(node.propose().refusal).toBe('notLeader');
    // Another replica of its own node would be taken for itself.
    const member = { nodeId: 1, generation: 2, instance: 0 };
    const change = { kind: 'configure', transition: 'auto' } as const;
    const again = node.step({ ...change, changes: [{ kind: 'voter', member }] });
    expect([again.refusal, again.append]).toEqual(['notLeader', null]);
  });

  it('sends the entries at once, beside its own write (thesis §10.2.1)', () => {
    const outcome = settled().propose(3);
    expect([outcome.proposedFirst, outcome.append]).toEqual([2, [2, 4]]);
    expect(appendsOf(outcome)).toEqual([
      [2, 1, 4],
      [3, 1, 4],
    ]);
  });

  it('pipelines: the next append does not wait for the answer to the last', () => {
    const node = settled();
    node.propose();
    expect(appendsOf(node.propose())).toEqual([
      [2, 2, 3],
      [3, 2, 3],
    ]);
  });
});

describe('committing (Raft §5.3, §5.4.2)', () => {
  it('counts its own copy only once that is durable', () => {
    const node = settled();
    node.propose();
    expect(node.ack(2, 2).committedTo).toBe(0);
    expect(node.persist().committedTo).toBe(2);
  });

  it('may commit by followers alone, before its own copy is durable (thesis §10.2.1)', () => {
    const node = settled();
    node.propose();
    node.ack(2, 2);
    expect(node.ack(3, 2).committedTo).toBe(2);
  });

  it('ignores a durable index that has another term by now', () => {
    const node = new Single({ termEnds: [{ term: 1, lastIndex: 4 }] });
    node.lead();
    node.ack(2, 5);
    const stale = { kind: 'persisted', term: 2, votedFor: 1, index: 5, indexTerm: 1 } as const;
    expect(node.step(stale).committedTo).toBe(0);
    expect(node.persist().committedTo).toBe(5);
  });

  it('M04: entries of older terms are committed only by one of its own (figure 8)', () => {
    const node = new Single({ termEnds: [{ term: 2, lastIndex: 4 }] });
    node.lead();
    node.refuse(2, 0, 0);
    node.refuse(3, 0, 0);
    node.persist();
    expect(node.ack(2, 4).committedTo).toBe(0);
    expect(node.ack(3, 4).committedTo).toBe(0);
    expect(node.ack(3, 5).committedTo).toBe(5);
  });

  it.each([
    { acks: [9, 3, 5, 4], own: 2, commit: 4 },
    { acks: [2, 2, 9, 9], own: 9, commit: 9 },
    { acks: [9, 8, 2, 2], own: 3, commit: 3 },
    { acks: [2, 3, 2, 3], own: 9, commit: 3 },
  ])(
    'M06: commits what three of five hold, in whatever order they answer: $acks',
    ({ acks, own, commit }) => {
      const node = settled({ inflightMessagesMax: 100 }, [1, 2, 3, 4, 5]);
      for (let i = 2; i <= 9; i++) node.propose();
      node.step({ kind: 'persisted', term: 1, votedFor: 1, index: own, indexTerm: 1 });
      for (const [at, index] of acks.entries()) node.ack(at + 2, index);
      expect(node.core.commitIndex).toBe(commit);
    },
  );

  it('counts one voter once, however often it answers', () => {
    const node = settled({}, [1, 2, 3, 4, 5]);
    node.propose();
    node.persist();
    for (let i = 0; i < 3; i++) node.ack(2, 2);
    expect(node.core.commitIndex).toBe(1);
    node.ack(5, 2);
    expect(node.core.commitIndex).toBe(2);
  });
});

describe('finding where the logs agree (Raft §5.3)', () => {
  const termEnds = [
    { term: 1, lastIndex: 3 },
    { term: 4, lastIndex: 5 },
    { term: 5, lastIndex: 7 },
    { term: 6, lastIndex: 10 },
  ];

  it.each([
    { hint: [6, 3], prev: 3, why: 'skips all terms that the follower does not have' },
    { hint: [4, 4], prev: 4, why: 'takes the hint where it has the term' },
    { hint: [0, 0], prev: 0, why: 'begins with the first entry for an empty log' },
    { hint: [99, 99], prev: 9, why: 'comes down one entry where the hint makes no sense' },
  ])('probes from the hint: $why', ({ hint, prev }) => {
    const node = new Single({ termEnds });
    node.lead();
    const outcome = node.refuse(2, hint[0] as number, hint[1] as number);
    expect(appendsOf(outcome)[0]?.slice(0, 2)).toEqual([2, prev]);
  });

  it('M08: cuts appends at term boundaries and by bytes, leaves nothing out, and sends on when the probe matched', () => {
    const node = new Single({ termEnds, config: { appendBytesMax: 20, inflightMessagesMax: 9 } });
    node.lead();
    expect(appendsOf(node.refuse(2, 0, 0))).toEqual([[2, 0, 2]]);
    const outcome = node.ack(2, 2);
    expect(outcome.now.map((m) => [m.prevIndex, m.lastIndex, m.entriesTerm])).toEqual([
      [2, 3, 1],
      [3, 5, 4],
      [5, 7, 5],
      [7, 9, 6],
      [9, 10, 6],
      [10, 11, 7],
    ]);
  });

  it('acts on one refusal of a stream, and ignores the answers behind it', () => {
    const node = settled();
    node.propose();
    node.propose();
    const stream = node.core.progress(2)?.stream as number;
    node.refuse(2, 1, 1);
    expect(node.core.progress(2)?.stream).not.toBe(stream);
    const late = { from: 2, term: 1, stream, index: 1, hintTerm: 1 };
    expect(node.receive(appendAnswer, late).now).toEqual([]);
    const granted = { from: 2, term: 1, stream, index: 3, granted: true };
    node.receive(appendAnswer, granted);
    expect(node.core.progress(2)?.match).toBe(1);
  });

  it('does not race with a follower that refuses what it had acknowledged', () => {
    const node = settled();
    node.propose();
    expect(appendsOf(node.refuse(2, 0, 0))).toEqual([[2, 1, 2]]);
    expect(appendsOf(node.refuse(2, 0, 0))).toEqual([]);
  });

  it('drops an acknowledgement of entries that were never written', () => {
    const node = settled();
    node.ack(2, 99);
    expect([node.core.progress(2)?.match, node.core.ignoredCount]).toEqual([1, 1]);
  });
});

describe('the window of a stream', () => {
  it('is full by messages, and goes on with every answer', () => {
    const node = settled({ inflightMessagesMax: 2 });
    node.propose();
    node.propose();
    expect(appendsOf(node.propose())).toEqual([]);
    node.propose();
    const resumed = node.ack(2, 2);
    expect(appendsOf(resumed)).toEqual([[2, 3, 5]]);
    expect(node.core.progress(2)?.inflightMessages).toBe(2);
  });

  it('is full by bytes, and lets one larger entry through', () => {
    const node = settled({ inflightBytesMax: 5 });
    expect(appendsOf(node.propose()).length).toBe(2);
    expect(appendsOf(node.propose()).length).toBe(0);
    expect(appendsOf(node.ack(3, 2))).toEqual([[3, 2, 3]]);
  });

  it('a lost append is found by the next one', () => {
    const node = settled();
    node.propose();
    node.propose();
    const outcome = node.refuse(2, 1, 1);
    expect(appendsOf(outcome)).toEqual([[2, 1, 3]]);
    expect(node.core.progress(2)?.isProbing).toBe(true);
  });

  it('a lost last append is found by the first heartbeat answer after a silent interval', () => {
    const node = settled();
    node.propose();
    node.receive(heartbeatAnswer, { from: 2, term: 1 });
    expect(node.core.progress(2)?.inflightMessages).toBe(1);
    expect(node.tickAfter(20).now.map((m) => m.kind)).toEqual([heartbeat, heartbeat]);
    const repair = node.receive(heartbeatAnswer, { from: 2, term: 1 });
    expect(appendsOf(repair)).toEqual([[2, 2, 2]]);
    expect(appendsOf(node.refuse(2, 1, 1))).toEqual([[2, 1, 2]]);
  });

  it('a lost answer is replaced by that of the empty append', () => {
    const node = settled({ inflightMessagesMax: 1 });
    node.propose();
    node.propose();
    node.tickAfter(20);
    node.receive(heartbeatAnswer, { from: 2, term: 1 });
    expect(appendsOf(node.ack(2, 2))).toEqual([[2, 2, 3]]);
  });

  it('a lost probe is repeated on the heartbeat answer, not before', () => {
    const node = new Single();
    node.lead();
    expect(appendsOf(node.receive(heartbeatAnswer, { from: 2, term: 1 }))).toEqual([]);
    node.tickAfter(20);
    expect(appendsOf(node.receive(heartbeatAnswer, { from: 2, term: 1 }))).toEqual([[2, 0, 1]]);
  });
});

describe('connections', () => {
  it('a lost one ends the stream; the next one begins with a probe at once', () => {
    const node = settled();
    node.propose();
    const stream = node.core.progress(2)?.stream;
    expect(node.step({ kind: 'peerLost', nodeId: 2 }).now).toEqual([]);
    expect(appendsOf(node.propose())).toEqual([[3, 2, 3]]);
    const back = node.step({ kind: 'peerBack', nodeId: 2 });
    expect(appendsOf(back)).toEqual([[2, 1, 3]]);
    expect(node.core.progress(2)?.stream).not.toBe(stream);
  });

  it('a peer that comes back without notice is found by its heartbeat answer', () => {
    const node = settled();
    node.step({ kind: 'peerLost', nodeId: 2 });
    node.tickAfter(20);
    expect(appendsOf(node.receive(heartbeatAnswer, { from: 2, term: 1 }))).toEqual([[2, 1, 1]]);
  });
});

describe('heartbeats', () => {
  it('go to peers that nothing was sent to for an interval, so that busy groups send none', () => {
    const node = settled();
    node.nowMs = 15;
    node.propose();
    expect(node.tickAfter(10).now).toEqual([]);
    expect(node.core.deadlineMs).toBe(35);
    const idle = node.tickAfter(10);
    expect(idle.now.map((m) => fieldsOf(m, 'kind', 'to', 'commit', 'token'))).toEqual([
      { kind: heartbeat, to: 2, commit: 1, token: 0 },
      { kind: heartbeat, to: 3, commit: 1, token: 0 },
    ]);
    expect(node.core.deadlineMs).toBe(55);
  });

  it('carry a commit index to followers within an interval, but never beyond what they hold', () => {
    const node = settled();
    node.propose();
    node.persist();
    expect(node.ack(2, 2).now).toEqual([]);
    const sent = node.tickAfter(20).now.map((m) => [m.to, m.commit]);
    expect(sent).toEqual([
      [2, 2],
      [3, 1],
    ]);
  });

  it('do not leave before they are due', () => {
    expect(settled().tickAfter(19).now).toEqual([]);
  });
});

describe('a log that begins late', () => {
  it('asks for a snapshot, once, for a follower that needs what was compacted, and sends it nothing else', () => {
    const node = new Single({
      firstIndex: 11,
      prevTerm: 2,
      termEnds: [{ term: 2, lastIndex: 14 }],
      commit: 12,
    });
    node.lead();
    const refused = node.refuse(2, 5, 1);
    expect([refused.now, refused.snapshotsNeeded]).toEqual([[], [2]]);
    const again = node.refuse(2, 5, 1);
    expect([again.now, again.snapshotsNeeded]).toEqual([[], []]);
    node.tickAfter(20);
    const alive = node.receive(heartbeatAnswer, { from: 2, term: 3 });
    expect([appendsOf(alive), alive.snapshotsNeeded]).toEqual([[], []]);
  });

  it('a follower whose full window was lost is not left behind when what follows the window is compacted', () => {
    const node = settled();
    for (let i = 0; i < 6; i++) node.propose();
    node.persist();
    node.ack(2, 4);
    node.ack(2, 7);
    expect(node.core.progress(3)).toMatchObject({ next: 6, inflightMessages: 4 });
    node.step({ kind: 'compact', index: 7 });
    node.tickAfter(20);
    const { snapshotsNeeded } = node.receive(heartbeatAnswer, { from: 3, term: node.core.term });
    expect(snapshotsNeeded).toEqual([3]);
  });
});
