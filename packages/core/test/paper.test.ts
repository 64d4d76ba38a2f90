// The statements of the Raft paper (5.1-5.4, 6, 8) and of the thesis (3.10, 4.2-4.3, 6.4, 9.6), one test each, titled with
// their section; docs/internals/core.md lists them. Node 1 is the core under test, the others are what it hears.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Configuration, firstReplica, type MemberChange, messageKinds } from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { type Outcome, Single, type Start, threeVoters } from './single.ts';

const k = messageKinds;

type Statement = readonly [section: string, statement: string, check: () => void];

/** A leader of three voters in term 1 whose blank entry 1 is committed. */
function leading(start: Start = {}): Single {
  const node = new Single(start);
  node.lead();
  node.persist();
  for (const voter of node.core.voters) if (voter !== 1) node.ack(voter, node.core.lastIndex);
  expect(node.core.commitIndex).toBe(node.core.lastIndex);
  return node;
}

function addVoter(nodeId: number): MemberChange {
  return { kind: 'voter', member: firstReplica(nodeId) };
}

function configure(
  node: Single,
  changes: readonly MemberChange[],
  transition: 'auto' | 'joint' | 'explicit' | 'leave' = 'auto',
): Outcome {
  return node.step({ kind: 'configure', transition, changes });
}

function commitAll(node: Single, ...from: readonly number[]): void {
  node.persist();
  for (const voter of from) node.ack(voter, node.core.lastIndex);
}

function kinds(outcome: Outcome): number[] {
  return [...outcome.now, ...outcome.later].map((m) => m.kind);
}

function joint(): Configuration {
  return new Configuration({
    voters: [1, 4, 5].map(firstReplica),
    votersOutgoing: [1, 2, 3].map(firstReplica),
    autoLeave: true,
  });
}

const statements: readonly Statement[] = [
  [
    '§5.1',
    'a server that sees a larger term takes it and becomes a follower',
    () => {
      for (const kind of [k.append, k.heartbeat, k.vote]) {
        const node = leading();
        node.receive(kind, { from: 2, term: 9 });
        expect([node.core.role, node.core.term]).toEqual(['follower', 9]);
      }
    },
  ],
  [
    '§5.1',
    'a request with a stale term is refused, and the answer says the current one',
    () => {
      for (const kind of [k.append, k.heartbeat, k.vote, k.preVote]) {
        const node = new Single({ term: 5 });
        const outcome = node.receive(kind, { from: 2, term: 3, index: 0, logTerm: 0 });
        const answers = [...outcome.now, ...outcome.later];
        expect(answers.map((m) => [m.to, m.term, m.granted])).toEqual([[2, 5, false]]);
      }
    },
  ],
  ['§5.2', 'servers start as followers', () => expect(new Single().core.role).toBe('follower')],
  [
    '§5.2',
    'a server stays a follower as long as it hears from a leader',
    () => {
      const node = new Single();
      for (let i = 0; i < 20; i++) {
        node.receive(k.heartbeat, { from: 2, term: 1 });
        node.tickAfter(90);
      }
      expect([node.core.role, node.core.leader]).toEqual(['follower', 2]);
    },
  ],
  [
    '§5.2',
    'a follower that hears nothing for an election time-out raises its term and asks all others for votes',
    () => {
      const node = new Single({ term: 4 });
      const outcome = node.tickAfter(200);
      expect([node.core.role, node.core.term]).toEqual(['candidate', 5]);
      expect(outcome.later.map((m) => [m.kind, m.to, m.term])).toEqual([
        [k.vote, 2, 5],
        [k.vote, 3, 5],
      ]);
    },
  ],
  [
    '§5.2',
    'votes of a majority make a leader; fewer, refusals and strangers do not',
    () => {
      const cases: readonly [
        voters: number[],
        granted: number[],
        refused: number[],
        role: string,
      ][] = [
        [[1], [], [], 'leader'],
        [[1, 2, 3], [2], [], 'leader'],
        [[1, 2, 3], [], [2], 'candidate'],
        [[1, 2, 3], [], [2, 3], 'follower'],
        [[1, 2, 3, 4, 5], [2], [], 'candidate'],
        [[1, 2, 3, 4, 5], [2, 3], [], 'leader'],
        [[1, 2, 3, 4, 5], [2, 9], [], 'candidate'],
      ];
      for (const [voters, granted, refused, role] of cases) {
        const node = new Single({ voters });
        node.campaign();
        node.persist();
        for (const from of granted) node.receive(k.voteAnswer, { from, term: 1, granted: true });
        for (const from of refused) node.receive(k.voteAnswer, { from, term: 1 });
        expect(node.core.role, JSON.stringify([voters, granted, refused])).toBe(role);
      }
    },
  ],
  [
    '§5.2',
    'a server votes for at most one candidate a term, first come first served',
    () => {
      const node = new Single();
      expect(node.receive(k.vote, { from: 2, term: 1 }).later[0]?.granted).toBe(true);
      const second = node.receive(k.vote, { from: 3, term: 1 });
      expect([...second.now, ...second.later].map((m) => m.granted)).toEqual([false]);
      expect(node.core.votedFor).toBe(2);
    },
  ],
  [
    '§5.2',
    'a candidate that hears a leader of its term follows it',
    () => {
      const node = new Single();
      node.campaign();
      node.receive(k.append, { from: 2, term: 1 });
      expect([node.core.role, node.core.leader]).toEqual(['follower', 2]);
    },
  ],
  [
    '§5.2',
    'a candidate refuses a leader of a smaller term and goes on',
    () => {
      const node = new Single({ term: 4 });
      node.campaign();
      node.receive(k.append, { from: 2, term: 4 });
      expect([node.core.role, node.core.term]).toEqual(['candidate', 5]);
    },
  ],
  [
    '§5.2',
    'after a split vote a candidate begins a new election with a higher term',
    () => {
      const node = new Single();
      node.tickAfter(200);
      node.tickAfter(200);
      expect([node.core.role, node.core.term]).toEqual(['candidate', 2]);
    },
  ],
  [
    '§5.2',
    'election time-outs are random in a fixed interval and drawn anew for each election',
    () => {
      const seen = new Set<number>();
      for (let seed = 1; seed <= 50; seed++) {
        const node = new Single({ seed });
        const deadline = node.core.deadlineMs;
        expect(deadline).toBeGreaterThanOrEqual(100);
        expect(deadline).toBeLessThan(200);
        seen.add(deadline);
      }
      expect(seen.size).toBeGreaterThan(20);
      const node = new Single();
      const drawn = Array.from({ length: 20 }, () => {
        node.nowMs = node.core.deadlineMs;
        node.step({ kind: 'tick' });
        return node.core.deadlineMs - node.nowMs;
      });
      expect(node.core.term).toBe(20);
      expect(new Set(drawn).size).toBeGreaterThan(10);
      // The first campaign of a silence waits for answers only, and is repeated earlier (election.test.ts).
      const [first = 0, ...later] = drawn;
      expect(first >= 50 && first < 100).toBe(true);
      expect(later.every((ms) => ms >= 100 && ms < 200)).toBe(true);
    },
  ],
  [
    '§5.2',
    'a leader sends heartbeats to everybody each interval',
    () => {
      const node = leading();
      const outcome = node.tickAfter(20);
      expect(outcome.now.map((m) => [m.kind, m.to])).toEqual([
        [k.heartbeat, 2],
        [k.heartbeat, 3],
      ]);
    },
  ],
  [
    '§5.3',
    'a leader appends a command and sends it to all others at once',
    () => {
      const outcome = leading().propose();
      expect(outcome.append).toEqual([2, 2]);
      expect(outcome.now.map((m) => [m.kind, m.to, m.prevIndex, m.prevTerm, m.lastIndex])).toEqual([
        [k.append, 2, 1, 1, 2],
        [k.append, 3, 1, 1, 2],
      ]);
    },
  ],
  [
    '§5.3',
    'an entry is committed once a majority holds it, and all before it with it',
    () => {
      const node = leading();
      node.propose(3);
      node.persist();
      expect(node.ack(2, 4).committedTo).toBe(4);
    },
  ],
  [
    '§5.3',
    'a leader tells followers what is committed, and they commit no more than they hold',
    () => {
      const leader = leading();
      expect(leader.propose().now.map((m) => [m.kind, m.commit])).toEqual([
        [k.append, 1],
        [k.append, 1],
      ]);
      const node = new Single();
      const outcome = node.receive(k.append, {
        from: 2,
        term: 1,
        lastIndex: 3,
        entriesTerm: 1,
        commit: 9,
      });
      expect(outcome.committedTo).toBe(3);
    },
  ],
  [
    '§5.3',
    'a follower refuses entries whose predecessor it does not hold',
    () => {
      for (const [prevIndex, prevTerm] of [
        [4, 2],
        [2, 2],
      ] as const) {
        const node = new Single({ termEnds: [{ term: 1, lastIndex: 2 }] });
        const fields = { from: 2, term: 2, prevIndex, prevTerm, lastIndex: prevIndex + 1 };
        const outcome = node.receive(k.append, { ...fields, entriesTerm: 2 });
        expect([outcome.append, outcome.later[0]?.granted]).toEqual([null, false]);
      }
    },
  ],
  [
    '§5.3',
    'a conflicting entry and all behind it are replaced by the leader’s',
    () => {
      const node = new Single({
        termEnds: [
          { term: 1, lastIndex: 2 },
          { term: 2, lastIndex: 5 },
        ],
      });
      const fields = { from: 2, term: 3, prevIndex: 2, prevTerm: 1, lastIndex: 3, entriesTerm: 3 };
      const outcome = node.receive(k.append, fields);
      expect([outcome.truncateFrom, outcome.append, node.core.lastIndex]).toEqual([3, [3, 3], 3]);
    },
  ],
  [
    '§5.3',
    'a leader goes back after a refusal until the logs agree, and never changes its own log',
    () => {
      const node = new Single({ termEnds: [{ term: 1, lastIndex: 8 }] });
      node.lead();
      const first = node.refuse(2, 4, 1);
      expect(first.now.map((m) => [m.prevIndex, m.lastIndex])).toEqual([[4, 8]]);
      const second = node.refuse(2, 2, 1);
      expect(second.now.map((m) => [m.prevIndex, m.lastIndex])).toEqual([[2, 8]]);
      expect(node.ack(2, 8).now.map((m) => [m.prevIndex, m.lastIndex])).toEqual([[8, 9]]);
      expect([first.truncateFrom, second.truncateFrom, node.core.lastIndex]).toEqual([0, 0, 9]);
    },
  ],
  [
    '§5.4.1',
    'a vote goes only to a log that is at least as up to date: the later last term, then the longer log',
    () => {
      const cases: readonly [index: number, logTerm: number, granted: boolean][] = [
        [5, 3, true],
        [6, 3, true],
        [4, 3, false],
        [1, 4, true],
        [9, 2, false],
      ];
      for (const [index, logTerm, granted] of cases) {
        const node = new Single({ termEnds: [{ term: 3, lastIndex: 5 }] });
        const { now, later } = node.receive(k.vote, { from: 2, term: 5, index, logTerm });
        expect([...now, ...later][0]?.granted, `${index} of term ${logTerm}`).toBe(granted);
      }
    },
  ],
  [
    '§5.4.2',
    'a leader commits by counting only entries of its own term (figure 8)',
    () => {
      const node = new Single({ termEnds: [{ term: 2, lastIndex: 3 }] });
      node.lead();
      expect(node.ack(2, 3).committedTo).toBe(0);
      expect(node.ack(3, 3).committedTo).toBe(0);
      node.persist();
      expect(node.ack(2, 4).committedTo).toBe(4);
    },
  ],
  [
    '§6, thesis §4.3',
    'a server uses the latest configuration in its log, committed or not',
    () => {
      const node = new Single();
      const outcome = node.receive(k.append, {
        from: 2,
        term: 1,
        lastIndex: 1,
        entriesTerm: 1,
        configurations: [{ index: 1, configuration: joint() }],
      });
      expect([outcome.configurationChanged, node.core.commitIndex]).toEqual([true, 0]);
      expect(node.core.voters).toEqual([1, 2, 3, 4, 5]);
    },
  ],
  [
    '§6, thesis §4.3',
    'a joint configuration elects with majorities of both halves',
    () => {
      const cases: readonly [granted: number[], role: string][] = [
        [[2, 3], 'candidate'],
        [[4, 5], 'candidate'],
        [[2, 4], 'leader'],
      ];
      for (const [granted, role] of cases) {
        const node = new Single({ configuration: joint() });
        node.campaign();
        node.persist();
        for (const from of granted) node.receive(k.voteAnswer, { from, term: 1, granted: true });
        expect(node.core.role, `votes of ${granted.join()}`).toBe(role);
      }
    },
  ],
  [
    '§6, thesis §4.3',
    'a joint configuration commits with majorities of both halves',
    () => {
      const node = leading();
      configure(node, [addVoter(4), addVoter(5), { kind: 'remove', nodeId: 2 }], 'explicit');
      node.persist();
      expect(node.ack(2, 2).committedTo).toBe(0);
      expect(node.ack(3, 2).committedTo).toBe(0);
      expect(node.ack(4, 2).committedTo).toBe(2);
    },
  ],
  [
    '§6, thesis §4.3',
    'once the joint configuration is committed, the leader appends the new one',
    () => {
      const node = leading();
      configure(node, [addVoter(4), addVoter(5)]);
      expect(node.core.configuration.isJoint).toBe(true);
      node.persist();
      node.ack(2, 2);
      const committed = node.ack(4, 2);
      expect([committed.committedTo, committed.append]).toEqual([2, [3, 3]]);
      expect(committed.appendConfiguration?.isJoint).toBe(false);
      expect(node.core.voters).toEqual([1, 2, 3, 4, 5]);
    },
  ],
  [
    '§6, thesis §4.2.2',
    'a leader that is not in the new configuration leaves when that is committed, and does not count itself',
    () => {
      const node = leading();
      configure(node, [{ kind: 'remove', nodeId: 1 }]);
      node.persist();
      expect(node.ack(2, 2).committedTo).toBe(0);
      const last = node.ack(3, 2);
      expect([last.committedTo, node.core.role, last.removed]).toEqual([2, 'follower', true]);
      expect(node.core.deadlineMs).toBe(Number.POSITIVE_INFINITY);
    },
  ],
  [
    '§6, thesis §4.2.3',
    'a server that hears from a leader ignores requests for votes',
    () => {
      const node = new Single({ config: { checkQuorum: true } });
      node.receive(k.heartbeat, { from: 2, term: 1 });
      node.nowMs = 99;
      expect(kinds(node.receive(k.vote, { from: 3, term: 7 }))).toEqual([]);
      expect(node.core.term).toBe(1);
      node.nowMs = 100;
      expect(kinds(node.receive(k.vote, { from: 3, term: 7 }))).toEqual([k.voteAnswer]);
    },
  ],
  [
    'thesis §3.10',
    'a transfer stops proposals, brings the target up to date and tells it to campaign at once',
    () => {
      const node = leading();
      node.propose();
      expect(kinds(node.step({ kind: 'transfer', nodeId: 2 }))).toEqual([]);
      expect([node.propose().refusal, node.core.transferTo]).toEqual(['transferring', 2]);
      expect(node.ack(2, 2).now.map((m) => [m.kind, m.to])).toEqual([[k.timeoutNow, 2]]);
    },
  ],
  [
    'thesis §3.10',
    'who is told to campaign does so at once, and even loyal servers answer it',
    () => {
      const target = new Single({ config: { preVote: true, checkQuorum: true } });
      target.receive(k.heartbeat, { from: 2, term: 1 });
      const told = target.receive(k.timeoutNow, { from: 2, term: 1 });
      expect(told.later.map((m) => [m.kind, m.term, m.forced])).toEqual([
        [k.vote, 2, true],
        [k.vote, 2, true],
      ]);
      const loyal = new Single({ config: { checkQuorum: true } });
      loyal.receive(k.heartbeat, { from: 2, term: 1 });
      const asked = loyal.receive(k.vote, { from: 3, term: 2, forced: true });
      expect(asked.later[0]?.granted).toBe(true);
    },
  ],
  [
    'thesis §3.10',
    'a transfer that takes an election time-out is given up, and proposals are taken again',
    () => {
      const node = leading();
      node.step({ kind: 'transfer', nodeId: 2 });
      expect(node.tickAfter(99).stateChanged).toBe(false);
      expect(node.tickAfter(1).stateChanged).toBe(true);
      expect([node.core.transferTo, node.propose().refusal]).toEqual([0, null]);
    },
  ],
  [
    'thesis §4.1',
    'no change begins before the one before is committed',
    () => {
      const node = leading();
      expect(configure(node, [addVoter(4)]).refusal).toBeNull();
      expect(configure(node, [addVoter(5)]).refusal).toBe('changeInProgress');
      commitAll(node, 2, 3);
      expect(configure(node, [addVoter(5)]).refusal).toBeNull();
    },
  ],
  [
    'thesis §4.1 (Ongaro 2015)',
    'M14: no change begins before the leader has committed an entry of its own term',
    () => {
      const node = new Single({ termEnds: [{ term: 2, lastIndex: 3 }] });
      node.lead();
      expect(configure(node, [addVoter(4)]).refusal).toBe('noOwnCommit');
      commitAll(node, 2);
      expect(configure(node, [addVoter(4)]).refusal).toBeNull();
    },
  ],
  [
    'thesis §4.2.1',
    'a new server catches up as a learner, which is sent everything and counts for nothing',
    () => {
      const node = leading();
      const added = configure(node, [{ kind: 'learner', member: firstReplica(4) }]);
      expect(new Set(added.now.map((m) => m.to))).toEqual(new Set([2, 3, 4]));
      commitAll(node, 2);
      node.propose();
      node.persist();
      node.ack(4, 2);
      expect(node.ack(4, 3).committedTo).toBe(0);
      expect(node.ack(2, 3).committedTo).toBe(3);
    },
  ],
  [
    'thesis §4.2.2',
    'a server that its log leaves out campaigns still until that is committed: it may be the only one that can win',
    () => {
      const out = Configuration.ofNodes([2]);
      const configurations = [{ index: 2, configuration: out }];
      const start = { termEnds: [{ term: 1, lastIndex: 2 }], configurations };
      const node = new Single({ ...start, configuration: Configuration.ofNodes([1, 2]) });
      node.tickAfter(200);
      node.persist();
      expect(node.core.role).toBe('candidate');
      node.receive(k.voteAnswer, { from: 2, term: 2, granted: true });
      expect(node.core.role).toBe('leader');
      const committed = new Single({
        ...start,
        configuration: Configuration.ofNodes([1, 2]),
        commit: 2,
      });
      committed.tickAfter(1000);
      expect(committed.core.role).toBe('follower');
    },
  ],
  [
    'thesis §4.3',
    'a joint configuration that its leader left behind is finished by the next one',
    () => {
      const node = new Single({
        termEnds: [{ term: 2, lastIndex: 3 }],
        configurations: [{ index: 3, configuration: joint() }],
      });
      node.campaign();
      node.persist();
      for (const from of [2, 4]) {
        node.receive(k.voteAnswer, { from, term: node.core.term, granted: true });
      }
      node.persist();
      node.ack(2, 4);
      const finished = node.ack(4, 4);
      expect(finished.append).toEqual([5, 5]);
      expect(node.core.voters).toEqual([1, 4, 5]);
    },
  ],
  [
    '§8, thesis §6.4',
    'M10: a leader answers no read before an entry of its own term is committed',
    () => {
      const node = new Single({ termEnds: [{ term: 2, lastIndex: 3 }], commit: 1 });
      node.lead();
      const { readToken } = node.read();
      expect(node.persist().reads).toEqual([]);
      const committed = node.ack(2, 4);
      expect(committed.reads).toEqual([]);
      const token = committed.now.find((m) => m.kind === k.heartbeat)?.token ?? 0;
      const answered = node.receive(k.heartbeatAnswer, { from: 2, term: 3, token });
      expect(answered.reads).toEqual([{ token: readToken, index: 4 }]);
    },
  ],
  [
    '§8, thesis §6.4',
    'a read is answered only once a majority was heard since it arrived',
    () => {
      const node = leading();
      const first = node.read().readToken;
      const second = node.read().readToken;
      const old = node.receive(k.heartbeatAnswer, { from: 2, term: 1, token: first });
      expect(old.reads).toEqual([{ token: first, index: 1 }]);
      const fresh = node.receive(k.heartbeatAnswer, { from: 3, term: 1, token: second });
      expect(fresh.reads).toEqual([{ token: second, index: 1 }]);
    },
  ],
  [
    'thesis §6.4',
    'a follower reads by asking the leader for a read index',
    () => {
      const node = new Single();
      node.receive(k.heartbeat, { from: 2, term: 1 });
      const asked = node.step({ kind: 'read', viaLeader: true });
      expect([...asked.now, ...asked.later].map((m) => [m.kind, m.to, m.token])).toEqual([
        [k.readIndex, 2, asked.readToken],
      ]);
      const fields = { from: 2, term: 1, token: asked.readToken, index: 7, granted: true };
      expect(node.receive(k.readIndexAnswer, fields).reads).toEqual([
        { token: asked.readToken, index: 7 },
      ]);
    },
  ],
  [
    'thesis §6.4.1',
    'a leader with a lease answers reads at once, measured from when its question left',
    () => {
      const node = new Single({ configuration: threeVoters.withLease(100) });
      expect(node.campaign().hardState).toBeNull(); // it may have promised something in an earlier life
      node.nowMs = 100;
      node.lead();
      commitAll(node, 2, 3);
      const token = node.tickAfter(20).now[0]?.token ?? 0;
      node.nowMs = 150;
      node.receive(k.heartbeatAnswer, { from: 2, term: 1, token });
      node.nowMs = 209;
      expect(node.read().reads).toHaveLength(1);
      node.nowMs = 210;
      expect(node.read().reads).toHaveLength(0);
    },
  ],
  [
    'thesis §9.6',
    'a pre-vote raises no term and gives no vote away',
    () => {
      const node = new Single({ term: 3 });
      const outcome = node.receive(k.preVote, { from: 2, term: 4 });
      expect(outcome.later.map((m) => [m.granted, m.term])).toEqual([[true, 4]]);
      expect([node.core.term, node.core.votedFor, outcome.hardState]).toEqual([3, 0, null]);
    },
  ],
  [
    'thesis §9.6',
    'a campaign raises the term only once a majority would vote for it',
    () => {
      const node = new Single({ config: { preVote: true } });
      node.tickAfter(200);
      expect([node.core.role, node.core.term]).toEqual(['preCandidate', 0]);
      node.receive(k.preVoteAnswer, { from: 2, term: 1, granted: true });
      expect([node.core.role, node.core.term]).toEqual(['candidate', 1]);
    },
  ],
  [
    'thesis §9.6',
    'M21: a pre-vote is refused by who hears a leader, and for a log that is behind',
    () => {
      const node = new Single({
        config: { checkQuorum: true },
        termEnds: [{ term: 1, lastIndex: 4 }],
      });
      const behind = node.receive(k.preVote, { from: 3, term: 2, index: 3, logTerm: 1 });
      expect(behind.now[0]?.granted).toBe(false);
      node.receive(k.heartbeat, { from: 2, term: 1 });
      expect(kinds(node.receive(k.preVote, { from: 3, term: 2, index: 4, logTerm: 1 }))).toEqual(
        [],
      );
    },
  ],
];

describe('what the paper and the thesis say', () => {
  it.each(statements)('%s: %s', (_section, _statement, check) => {
    check();
  });

  it('are listed in docs/internals/core.md, these and no others, forty and more', () => {
    const docs = readFileSync(join(import.meta.dirname, '../../../docs/internals/core.md'), 'utf8');
    const [, section = ''] = docs.split('## What the paper and the thesis say\n');
    const rows = [...(section.split('\n## ')[0] ?? '').matchAll(/^\| (.*\d.*) \| (.*) \|$/gm)];
    expect(rows.map(([, place, statement]) => [place, statement])).toEqual(
      statements.map(([place, statement]) => [place, statement]),
    );
    expect(statements.length).toBeGreaterThanOrEqual(40);
  });
});
