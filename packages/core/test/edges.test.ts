// Edges that other implementations fell over, each test named after the guarantee that was lost there. Which issue taught
// which test stands in docs/internals/core.md, "What others' bugs taught"; a test here compares the two.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  Configuration,
  firstReplica,
  type MemberChange,
  type MessageKind,
  messageKinds,
} from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { type Outcome, Single, type Start, threeVoters } from './single.ts';

const k = messageKinds;

/** A leader whose blank entry is committed, and every entry before it. */
function leading(start: Start = {}): Single {
  const node = new Single(start);
  node.nowMs = 300;
  node.lead();
  node.persist();
  for (const voter of node.core.voters) if (voter !== 1) node.ack(voter, node.core.lastIndex);
  expect(node.core.commitIndex).toBe(node.core.lastIndex);
  return node;
}

function configure(
  node: Single,
  changes: readonly MemberChange[],
  transition: 'auto' | 'joint' | 'explicit' | 'leave' = 'auto',
): Outcome {
  return node.step({ kind: 'configure', transition, changes });
}

function voter(nodeId: number): MemberChange {
  return { kind: 'voter', member: firstReplica(nodeId) };
}

function learner(nodeId: number): MemberChange {
  return { kind: 'learner', member: firstReplica(nodeId) };
}

const jointOfFive = new Configuration({
  voters: [1, 4, 5].map(firstReplica),
  votersOutgoing: [1, 2, 3].map(firstReplica),
  autoLeave: true,
});

describe('a joint configuration', () => {
  it('that a new leader finds is left only once an entry of its own term is committed by both halves', () => {
    const node = new Single({
      termEnds: [{ term: 2, lastIndex: 3 }],
      configurations: [{ index: 3, configuration: jointOfFive }],
      commit: 3,
    });
    node.campaign();
    node.persist();
    for (const from of [2, 4]) {
      node.receive(k.voteAnswer, { from, term: node.core.term, granted: true });
    }
    expect([node.core.role, node.core.lastIndex, node.core.configuration]).toEqual([
      'leader',
      4,
      jointOfFive,
    ]);
    node.persist();
    // The new half alone, and then the old one too.
    for (const from of [4, 5]) expect(node.ack(from, 4).append).toBeNull();
    expect(node.ack(2, 4).append).toEqual([5, 5]);
    expect(node.core.voters).toEqual([1, 4, 5]);
  });

  it('is not left by a leader that was deposed before it was committed, nor twice', () => {
    const node = leading();
    configure(node, [voter(4), voter(5)]);
    node.persist();
    node.receive(k.heartbeat, { from: 2, term: 9 });
    node.receive(k.heartbeat, { from: 2, term: 9, commit: 2 });
    expect([node.core.role, node.core.lastIndex, node.core.configuration.isJoint]).toEqual([
      'follower',
      2,
      true,
    ]);
    const other = leading();
    configure(other, [voter(4), voter(5)]);
    other.persist();
    other.ack(2, 2);
    other.ack(4, 2);
    expect(other.core.lastIndex).toBe(3);
    for (const from of [3, 5]) other.ack(from, 2);
    expect(other.core.lastIndex).toBe(3);
    expect(configure(other, [], 'leave').refusal).toBe('changeInProgress');
  });

  it('that was entered explicitly stays until it is left, through a change of leaders too', () => {
    const configuration = new Configuration({
      voters: [1, 2, 4].map(firstReplica),
      votersOutgoing: [1, 2, 3].map(firstReplica),
    });
    const node = leading({ configuration });
    expect(node.core.configuration).toBe(configuration);
    expect(configure(node, [voter(5)]).refusal).toBe('simpleInJoint');
    expect(configure(node, [voter(5)], 'joint').refusal).toBe('alreadyJoint');
    expect(configure(node, [], 'leave').refusal).toBeNull();
    expect(node.core.voters).toEqual([1, 2, 4]);
  });

  it('makes a voter a learner only when it is left: until then its vote counts in the old half', () => {
    const node = leading();
    configure(node, [learner(3), voter(4), voter(5)], 'explicit');
    expect(node.core.configuration.learnersNext).toEqual([firstReplica(3)]);
    node.persist();
    // Old half {1 2 3}, new half {1 2 4 5}.
    node.ack(4, 2);
    node.ack(5, 2);
    expect(node.core.commitIndex).toBe(1);
    expect(node.ack(3, 2).committedTo).toBe(2);
    configure(node, [], 'leave');
    expect(node.core.configuration.isLearner(3)).toBe(true);
    expect(node.core.progress(3)).toMatchObject({ isLearner: true, match: 2 });
  });

  it('gives a lease, keeps a leader and confirms a read only with both halves', () => {
    const node = leading({
      configuration: new Configuration({
        voters: [1, 4, 5].map(firstReplica),
        votersOutgoing: [1, 2, 3].map(firstReplica),
        leaseMs: 100,
      }),
    });
    const heartbeat = node.tickAfter(20).now.find((m) => m.kind === k.heartbeat);
    const answer = (from: number, token: number): Outcome =>
      node.receive(k.heartbeatAnswer, { from, term: 1, token });
    for (const from of [4, 5]) answer(from, heartbeat?.token ?? 0);
    expect(node.core.hasLease(node.nowMs)).toBe(false);
    const { readToken } = node.read();
    for (const from of [4, 5]) expect(answer(from, readToken).reads).toEqual([]);
    expect(answer(2, readToken).reads).toHaveLength(1);
    expect(node.core.hasLease(node.nowMs)).toBe(true);
    // From here on only the new half answers: the leader leaves within its time-out.
    for (let i = 0; i < 6; i++) {
      node.tickAfter(20);
      for (const from of [4, 5]) answer(from, 0);
    }
    expect(node.core.role).toBe('follower');
  });
});

describe('a change of members', () => {
  it('counts for its own commit: a sole voter that adds another one does not commit that alone', () => {
    const node = leading({ voters: [1] });
    configure(node, [voter(2)]);
    expect(node.persist().committedTo).toBe(0);
    expect(node.ack(2, 2).committedTo).toBe(2);
    // Nor what was proposed before, and is not durable yet.
    const other = leading({ voters: [1] });
    other.propose(3);
    configure(other, [voter(2)]);
    expect(other.persist().committedTo).toBe(0);
  });

  it('that removes the leader of two leaves the other one able to go on, also where it never hears of the commit', () => {
    const node = leading({ voters: [1, 2] });
    configure(node, [{ kind: 'remove', nodeId: 1 }]);
    expect(node.ack(2, 2).committedTo).toBe(2);
    expect(node.core.role).toBe('follower');
    // Node 2, from its own side: it has the entry, and nobody tells it that this is committed.
    const left = new Single({
      config: { nodeId: 2, preVote: true, checkQuorum: true },
      voters: [1, 2],
      termEnds: [{ term: 1, lastIndex: 2 }],
      commit: 1,
      configurations: [{ index: 2, configuration: Configuration.ofNodes([2]) }],
    });
    left.tickAfter(200);
    left.persist();
    left.persist();
    expect([left.core.role, left.core.commitIndex]).toEqual(['leader', 3]);
  });

  it('keeps what is known of a learner that becomes a voter: it is not probed again and counts at once', () => {
    const node = leading();
    configure(node, [learner(4)]);
    node.persist();
    node.ack(2, 2);
    node.ack(4, 2);
    const before = node.core.progress(4);
    configure(node, [voter(4)]);
    expect(node.core.progress(4)).toMatchObject({
      match: 2,
      isProbing: false,
      isLearner: false,
      stream: before?.stream,
    });
    node.persist();
    node.ack(2, 3);
    expect(node.ack(4, 3).committedTo).toBe(3);
  });

  it('does not begin while leadership is handed over; the joint one that is open is left all the same', () => {
    const node = leading();
    configure(node, [voter(4), voter(5)]);
    node.step({ kind: 'transfer', nodeId: 2 });
    expect(configure(node, [voter(6)]).refusal).toBe('transferring');
    node.persist();
    node.ack(2, 2);
    const committed = node.ack(4, 2);
    expect([committed.append, node.core.configuration.isJoint]).toEqual([[3, 3], false]);
    // The target is told once it has that entry too.
    expect(node.ack(2, 3).now.some((m) => m.kind === k.timeoutNow)).toBe(true);
  });

  it('is carried to a restart in the middle of it, committed or not', () => {
    const node = new Single({
      termEnds: [{ term: 2, lastIndex: 3 }],
      configurations: [{ index: 3, configuration: jointOfFive }],
      commit: 1,
    });
    expect([node.core.configuration, node.core.configurationIndex]).toEqual([jointOfFive, 3]);
    const late = node.receive(k.append, {
      from: 2,
      term: 3,
      prevIndex: 2,
      prevTerm: 2,
      lastIndex: 3,
      entriesTerm: 3,
    });
    expect([late.truncateFrom, late.configurationChanged]).toEqual([3, true]);
    expect(node.core.configuration).toBe(threeVoters);
  });
});

describe('a learner', () => {
  it('counts for nothing: its answers confirm no read, keep no leader and give no lease', () => {
    const configuration = new Configuration({
      voters: [1, 2, 3].map(firstReplica),
      learners: [4, 5].map(firstReplica),
      leaseMs: 100,
    });
    const node = leading({ configuration });
    const { readToken } = node.step({ kind: 'read', byQuorum: true });
    for (let i = 0; i < 6; i++) {
      for (const from of [4, 5]) {
        const answered = node.receive(k.heartbeatAnswer, { from, term: 1, token: readToken });
        expect([answered.reads, node.core.hasLease(node.nowMs)]).toEqual([[], false]);
      }
      node.tickAfter(20);
    }
    expect(node.core.role).toBe('follower');
  });

  it('that is told to campaign does not, and neither does who was removed', () => {
    const configuration = new Configuration({
      voters: [2, 3].map(firstReplica),
      learners: [firstReplica(1)],
    });
    for (const start of [{ configuration }, { voters: [2, 3] }]) {
      const node = new Single(start);
      node.receive(k.heartbeat, { from: 2, term: 1 });
      expect(node.receive(k.timeoutNow, { from: 2, term: 1 }).later).toEqual([]);
      expect([node.core.role, node.core.term]).toEqual(['follower', 1]);
    }
  });
});

describe('elections', () => {
  it('who asks for pre-votes follows nobody any more, and helps the next one who asks', () => {
    const node = new Single({ config: { preVote: true, checkQuorum: true } });
    node.receive(k.heartbeat, { from: 2, term: 1 });
    node.tickAfter(200);
    expect([node.core.role, node.core.leader]).toEqual(['preCandidate', 0]);
    const asked = node.receive(k.preVote, { from: 3, term: 2 });
    expect([...asked.now, ...asked.later].map((m) => m.granted)).toEqual([true]);
  });

  it('the longer log of a lower term and the shorter one of a higher term find a leader between them', () => {
    const config = { preVote: true, checkQuorum: true };
    const long = new Single({ config, term: 5, termEnds: [{ term: 5, lastIndex: 8 }] });
    const short = new Single({
      config: { ...config, nodeId: 2 },
      term: 7,
      termEnds: [{ term: 4, lastIndex: 7 }],
    });
    const ask = (): boolean => {
      const asked = long.tickAfter(200).now.find((m) => m.to === 2);
      const answers = short.receive(k.preVote, { ...asked, from: 1 });
      const answer = [...answers.now, ...answers.later][0];
      long.receive(k.preVoteAnswer, { ...answer, from: 2 });
      return long.core.role === 'candidate';
    };
    expect([ask(), long.core.term]).toEqual([false, 7]);
    expect([ask(), long.core.term]).toEqual([true, 8]);
  });

  it('a group with leases checks its quorum whatever the host says', () => {
    const node = leading({
      configuration: threeVoters.withLease(100),
      config: { checkQuorum: false },
    });
    node.tickAfter(99);
    expect(node.core.role).toBe('leader');
    node.tickAfter(30);
    expect(node.core.role).toBe('follower');
  });
});

describe('what happens once', () => {
  it('a transfer that is asked for again ends when the first one would have', () => {
    const node = leading();
    node.step({ kind: 'transfer', nodeId: 2 });
    node.tickAfter(60);
    node.step({ kind: 'transfer', nodeId: 2 });
    node.tickAfter(39);
    expect(node.core.transferTo).toBe(2);
    node.tickAfter(1);
    expect(node.core.transferTo).toBe(0);
  });

  it('a follower that was allowed to lose what it acknowledged is stopped the next time', () => {
    const node = leading();
    const isTold = (): boolean => {
      node.step({ kind: 'peerLost', nodeId: 2 });
      node.step({ kind: 'peerBack', nodeId: 2 });
      return node.refuse(2, 0, 0).now.some((m) => m.kind === k.logReverted);
    };
    node.step({ kind: 'allowRevert', nodeId: 2, isAllowed: true });
    expect(isTold()).toBe(false);
    node.ack(2, 1);
    expect(isTold()).toBe(true);
  });

  it('an explicit joint configuration that is committed is not left by itself', () => {
    const node = leading();
    configure(node, [voter(4), voter(5)], 'explicit');
    node.persist();
    node.ack(2, 2);
    expect(node.ack(4, 2)).toMatchObject({ committedTo: 2, append: null });
    expect(node.core.configuration.isJoint).toBe(true);
  });

  it('a question for a read index is repeated after an interval, not at each sign of the leader', () => {
    const node = new Single();
    node.nowMs = 100;
    node.receive(k.heartbeat, { from: 2, term: 1 });
    node.persist();
    node.step({ kind: 'read', viaLeader: true });
    const asksAt = (ms: number): boolean => {
      node.nowMs = ms;
      const heard = node.receive(k.heartbeat, { from: 2, term: 1 });
      return heard.now.some((m) => m.kind === k.readIndex);
    };
    expect([119, 120, 139, 140].map(asksAt)).toEqual([false, true, false, true]);
  });

  it('a vote: a pre-vote for the very term in which it is given is refused to anybody else', () => {
    const node = new Single({ term: 4, votedFor: 3 });
    const isGranted = (from: number): boolean[] => {
      const asked = node.receive(k.preVote, { from, term: 4 });
      return [...asked.now, ...asked.later].map((m) => m.granted);
    };
    expect([isGranted(2), isGranted(3)]).toEqual([[false], [true]]);
  });

  it('nobody but the leader that is followed can tell a replica to campaign', () => {
    const node = new Single();
    node.receive(k.heartbeat, { from: 2, term: 1 });
    expect(node.receive(k.timeoutNow, { from: 3, term: 1 }).later).toEqual([]);
    expect(node.receive(k.timeoutNow, { from: 2, term: 1 }).later).toHaveLength(2);
  });
});

describe('a number that no replica sends', () => {
  const fieldsOf: readonly (readonly [name: string, kind: number, ...fields: string[]])[] = [
    ['append', k.append, 'prevIndex', 'prevTerm', 'lastIndex', 'commit', 'stream'],
    ['appendAnswer', k.appendAnswer, 'index', 'hintTerm', 'stream'],
    ['heartbeat', k.heartbeat, 'commit', 'token'],
    ['heartbeatAnswer', k.heartbeatAnswer, 'token'],
    ['vote', k.vote, 'index', 'logTerm'],
    ['preVote', k.preVote, 'index', 'logTerm'],
    ['readIndex', k.readIndex, 'token'],
    ['readIndexAnswer', k.readIndexAnswer, 'token', 'index'],
    ['logReverted', k.logReverted, 'index'],
  ];
  it.each(fieldsOf)(
    'in a message %s is dropped, whichever field it is in',
    (_name, kind, ...fields) => {
      for (const field of [...fields, 'term', 'fromGeneration']) {
        for (const value of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
          const node = new Single();
          const sound = { from: 2, term: 5, index: 1, logTerm: 1 };
          node.receive(kind as MessageKind, { ...sound, [field]: value });
          expect([node.core.ignoredCount, node.core.term], `${field} = ${value}`).toEqual([1, 0]);
        }
      }
    },
  );
});

describe('what others’ bugs taught', () => {
  it('is listed in docs/internals/core.md with tests that exist', () => {
    const docs = readFileSync(join(import.meta.dirname, '../../../docs/internals/core.md'), 'utf8');
    const [, section = ''] = docs.split("## What others' bugs taught\n");
    const rows = [
      ...(section.split('\n## ')[0] ?? '').matchAll(/^\| ([^|]*\d[^|]*) \| .* \| (.*) \|$/gm),
    ];
    expect(rows.length).toBeGreaterThanOrEqual(25);
    const sources = readdirSync(import.meta.dirname)
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(join(import.meta.dirname, name), 'utf8'))
      .join('\n');
    for (const [, issue, titles = ''] of rows) {
      for (const title of titles.split('; ')) {
        expect(sources.includes(title), `${issue}: ${title}`).toBe(true);
      }
    }
  });
});
