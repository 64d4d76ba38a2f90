// The checks of the simulated cluster, each shown what it must not let pass. (That they find bugs in the engine itself is
// shown by `npm run -s sim -- --mutants`.)

import { type Member, Message, messageKinds } from '@flotilla/core';
import type { GroupStatus, Membership } from '@flotilla/host';
import { describe, expect, test } from 'vitest';
import { attemptId, decodeCommand, encodeCommand } from '../src/cluster/command.ts';
import { type AppliedCommand, Ledger } from '../src/cluster/ledger.ts';
import { LogChain } from '../src/cluster/log-chain.ts';
import { Healing, type HealingHost } from '../src/cluster/heal.ts';
import { Monitor, type WatchedHost } from '../src/cluster/monitor.ts';
import { difference, judge, type RecoveredLog } from '../src/cluster/recovery-probe.ts';
import { checkHistory } from '../src/cluster/sim-cluster.ts';
import { newTotals } from '../src/cluster/totals.ts';
import { ViolationLog } from '../src/cluster/violation.ts';
import { ReplicaPromises, Witness } from '../src/cluster/witness.ts';
import { HistoryRecorder, type RegisterInput, type RegisterOutput } from '../src/register-model.ts';
import { SimRng } from '../src/sim-rng.ts';
import { SimWorld } from '../src/sim-world.ts';

function violations(): ViolationLog {
  return new ViolationLog(
    () => 0,
    () => {},
  );
}

describe('commands', () => {
  test('are read back as they were made, and not where a byte is out of place', () => {
    const id = attemptId(3, 12_345, 6);
    const bytes = encodeCommand(id, 42, 300);
    expect(decodeCommand(bytes, 0, bytes.length)).toMatchObject({ id, key: 42 });
    bytes[200] = (bytes[200] as number) ^ 1;
    expect(decodeCommand(bytes, 0, bytes.length)).toBe(null);
  });
});

describe('the ledger', () => {
  const make = (): { ledger: Ledger; log: ViolationLog } => {
    const log = violations();
    return { log, ledger: new Ledger(log, { onFirstApplied() {} }) };
  };
  const command = (more: Partial<AppliedCommand>): AppliedCommand => ({
    ...{ groupId: 1, host: 'n1', previous: 0, index: 1, term: 1, id: 7, hash: 9, state: 5 },
    ...more,
  });

  test('S4: refuses a second command at an index, and a blank where others applied one', () => {
    const one = make();
    for (const id of [7, 8]) one.ledger.tried(id);
    one.ledger.applied(command({}));
    one.ledger.applied(command({ host: 'n2', id: 8 }));
    expect(one.log.first?.invariant).toBe('S4');

    const two = make();
    for (const id of [7, 8]) two.ledger.tried(id);
    two.ledger.applied(command({}));
    two.ledger.applied(command({ host: 'n2', index: 2, id: 8 }));
    expect(two.log.first?.invariant).toBe('S4');
  });

  test('S7: refuses another state at the same index, and an index applied again in one life', () => {
    const one = make();
    one.ledger.tried(7);
    one.ledger.applied(command({}));
    one.ledger.applied(command({ host: 'n2', state: 6 }));
    expect(one.log.first?.invariant).toBe('S7');

    const two = make();
    two.ledger.tried(7);
    two.ledger.applied(command({ previous: 1 }));
    expect(two.log.first?.invariant).toBe('S7');
  });

  test('C1: refuses an acknowledgement of what was not applied, and an attempt that is applied twice', () => {
    const one = make();
    one.ledger.tried(7);
    one.ledger.acknowledged(1, 7, 1, 1);
    expect(one.log.first?.invariant).toBe('C1');

    const two = make();
    two.ledger.tried(7);
    two.ledger.applied(command({}));
    two.ledger.applied(command({ previous: 1, index: 2 }));
    expect(two.log.first?.invariant).toBe('C1');
  });

  test('C3: refuses what nobody tried, and what had been refused, whichever comes first', () => {
    const one = make();
    one.ledger.applied(command({}));
    expect(one.log.first?.invariant).toBe('C3');

    const two = make();
    two.ledger.tried(7);
    two.ledger.refused(7, 'NOT_LEADER');
    two.ledger.applied(command({}));
    expect(two.log.first?.invariant).toBe('C3');

    const three = make();
    three.ledger.tried(7);
    three.ledger.applied(command({}));
    three.ledger.refused(7, 'NOT_LEADER');
    expect(three.log.first?.invariant).toBe('C3');
  });
});

describe('the chain of terms', () => {
  test('tells the term of every index below a known one, and refuses two beginnings of a term', () => {
    const chain = new LogChain();
    expect(chain.addStart(1, 1, 0)).toBe(null);
    expect(chain.addStart(4, 8, 1)).toBe(null);
    expect([0, 1, 7, 8, 20].map((index) => chain.termAt(index, 20, 4))).toEqual([0, 1, 1, 4, 4]);
    expect(chain.termAt(21, 20, 4)).toBe(null);
    expect(chain.termAt(3, 20, 9)).toBe(null);
    expect(chain.addStart(4, 9, 1)).toMatch(/elsewhere at 8/);
  });
});

describe('the witness', () => {
  const make = (): {
    witness: Witness;
    log: ViolationLog;
    promised: number[];
    time: { event: number };
  } => {
    const log = violations();
    const promised: number[] = [];
    const time = { event: 1 };
    const witness = new Witness(log, newTotals(), {
      eventCount: () => time.event,
      onVoteSent() {},
      onEntryPromised: (host) => promised.push(host),
    });
    witness.addGroup(1, [1, 2, 3]);
    return { witness, log, promised, time };
  };
  const message = (fields: Partial<Message>): Message => Object.assign(new Message(), fields);
  const vote = (witness: Witness, from: number, to: number, term: number): void => {
    const kind = messageKinds.voteAnswer;
    witness.onMessage(from, to, 1, message({ kind, term, granted: true }), []);
  };
  const elect = (witness: Witness, host: number, voter: number, term: number): void => {
    witness.onMessage(host, voter, 1, message({ kind: messageKinds.vote, term }), []);
    vote(witness, voter, host, term);
  };
  const append = (witness: Witness, host: number, to: number, fields: Partial<Message>): void =>
    witness.onMessage(host, to, 1, message({ kind: messageKinds.append, ...fields }), []);
  const answer = (
    witness: Witness,
    host: number,
    to: number,
    term: number,
    index: number,
  ): void => {
    const kind = messageKinds.appendAnswer;
    witness.onMessage(host, to, 1, message({ kind, term, index, granted: true }), []);
  };

  test('S1: refuses a second leader of a term, and one without a quorum of votes', () => {
    const one = make();
    elect(one.witness, 1, 2, 1);
    append(one.witness, 1, 2, { term: 1 });
    expect(one.log.first).toBe(null);
    append(one.witness, 3, 2, { term: 1 });
    expect(one.log.first?.invariant).toBe('S1');

    const two = make();
    two.witness.onMessage(1, 2, 1, message({ kind: messageKinds.vote, term: 1 }), []);
    append(two.witness, 1, 2, { term: 1 });
    expect(two.log.first?.message).toMatch(/with the votes of 1, which are no quorum/);
  });

  test('S2: refuses a second vote in a term', () => {
    const { witness, log } = make();
    vote(witness, 2, 1, 1);
    vote(witness, 2, 1, 1);
    expect(log.first).toBe(null);
    vote(witness, 2, 3, 1);
    expect(log.first?.invariant).toBe('S2');
  });

  test('S5: refuses a commit index that a quorum acknowledged, but with no entry of the leader’s term', () => {
    const { witness, log } = make();
    elect(witness, 1, 2, 1);
    append(witness, 1, 2, { term: 1, lastIndex: 5, entriesTerm: 1 });
    answer(witness, 2, 1, 1, 4);
    append(witness, 1, 2, { term: 1, prevIndex: 5, prevTerm: 1, lastIndex: 5, commit: 4 });
    expect(log.first).toBe(null);
    elect(witness, 3, 2, 2);
    append(witness, 3, 2, { term: 2, prevIndex: 5, prevTerm: 1, lastIndex: 6, entriesTerm: 2 });
    answer(witness, 2, 3, 2, 5);
    const commit = { term: 2, prevIndex: 6, prevTerm: 2, lastIndex: 6, commit: 5 };
    append(witness, 3, 2, commit);
    expect(log.first?.invariant).toBe('S5');
  });

  test('S6: refuses a leader whose log lacks what was committed', () => {
    const { witness, log } = make();
    elect(witness, 1, 2, 1);
    append(witness, 1, 2, { term: 1, lastIndex: 5, entriesTerm: 1 });
    answer(witness, 2, 1, 1, 5);
    append(witness, 1, 2, { term: 1, prevIndex: 5, prevTerm: 1, lastIndex: 5, commit: 5 });
    elect(witness, 3, 2, 2);
    append(witness, 3, 2, { term: 2, prevIndex: 3, prevTerm: 1, lastIndex: 4, entriesTerm: 2 });
    expect(log.first?.invariant).toBe('S6');
  });

  test('S6: does not ask a late leader of an earlier term for what a later one committed', () => {
    const { witness, log } = make();
    elect(witness, 1, 2, 1);
    append(witness, 1, 2, { term: 1, lastIndex: 5, entriesTerm: 1 });
    answer(witness, 2, 1, 1, 5);
    elect(witness, 3, 2, 2);
    elect(witness, 1, 2, 3);
    append(witness, 1, 2, { term: 3, prevIndex: 5, prevTerm: 1, lastIndex: 6, entriesTerm: 3 });
    answer(witness, 2, 1, 3, 6);
    append(witness, 1, 2, { term: 3, prevIndex: 6, prevTerm: 3, lastIndex: 6, commit: 6 });
    append(witness, 3, 2, { term: 2, prevIndex: 5, prevTerm: 1, lastIndex: 6, entriesTerm: 2 });
    expect(log.first).toBe(null);
    elect(witness, 3, 2, 4);
    append(witness, 3, 2, { term: 4, prevIndex: 6, prevTerm: 2, lastIndex: 7, entriesTerm: 4 });
    expect(log.first?.invariant).toBe('S6');
  });

  test('S3: refuses two beginnings of a term, and two contents of the same entries', () => {
    const block = { firstIndex: 1, count: 5, crc: 11 };
    const one = make();
    elect(one.witness, 1, 2, 1);
    const first = message({ kind: messageKinds.append, term: 1, lastIndex: 5, entriesTerm: 1 });
    one.witness.onMessage(1, 2, 1, first, [block]);
    one.witness.onMessage(1, 3, 1, first, [block]);
    expect(one.log.first).toBe(null);
    one.witness.onMessage(1, 3, 1, first, [{ ...block, crc: 12 }]);
    expect(one.log.first?.message).toMatch(/two contents/);

    const two = make();
    elect(two.witness, 1, 2, 1);
    append(two.witness, 1, 2, { term: 1, lastIndex: 5, entriesTerm: 1 });
    append(two.witness, 1, 3, { term: 1, prevIndex: 3, lastIndex: 5, entriesTerm: 1 });
    expect(two.log.first?.invariant).toBe('S3');
  });

  test('S4: refuses an entry of another term than the one that was committed there', () => {
    const { witness, log } = make();
    elect(witness, 1, 2, 1);
    append(witness, 1, 2, { term: 1, lastIndex: 5, entriesTerm: 1 });
    answer(witness, 2, 1, 1, 5);
    append(witness, 1, 2, { term: 1, prevIndex: 5, prevTerm: 1, lastIndex: 5, commit: 5 });
    witness.onApplied(1, 5, 1);
    expect(log.first).toBe(null);
    witness.onApplied(1, 4, 2);
    expect(log.first?.invariant).toBe('S4');
  });

  test('S5: refuses an applied command that no quorum shows', () => {
    const { witness, log } = make();
    elect(witness, 1, 2, 1);
    append(witness, 1, 2, { term: 1, lastIndex: 5, entriesTerm: 1 });
    witness.onApplied(1, 1, 1);
    expect(log.first?.invariant).toBe('S5');
  });

  test('S5: asks for the disk of who acknowledges, and of a leader whose own copy is needed', () => {
    const { witness, log, promised } = make();
    elect(witness, 1, 2, 1);
    append(witness, 1, 2, { term: 1, lastIndex: 5, entriesTerm: 1 });
    answer(witness, 2, 1, 1, 5);
    expect(promised).toEqual([2]);
    witness.onApplied(1, 5, 1);
    expect(promised).toEqual([2, 1]);
    expect(witness.group(1).promises(1).ack).toEqual({ term: 1, index: 5, entryTerm: 1 });
    append(witness, 1, 3, { term: 1, prevIndex: 5, prevTerm: 1, lastIndex: 6, entriesTerm: 1 });
    answer(witness, 2, 1, 1, 6);
    answer(witness, 3, 1, 1, 6);
    witness.onApplied(1, 6, 1);
    expect(promised).toEqual([2, 1, 2, 3]);
    expect(log.first).toBe(null);
  });

  test('S9: refuses a term that falls, told to the same peer in a later event', () => {
    const { witness, log, time } = make();
    const told = (to: number, term: number): void => {
      const answered = message({ kind: messageKinds.heartbeatAnswer, term });
      witness.onMessage(1, to, 1, answered, []);
    };
    told(2, 5);
    told(3, 4);
    told(2, 4);
    expect(log.first).toBe(null);
    time.event += 1;
    told(2, 5);
    told(2, 4);
    expect(log.first?.invariant).toBe('S9');
  });
});

describe('the witness of configurations', () => {
  const member = (nodeId: number, generation = 1): Member => ({ nodeId, generation, instance: 0 });
  const membership = (
    index: number,
    term: number,
    voters: readonly Member[],
    votersOutgoing: readonly Member[] = [],
  ): Membership => ({
    ...{ voters, votersOutgoing, learners: [], learnersNext: [] },
    ...{ leaseMs: 0, index, term, isCommitted: false },
  });
  const [one, two, three, four] = [1, 2, 3, 4].map((nodeId) => member(nodeId)) as [
    Member,
    Member,
    Member,
    Member,
  ];
  /** Host 1 leads term 1 by the votes of two, and has shown its blank entry. */
  const make = (): {
    log: ViolationLog;
    tell: (told: Membership, isLeader?: boolean, term?: number) => void;
    ack: (host: number, index: number, fromGeneration?: number) => void;
    lead: (term: number, prevIndex: number, prevTerm: number) => void;
    applied: (index: number, term: number) => void;
  } => {
    const log = violations();
    const witness = new Witness(log, newTotals(), {
      eventCount: () => 1,
      onVoteSent() {},
      onEntryPromised() {},
    });
    witness.addGroup(1, [1, 2, 3]);
    const send = (from: number, to: number, fields: Partial<Message>): void =>
      witness.onMessage(from, to, 1, Object.assign(new Message(), fields), []);
    const lead = (term: number, prevIndex: number, prevTerm: number): void => {
      const asked = { kind: messageKinds.vote, term, index: prevIndex, logTerm: prevTerm };
      send(1, 2, asked);
      send(2, 1, { kind: messageKinds.voteAnswer, term, granted: true });
      const lastIndex = prevIndex + 1;
      const entries = { prevIndex, prevTerm, lastIndex, entriesTerm: term };
      send(1, 2, { kind: messageKinds.append, term, ...entries });
    };
    lead(1, 0, 0);
    return {
      log,
      lead,
      tell: (told, isLeader = true, term = 1) =>
        witness.onConfiguration(1, 1, { generation: 1, term, isLeader, membership: told }),
      ack: (host, index, fromGeneration = 1) => {
        const granted = { kind: messageKinds.appendAnswer, granted: true };
        send(host, 1, { ...granted, term: 1, index, fromGeneration });
      },
      applied: (index, term) => witness.onApplied(1, index, term),
    };
  };

  test('S10: finds nothing in neighbours, each behind a committed one', () => {
    const { log, tell, ack } = make();
    ack(2, 1);
    tell(membership(2, 1, [one, two]));
    ack(2, 2);
    tell(membership(3, 1, [four, one], [one, two]));
    ack(2, 3);
    ack(4, 3);
    tell(membership(4, 1, [four, one]));
    expect(log.first).toBe(null);
  });

  test('S10: refuses a change before an entry of the term is committed, and one behind an open one', () => {
    const early = make();
    early.tell(membership(2, 1, [one, two]));
    expect(early.log.first).toMatchObject({ invariant: 'S10' });
    const open = make();
    open.ack(2, 1);
    open.tell(membership(2, 1, [one, two]));
    open.tell(membership(3, 1, [one]));
    expect(open.log.first?.message).toMatch(/is not committed/);
  });

  test('S10: refuses two voters in one step, a joint one of another half, and one that no leader appended', () => {
    const hasty = make();
    hasty.ack(2, 1);
    hasty.tell(membership(2, 1, [one]));
    expect(hasty.log.first?.message).toMatch(/more than one voter/);
    const foreign = make();
    foreign.ack(2, 1);
    foreign.tell(membership(2, 1, [four], [one, two]));
    expect(foreign.log.first?.message).toMatch(/outgoing half/);
    const nobody = make();
    nobody.tell(membership(2, 1, [one, two]), false);
    expect(nobody.log.first?.message).toMatch(/no leader/);
    const twice = make();
    twice.ack(2, 1);
    twice.tell(membership(2, 1, [one, two]));
    twice.tell(membership(2, 1, [one, three]));
    expect(twice.log.first?.message).toMatch(/two different/);
  });

  test('S5: refuses a commit that a joint configuration has only one half for, or that another generation acknowledged', () => {
    const half = make();
    half.ack(2, 1);
    half.tell(membership(2, 1, [four, one], [one, two, three]));
    half.ack(2, 3);
    half.applied(3, 1);
    expect(half.log.first?.invariant).toBe('S5');
    const again = make();
    again.ack(2, 1);
    again.tell(membership(2, 1, [one, member(2, 1)]));
    again.ack(2, 3, 2);
    again.applied(3, 1);
    expect(again.log.first?.invariant).toBe('S5');
  });

  test('S11: refuses a replica that speaks after a later generation of its node has spoken', () => {
    const { log, ack } = make();
    ack(2, 1, 2);
    ack(2, 1, 1);
    expect(log.first?.invariant).toBe('S11');
  });
});

describe('the judgement of a recovery', () => {
  const chain = new LogChain();
  chain.addStart(1, 1, 0);
  chain.addStart(3, 6, 1);
  const promises = new ReplicaPromises();
  promises.term = 3;
  promises.voteTerm = 3;
  promises.votedFor = 2;
  promises.ack = { term: 3, index: 8, entryTerm: 3 };
  const log = (more: Partial<RecoveredLog>): RecoveredLog => ({
    ...{ generation: 1, isRemoved: false, term: 3, votedFor: 2, commit: 0, lastIndex: 8 },
    termEnds: [
      { term: 1, lastIndex: 5 },
      { term: 3, lastIndex: more.lastIndex ?? 8 },
    ],
    ...more,
  });

  test('W1: misses a group, a term, a vote, an acknowledged entry', () => {
    const problem = (found: RecoveredLog | undefined): string | null =>
      judge(found, promises, chain).problem;
    expect(problem(log({}))).toBe(null);
    expect(problem(log({ term: 4, votedFor: 0 }))).toBe(null);
    expect(problem(undefined)).toMatch(/gone/);
    expect(problem(log({ term: 2 }))).toMatch(/in term 2/);
    expect(problem(log({ votedFor: 0 }))).toMatch(/vote in term 3 is 0/);
    expect(problem(log({ lastIndex: 7 }))).toMatch(/ends at 7/);
    expect(problem(log({ term: 4, lastIndex: 7 }))).toMatch(/ends at 7/);
  });

  test('W1: lets a later leader replace what was acknowledged, and nobody else', () => {
    const replaced = [
      { term: 1, lastIndex: 5 },
      { term: 4, lastIndex: 6 },
    ];
    const later = { term: 4, votedFor: 0, lastIndex: 6, termEnds: replaced };
    expect(judge(log(later), promises, chain)).toEqual({ problem: null, isDecided: true });
    const older = [{ term: 1, lastIndex: 9 }];
    const same = { lastIndex: 9, termEnds: older };
    expect(judge(log(same), promises, chain).problem).toMatch(/is of term 1, not 3/);
  });
});

describe('two recoveries of one disk', () => {
  const found = (more: Partial<RecoveredLog>): Map<number, RecoveredLog> =>
    new Map([
      [
        1,
        {
          ...{ generation: 1, isRemoved: false, term: 1, votedFor: 1, commit: 0, lastIndex: 3 },
          termEnds: [],
          ...more,
        },
      ],
    ]);

  test('W2: must find the same groups, votes and entries', () => {
    const first = { groups: found({}), error: null };
    expect(difference(first, { groups: found({}), error: null })).toBe(null);
    expect(difference(first, { groups: found({ lastIndex: 2 }), error: null })).toMatch(/group 1/);
    expect(difference(first, { groups: new Map(), error: null })).toMatch(/then null/);
  });
});

describe('the history', () => {
  type History = HistoryRecorder<RegisterInput, RegisterOutput>;
  const record = (values: readonly (string | null)[]): History => {
    let now = 0;
    const history: History = new HistoryRecorder(() => ++now);
    history.call(1, 'k', { kind: 'write', value: 'a' }).returned(true);
    for (const value of values) history.call(2, 'k', { kind: 'read' }).returned(value);
    return history;
  };

  test('C2: refuses a read that misses a write which had returned', () => {
    const fresh = violations();
    checkHistory(record(['a', 'a']), fresh);
    expect(fresh.first).toBe(null);
    const stale = violations();
    checkHistory(record(['a', null]), stale);
    expect(stale.first?.invariant).toBe('C2');
  });
});

const status = (more: Partial<GroupStatus>): GroupStatus => ({
  groupId: 1,
  role: 'follower',
  term: 2,
  leader: 1,
  commitIndex: 9,
  appliedIndex: 9,
  lastIndex: 9,
  generation: 1,
  members: [1, 2, 3],
  membership: {
    voters: [1, 2, 3].map((nodeId) => ({ nodeId, generation: 1, instance: 0 })),
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    leaseMs: 0,
    index: 0,
    term: 0,
    isCommitted: true,
  },
  progress: null,
  ...more,
});

describe('the monitor', () => {
  const make = (
    first: Partial<GroupStatus>,
    failed: string | null = null,
  ): { log: ViolationLog; look: (next?: Partial<GroupStatus>, lives?: number) => void } => {
    const log = violations();
    const witness = new Witness(log, newTotals(), {
      eventCount: () => 1,
      onVoteSent() {},
      onEntryPromised() {},
    });
    witness.addGroup(1, [1]);
    let shown = status(first);
    const sim = { name: 'n1', lives: 1 };
    const host: WatchedHost = {
      id: 1,
      sim,
      groupPlans: [{ id: 1, members: [1] }],
      group: () => ({ status: () => shown }),
      failedReplica: () => failed,
    };
    const monitor = new Monitor({ world: new SimWorld({ seed: 1 }), violations: log, witness }, [
      host,
    ]);
    const look = (next: Partial<GroupStatus> = {}, lives = 1): void => {
      shown = { ...shown, ...next };
      sim.lives = lives;
      monitor.look();
    };
    return { log, look };
  };

  test('S8: refuses what is applied before it is committed, or committed before it is there', () => {
    for (const wrong of [{ appliedIndex: 10 }, { commitIndex: 10 }]) {
      const { log, look } = make({});
      look();
      expect(log.first).toBe(null);
      look(wrong);
      expect(log.first?.invariant).toBe('S8');
    }
  });

  test('S9: refuses a term, commit index or applied index that falls within a life', () => {
    const falls = [{ term: 1 }, { appliedIndex: 8 }, { appliedIndex: 8, commitIndex: 8 }];
    for (const fallen of falls) {
      const { log, look } = make({});
      look();
      look(fallen, 2);
      expect(log.first).toBe(null);
      look({ ...status({}) }, 3);
      look(fallen, 3);
      expect(log.first?.invariant).toBe('S9');
    }
  });

  test('F1: refuses a replica that stopped by itself', () => {
    const { log, look } = make({}, 'n1, group 1: GROUP_FATAL');
    look();
    expect(log.first?.invariant).toBe('F1');
  });
});

describe('healing', () => {
  interface Trouble {
    readonly isServing?: boolean;
    readonly pendingCalls?: number;
    readonly applied?: number;
    readonly status?: Partial<GroupStatus>;
    readonly isRefused?: boolean;
  }
  /** Three hosts, of which the third has that trouble; answers the invariant that healing finds broken. */
  const heal = async (trouble: Trouble): Promise<string | null> => {
    const log = violations();
    const kernel = { nowUs: 0, rng: new SimRng(1) };
    const host = (id: number): HealingHost => {
      const own = id === 3 ? trouble : {};
      const role = id === 1 ? 'leader' : 'follower';
      return {
        sim: { name: `n${id}`, disk: { callCount: 5, oldestInFlight: 6 } },
        isServing: own.isServing ?? true,
        pendingCalls: own.pendingCalls ?? 0,
        group: () => ({ status: () => status({ role, ...own.status }) }),
        machine: () => ({ appliedIndex: own.applied ?? 9 }),
      };
    };
    const context = {
      plan: {
        groups: [{ id: 1, members: [1, 2, 3] }],
        changes: [],
        tuning: { electionMsMax: 100 },
      },
      world: { kernel },
      violations: log,
      ledger: { lastIndex: () => 9 },
    };
    const client = {
      sleep: (us: number): Promise<void> => {
        kernel.nowUs += us;
        return Promise.resolve();
      },
      perform: () => Promise.resolve(trouble.isRefused !== true),
    };
    await new Healing(context, [host(1), host(2), host(3)], client).run();
    return log.first?.invariant ?? null;
  };

  test('finds nothing where all is well', async () => {
    expect(await heal({})).toBe(null);
  });

  test('L1: refuses two leaders, none, logs that differ, and what stays unapplied', async () => {
    expect(await heal({ status: { role: 'leader' } })).toBe('L1');
    expect(await heal({ status: { leader: 2 } })).toBe('L1');
    expect(await heal({ status: { lastIndex: 10 } })).toBe('L1');
    expect(await heal({ status: { appliedIndex: 8 } })).toBe('L1');
  });

  test('L2: refuses a group that does not serve', async () => {
    expect(await heal({ isRefused: true })).toBe('L2');
  });

  test('F1, P2, C1: refuses a host that stays away, calls without an answer, and a state that ends early', async () => {
    expect(await heal({ isServing: false })).toBe('F1');
    expect(await heal({ pendingCalls: 1 })).toBe('P2');
    expect(await heal({ applied: 8 })).toBe('C1');
  });
});
