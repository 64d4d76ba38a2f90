// Members, snapshots, leases and limits: what systems before this one got wrong (by the number that testing.md and
// tools/sim/mutants give the bug), and the edges of each rule.

import { Configuration, firstReplica, type MemberChange, messageKinds } from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { type Outcome, Single, type Start, threeVoters } from './single.ts';

const k = messageKinds;

function leading(start: Start = {}): Single {
  const node = new Single(start);
  node.nowMs = 200;
  node.lead();
  node.persist();
  for (const voter of node.core.voters) if (voter !== 1) node.ack(voter, node.core.lastIndex);
  expect(node.core.commitIndex).toBe(node.core.lastIndex);
  return node;
}

function configure(node: Single, ...changes: readonly MemberChange[]): Outcome {
  return node.step({ kind: 'configure', transition: 'auto', changes });
}

function learner(nodeId: number): MemberChange {
  return { kind: 'learner', member: firstReplica(nodeId) };
}

/** A follower of node 2 in term 2 that holds 1 to 5, where 5 is the uncommitted configuration `configuration`. */
function followerWith(configuration: Configuration): Single {
  const node = new Single({
    termEnds: [{ term: 1, lastIndex: 4 }],
    commit: 3,
  });
  node.receive(k.append, {
    from: 2,
    term: 2,
    prevIndex: 4,
    prevTerm: 1,
    lastIndex: 5,
    entriesTerm: 2,
    configurations: [{ index: 5, configuration }],
  });
  expect(node.core.configuration).toBe(configuration);
  return node;
}

function snapshot(
  node: Single,
  index: number,
  logTerm: number,
  configuration: Configuration,
): Outcome {
  const { term } = node.core;
  const configurations = [{ index: Math.min(index, 1), configuration }];
  return node.receive(k.snapshot, { from: 2, term, index, logTerm, stream: 7, configurations });
}

describe('a configuration', () => {
  it('that is truncated counts no more, and the one before it again', () => {
    const node = followerWith(Configuration.ofNodes([1, 2, 3, 4]));
    node.receive(k.append, {
      from: 3,
      term: 3,
      prevIndex: 4,
      prevTerm: 1,
      lastIndex: 5,
      entriesTerm: 3,
    });
    expect([node.core.configuration, node.core.configurationIndex]).toEqual([threeVoters, 0]);
  });

  it('names a replica by its generation: another one of the node neither votes nor campaigns', () => {
    const node = new Single({ generation: 2 });
    node.tickAfter(1000);
    expect([node.core.role, node.core.isVoter]).toEqual(['follower', false]);
    const leader = leading();
    configure(leader, { kind: 'remove', nodeId: 3 });
    leader.persist();
    leader.ack(2, 2);
    configure(leader, { kind: 'voter', member: { nodeId: 3, generation: 2, instance: 0 } });
    leader.persist();
    const stream = leader.core.progress(3)?.stream ?? 0;
    const answer = { from: 3, term: 1, granted: true, index: 3, stream };
    expect(leader.receive(k.appendAnswer, { ...answer, fromGeneration: 1 }).committedTo).toBe(0);
    expect(leader.receive(k.appendAnswer, { ...answer, fromGeneration: 2 }).committedTo).toBe(3);
  });

  it('a vote of another replica of a voter’s node counts for nothing', () => {
    const node = new Single();
    node.campaign();
    node.persist();
    node.receive(k.voteAnswer, { from: 2, fromGeneration: 2, term: 1, granted: true });
    expect(node.core.role).toBe('candidate');
  });

  it('tells who is left out of it that it is committed, and then nothing more', () => {
    const node = leading();
    const change = configure(node, { kind: 'remove', nodeId: 3 });
    expect(change.now.map((m) => m.to)).toEqual([2, 3]);
    node.ack(3, 2);
    node.persist();
    const committed = node.ack(2, 2);
    expect(committed.now.map((m) => [m.to, m.commit])).toEqual([[3, 2]]);
    expect(node.core.progress(3)).toBeNull();
    expect(node.propose().now.map((m) => m.to)).toEqual([2]);
  });

  it('is committed without this replica: it has been removed, and says so once', () => {
    const node = followerWith(Configuration.ofNodes([2, 3]));
    expect(node.core.isRemoved).toBe(false);
    const outcome = node.receive(k.heartbeat, { from: 2, term: 2, commit: 5 });
    expect([outcome.removed, node.core.isRemoved]).toEqual([true, true]);
    expect(node.receive(k.heartbeat, { from: 2, term: 2, commit: 5 }).removed).toBe(false);
  });

  it('a replica that is still to join is not taken for removed by configurations from before', () => {
    const node = new Single({ generation: 2, configuration: new Configuration({ voters: [] }) });
    const configurations = [{ index: 1, configuration: Configuration.ofNodes([1, 2]) }];
    const fields = { from: 2, term: 1, lastIndex: 2, entriesTerm: 1, commit: 2, configurations };
    expect(node.receive(k.append, fields).removed).toBe(false);
  });

  it('M18: whoever is asked votes, also a learner and one that knows of no configuration', () => {
    const behind = [
      new Configuration({ voters: [firstReplica(2)], learners: [firstReplica(1)] }),
      new Configuration({ voters: [] }),
    ];
    for (const configuration of behind) {
      const asked = new Single({ configuration }).receive(k.vote, { from: 7, term: 4 });
      expect(asked.later.map((m) => [m.to, m.granted])).toEqual([[7, true]]);
    }
  });
});

describe('snapshots', () => {
  it('M15: one of what is held already leaves the entries behind it, a configuration among them', () => {
    const pending = Configuration.ofNodes([1, 2, 3, 4]);
    const node = followerWith(pending);
    const outcome = snapshot(node, 4, 1, threeVoters);
    expect([outcome.install, outcome.committedTo]).toEqual([null, 4]);
    expect([node.core.lastIndex, node.core.configuration]).toEqual([5, pending]);
  });

  it('M16: one that replaces the log leaves no configuration but its own', () => {
    const node = followerWith(Configuration.ofNodes([1]));
    const next = Configuration.ofNodes([2, 3, 4]);
    const outcome = snapshot(node, 9, 2, next);
    expect([outcome.install, outcome.configurationChanged]).toEqual([[9, 2], true]);
    expect([node.core.firstIndex, node.core.lastIndex, node.core.commitIndex]).toEqual([10, 9, 9]);
    expect(node.core.configuration).toBe(next);
    expect(outcome.removed).toBe(true);
    node.tickAfter(1000);
    expect(node.core.role).toBe('follower');
    expect(outcome.later.map((m) => [m.kind, m.granted, m.index, m.stream])).toEqual([
      [k.appendAnswer, true, 9, 7],
    ]);
  });

  it('one that is older than what is committed installs nothing and is answered with what is', () => {
    const node = followerWith(threeVoters);
    const outcome = snapshot(node, 2, 1, threeVoters);
    expect([outcome.install, outcome.later[0]?.index]).toEqual([null, 3]);
  });

  it('M22: a follower that installed one of the last index is replicated to, also by an idle leader', () => {
    const node = leading();
    node.step({ kind: 'compact', index: 1 });
    node.step({ kind: 'peerLost', nodeId: 2 });
    node.step({ kind: 'peerBack', nodeId: 2 });
    expect(node.refuse(2, 0, 0).snapshotsNeeded).toEqual([]); // it acknowledged entry 1 in this term
    const fresh = leading();
    configure(fresh, learner(4));
    fresh.persist();
    fresh.ack(2, 2);
    fresh.step({ kind: 'compact', index: 2 });
    expect(fresh.refuse(4, 0, 0).snapshotsNeeded).toEqual([4]);
    fresh.ack(4, 2);
    const progress = fresh.core.progress(4);
    expect([progress?.isProbing, progress?.awaitsSnapshot, progress?.match]).toEqual([
      false,
      false,
      2,
    ]);
    expect(fresh.propose().now.map((m) => m.to)).toContain(4);
  });

  it('M23: a learner that was added while it was cut off gets one, however much is compacted, and again when it is lost', () => {
    const node = leading();
    configure(node, learner(4));
    node.persist();
    node.ack(2, 2);
    node.step({ kind: 'compact', index: node.core.lastIndex });
    node.step({ kind: 'peerBack', nodeId: 4 });
    expect(node.refuse(4, 0, 0).snapshotsNeeded).toEqual([4]);
    node.step({ kind: 'snapshotFailed', nodeId: 4 });
    node.tickAfter(30);
    const alive = node.receive(k.heartbeatAnswer, { from: 4, term: 1 });
    expect(alive.now.map((m) => [m.kind, m.prevIndex])).toEqual([[k.append, 2]]);
    expect(node.refuse(4, 0, 0).snapshotsNeeded).toEqual([4]);
  });
});

describe('what is compacted', () => {
  it('is committed, and its last term stays known', () => {
    const node = leading();
    node.propose(3);
    expect(() => node.step({ kind: 'compact', index: 3 })).toThrow('only what is committed');
  });

  it('may be compacted twice', () => {
    const node = leading();
    node.step({ kind: 'compact', index: 1 });
    node.step({ kind: 'compact', index: 1 });
    expect([node.core.firstIndex, node.core.termAt(1)]).toEqual([2, 1]);
  });
});

describe('leases', () => {
  const leased = threeVoters.withLease(100);

  function withLease(): Single {
    const node = leading({ configuration: leased });
    const token = node.tickAfter(20).now[0]?.token ?? 0;
    node.receive(k.heartbeatAnswer, { from: 2, term: 1, token });
    expect(node.core.hasLease(node.nowMs)).toBe(true);
    return node;
  }

  it('M12: end with the start of a transfer, also of one that is given up', () => {
    const node = withLease();
    node.step({ kind: 'transfer', nodeId: 3 });
    expect([node.core.hasLease(node.nowMs), node.read().reads]).toEqual([false, []]);
    for (let i = 0; i < 6; i++) {
      const token = node.tickAfter(20).now.find((m) => m.kind === k.heartbeat)?.token ?? 0;
      node.receive(k.heartbeatAnswer, { from: 2, term: 1, token });
    }
    expect([node.core.transferTo, node.core.hasLease(node.nowMs)]).toEqual([0, false]);
  });

  it('end when the wall clock ran ahead, until new questions are answered', () => {
    const node = withLease();
    node.step({ kind: 'voidLease' });
    expect(node.core.hasLease(node.nowMs)).toBe(false);
    const token = node.tickAfter(20).now[0]?.token ?? 0;
    node.receive(k.heartbeatAnswer, { from: 2, term: 1, token });
    expect(node.core.hasLease(node.nowMs)).toBe(true);
  });

  it('rest only on followers that hold the configuration which asks for the promise', () => {
    const node = leading();
    node.step({ kind: 'configure', transition: 'auto', changes: [], leaseMs: 100 });
    node.persist();
    node.ack(3, 2);
    const token = node.tickAfter(20).now[0]?.token ?? 0;
    node.receive(k.heartbeatAnswer, { from: 2, term: 1, token });
    expect(node.core.hasLease(node.nowMs)).toBe(false);
    node.receive(k.heartbeatAnswer, { from: 3, term: 1, token });
    expect(node.core.hasLease(node.nowMs)).toBe(true);
  });

  it('M13: a promise outlasts terms and roles: who heard a leader elects nobody, and nobody just started does', () => {
    const fresh = new Single({ configuration: leased });
    fresh.nowMs = 99;
    expect(fresh.receive(k.vote, { from: 3, term: 1 }).later).toEqual([]);
    const node = new Single({ configuration: leased });
    node.nowMs = 500;
    node.receive(k.heartbeat, { from: 2, term: 1 });
    node.nowMs = 599;
    // A higher term from somewhere: the leader of term 1 is not followed any more, but was promised to.
    node.receive(k.appendAnswer, { from: 3, term: 4 });
    expect([node.core.term, node.core.leader]).toEqual([4, 0]);
    expect(node.receive(k.vote, { from: 3, term: 4 }).later).toEqual([]);
    expect(node.receive(k.vote, { from: 3, term: 5 }).later).toEqual([]);
    expect(node.campaign().hardState).toBeNull();
    node.nowMs = 600;
    expect(node.receive(k.vote, { from: 3, term: 5 }).later[0]?.granted).toBe(true);
  });
});

describe('questions', () => {
  it('M11: an answer to a question of an earlier life confirms nothing of this one', () => {
    const node = new Single({ tokenBase: 1000 });
    node.receive(k.heartbeat, { from: 2, term: 1 });
    const { readToken } = node.step({ kind: 'read', viaLeader: true });
    expect(readToken).toBe(1001);
    const fields = { from: 2, term: 1, index: 3, granted: true };
    const late = node.receive(k.readIndexAnswer, { ...fields, token: 1 });
    expect(late.reads.every(({ token }) => token < readToken)).toBe(true);
    expect(node.receive(k.readIndexAnswer, { ...fields, token: 1001 }).reads).toHaveLength(1);
  });

  it('are void when the leader that was asked is not followed any more, and asked again while it is', () => {
    const node = new Single();
    node.receive(k.heartbeat, { from: 2, term: 1 });
    const { readToken } = node.step({ kind: 'read', viaLeader: true });
    node.nowMs = 20;
    const again = node.receive(k.heartbeat, { from: 2, term: 1 });
    const asked = [...again.now, ...again.later].filter((m) => m.kind === k.readIndex);
    expect(asked.map((m) => m.token)).toEqual([readToken]);
    expect(node.receive(k.heartbeat, { from: 3, term: 2 }).readsVoid).toBe(true);
  });
});

describe('a follower that lost what it acknowledged', () => {
  /** Node 2 acknowledged entry 1, and refuses it now. */
  function reverted(allow: boolean): Outcome {
    const node = leading();
    if (allow) node.step({ kind: 'allowRevert', nodeId: 2, isAllowed: true });
    node.step({ kind: 'peerLost', nodeId: 2 });
    node.step({ kind: 'peerBack', nodeId: 2 });
    return node.refuse(2, 0, 0);
  }

  it('is told so and gets nothing more', () => {
    expect(reverted(false).now.map((m) => [m.kind, m.to, m.index])).toEqual([
      [k.logReverted, 2, 1],
    ]);
  });

  it('is filled again where an operator allowed it', () => {
    expect(reverted(true).now.map((m) => [m.kind, m.prevIndex, m.lastIndex])).toEqual([
      [k.append, 0, 1],
    ]);
  });

  it('stops when its leader says so, unless it has what is said to be lost', () => {
    const node = new Single({ termEnds: [{ term: 1, lastIndex: 2 }] });
    node.receive(k.heartbeat, { from: 2, term: 1 });
    expect(node.receive(k.logReverted, { from: 2, term: 1, index: 2 }).logReverted).toBe(false);
    expect(node.receive(k.logReverted, { from: 3, term: 1, index: 5 }).logReverted).toBe(false);
    expect(node.receive(k.logReverted, { from: 2, term: 1, index: 5 }).logReverted).toBe(true);
  });
});

describe('limits', () => {
  it('refuse proposals over the uncommitted bytes, but never the only one', () => {
    const node = leading({ config: { uncommittedBytesMax: 50 } });
    expect(node.propose(9).refusal).toBeNull();
    expect(node.propose(1).refusal).toBe('uncommittedFull');
    node.persist();
    node.ack(2, node.core.lastIndex);
    expect(node.propose(4).refusal).toBeNull();
    expect(node.propose(1).refusal).toBeNull();
    expect(node.propose(1).refusal).toBe('uncommittedFull');
  });

  it('count what earlier leaders left uncommitted: leaders that take turns do not each add as much again', () => {
    const config = { uncommittedBytesMax: 50 };
    const node = new Single({ config, termEnds: [{ term: 1, lastIndex: 6 }], commit: 1 });
    node.lead();
    expect(node.propose(1).refusal).toBe('uncommittedFull');
    node.persist();
    node.ack(2, 7);
    expect(node.propose(5).refusal).toBeNull();
    // What is committed is of no account.
    const idle = new Single({ config, termEnds: [{ term: 1, lastIndex: 6 }], commit: 6 });
    idle.lead();
    expect(idle.propose(5).refusal).toBeNull();
  });

  it('hand over only to another voter of the configuration to come', () => {
    const node = leading();
    configure(node, learner(4));
    node.persist();
    node.ack(2, 2);
    for (const nodeId of [1, 4, 9]) {
      expect(node.step({ kind: 'transfer', nodeId }).refusal).toBe('notVoter');
    }
    const follower = new Single();
    expect(follower.step({ kind: 'transfer', nodeId: 2 }).refusal).toBe('notLeader');
  });
});

describe('M19: a node that comes back with a higher term', () => {
  it('deposes nobody who is heard: its requests are ignored, and the answer of who followed it is none', () => {
    const config = { preVote: true, checkQuorum: true };
    const node = new Single({ config });
    node.receive(k.heartbeat, { from: 2, term: 1 });
    node.nowMs = 50;
    for (const kind of [k.preVote, k.vote]) {
      const asked = node.receive(kind, { from: 3, term: 9, index: 4, logTerm: 1 });
      expect([asked.now, asked.later]).toEqual([[], []]);
    }
    expect([node.core.term, node.core.leader]).toEqual([1, 2]);
  });
});
