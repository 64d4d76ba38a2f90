// Seed 002, rows S2-16 to S2-23 and S2-31: changes of the membership.

import { type Action, MemoryLog, RaftNode } from '@flotilla/raftnode';
import { describe, expect, it } from 'vitest';
import { bytes, Cluster, codeOf } from './cluster.ts';

function changesOf(actions: readonly Action[]): [readonly number[], boolean][] {
  return actions.flatMap((action) =>
    action.type === 'membershipChanged'
      ? [[action.members, action.committed] as [readonly number[], boolean]]
      : [],
  );
}

/** Three nodes, of which 1 leads, and a fourth that is not a member yet. */
function three(): Cluster {
  const cluster = new Cluster([1, 2, 3]);
  cluster.elect(1);
  cluster.round(3);
  return cluster;
}

function join(cluster: Cluster, id: number, voters: readonly number[] = [1, 2, 3]): RaftNode {
  return cluster.start(id, new MemoryLog(), { voters });
}

function singleLeader(): RaftNode {
  const node = new RaftNode({ id: 1 });
  while (!node.isLeader) node.step({ type: 'tick' });
  return node;
}

describe('adding and removing servers', () => {
  it('S2-16: a leader adds a voter, nobody else does', () => {
    const cluster = three();
    expect(() => cluster.step(2, { type: 'addServer', nodeId: 4 })).toThrow(
      expect.objectContaining({ code: 'NOT_LEADER', details: { leaderHint: 1 } }),
    );
    join(cluster, 4);
    cluster.step(1, { type: 'addServer', nodeId: 4 });
    cluster.round(6);
    for (const id of [1, 2, 3, 4]) expect(cluster.node(id).members).toEqual([1, 2, 3, 4]);
    cluster.propose(1, 'a');
    cluster.round(3);
    expect(cluster.commandsOf(4)).toEqual(['a']);
  });

  it('S2-17: one change at a time: a second one waits until the first is committed', () => {
    const cluster = new Cluster([1], {});
    cluster.elect(1);
    join(cluster, 2, [1]);
    cluster.cut.add(2);
    cluster.step(1, { type: 'addServer', nodeId: 2 });
    expect(cluster.node(1).members).toEqual([1, 2]);
    expect(codeOf(() => cluster.step(1, { type: 'addServer', nodeId: 3 }))).toBe(
      'CONFIG_IN_PROGRESS',
    );
    expect(cluster.node(1).commitIndex).toBe(1);
    cluster.cut.clear();
    cluster.round(6);
    expect(cluster.node(1).commitIndex).toBe(2);
    cluster.step(1, { type: 'addServer', nodeId: 3 });
    expect(cluster.node(1).members).toEqual([1, 2, 3]);
  });

  it('S2-18: adding a server that is there does nothing', () => {
    const cluster = three();
    const before = cluster.node(1).lastIndex;
    expect(cluster.step(1, { type: 'addServer', nodeId: 2 })).toEqual([]);
    expect(cluster.node(1)).toMatchObject({ lastIndex: before, members: [1, 2, 3] });
  });

  it('S2-19: a change counts and is announced from its append on, and is taken back when its entry is overwritten', () => {
    const cluster = new Cluster([1, 2, 3], { checkQuorum: false, preVote: false });
    cluster.elect(1);
    cluster.round(3);
    cluster.step(1, { type: 'addServer', nodeId: 4 });
    // Only node 2 hears of it; then node 3, without it, leads.
    cluster.actions.length = 0;
    cluster.settle((message) => message.to === 2);
    expect(cluster.node(2).members).toEqual([1, 2, 3, 4]);
    cluster.cut.add(2);
    cluster.cut.add(1);
    cluster.queue = [];
    // Node 1 gives its vote to nobody, so that the old leader's entry stays with it and node 2 only.
    cluster.cut.delete(2);
    const message = {
      type: 'appendEntries',
      from: 3,
      to: 2,
      term: 9,
      prevLogIndex: 1,
      prevLogTerm: 1,
      entries: [{ kind: 'blank', index: 2, term: 9 }],
      leaderCommit: 1,
      stream: 1,
    } as const;
    cluster.step(2, { type: 'message', message });
    const announced = changesOf(
      cluster.actions.filter(({ id }) => id === 2).map(({ action }) => action),
    );
    expect(announced.map(([members]) => members)).toEqual([
      [1, 2, 3, 4],
      [1, 2, 3],
    ]);
    expect(announced[0]?.[1]).toBe(false);
    expect(cluster.node(2).members).toEqual([1, 2, 3]);
  });

  it('S2-20: servers are removed by the same rules', () => {
    const cluster = three();
    expect(codeOf(() => cluster.step(2, { type: 'removeServer', nodeId: 3 }))).toBe('NOT_LEADER');
    expect(cluster.step(1, { type: 'removeServer', nodeId: 9 })).toEqual([]);
    cluster.step(1, { type: 'removeServer', nodeId: 3 });
    expect(cluster.node(1).members).toEqual([1, 2]);
    expect(codeOf(() => cluster.step(1, { type: 'removeServer', nodeId: 2 }))).toBe(
      'CONFIG_IN_PROGRESS',
    );
    cluster.round(3);
    expect(cluster.node(2).members).toEqual([1, 2]);
    cluster.step(1, { type: 'removeServer', nodeId: 2 });
    cluster.round(3);
    expect(cluster.node(1)).toMatchObject({ members: [1], isLeader: true });
    // The removed ones never disturb the others.
    const { term } = cluster.node(1);
    cluster.round(60);
    expect(cluster.node(1)).toMatchObject({ term, isLeader: true });
  });

  it('S2-21: a removed leader needs the others for the commit, does not count itself, and leaves then', () => {
    const cluster = three();
    const other = new Cluster([1, 2, 3]);
    other.elect(1);
    other.round(3);
    for (const each of [cluster, other]) each.step(1, { type: 'removeServer', nodeId: 1 });
    const { lastIndex } = cluster.node(1);
    // One of the two others is not enough: the leader's own copy does not count.
    other.cut.add(3);
    other.settle();
    expect(other.node(1)).toMatchObject({ isLeader: true, commitIndex: lastIndex - 1 });
    cluster.settle();
    expect(cluster.node(1)).toMatchObject({
      isLeader: false,
      commitIndex: lastIndex,
      role: 'learner',
    });
    const { term } = cluster.node(1);
    cluster.actions.length = 0;
    cluster.round(60);
    const sent = cluster.actions.filter(({ id, action }) => id === 1 && action.type === 'send');
    expect(
      sent.some(({ action }) => action.type === 'send' && action.message.type === 'requestVote'),
    ).toBe(false);
    expect([2, 3]).toContain(cluster.leader.id);
    expect(cluster.leader.term).toBeGreaterThan(term);
  });

  it('S2-22: the last voter stays', () => {
    const node = singleLeader();
    const before = node.lastIndex;
    expect(() => node.step({ type: 'removeServer', nodeId: 1 })).toThrow(
      expect.objectContaining({ code: 'MEMBERSHIP_INVALID', details: { kind: 'empty' } }),
    );
    expect(node).toMatchObject({ lastIndex: before, members: [1], isLeader: true });
  });

  it('S2-23: no change before an entry of the own term is committed (Ongaro 2015), and the blank entry commits older ones', () => {
    // Node 1 leads four, and appends "five members" for itself and node 5 alone.
    const cluster = new Cluster([1, 2, 3, 4], { checkQuorum: false, preVote: false });
    join(cluster, 5, [1, 2, 3, 4]);
    cluster.elect(1, [2, 3, 4]);
    cluster.round(3);
    cluster.step(1, { type: 'addServer', nodeId: 5 });
    cluster.settle((message) => message.to === 5 || message.from === 5);
    cluster.cut.add(1).add(5);
    cluster.queue = [];
    // Node 2 leads the old four, without having heard of that. Were it to remove node 4 now, {2, 3} would commit it,
    // while {1, 4, 5} could still elect node 1.
    for (let ticks = 0; ticks < 60 && !cluster.node(2).isLeader; ticks++) {
      cluster.tick(2);
      cluster.settle(({ type }) => type === 'requestVote' || type === 'voteReply');
    }
    expect(cluster.node(2).isLeader).toBe(true);
    expect(() => cluster.step(2, { type: 'removeServer', nodeId: 4 })).toThrow(
      expect.objectContaining({ code: 'CONFIG_IN_PROGRESS', details: { reason: 'noOwnCommit' } }),
    );
    cluster.round(6);
    cluster.step(2, { type: 'removeServer', nodeId: 4 });
    cluster.cut.delete(1);
    cluster.cut.delete(5);
    cluster.cut.add(2).add(3);
    // Nodes 1, 4 and 5 are a majority of five, but node 4 holds the blank entry of the later term.
    for (let i = 0; i < 120; i++) {
      for (const id of [1, 5]) cluster.tick(id);
      cluster.settle();
    }
    expect(cluster.node(1).isLeader || cluster.node(5).isLeader).toBe(false);
  });

  it('S2-23: entries of an older term are committed by the next leader without a new proposal', () => {
    const cluster = new Cluster([1, 2, 3], { checkQuorum: false, preVote: false });
    cluster.elect(1);
    cluster.round(3);
    cluster.propose(1, 'old');
    cluster.settle((message) => message.to === 2 && message.type === 'appendEntries');
    cluster.queue = [];
    cluster.cut.add(1);
    cluster.elect(2, [3]);
    cluster.round(6);
    expect(cluster.commandsOf(3)).toEqual(['old']);
  });

  it('S2-31: a node outside of its own membership follows and never campaigns', () => {
    const node = new RaftNode({ id: 9, voters: [1, 2, 3] });
    for (let i = 0; i < 1000; i++) expect(node.step({ type: 'tick' })).toEqual([]);
    expect(node).toMatchObject({ role: 'learner', term: 0 });
    const message = {
      type: 'appendEntries',
      from: 1,
      to: 9,
      term: 3,
      prevLogIndex: 0,
      prevLogTerm: 0,
      entries: [{ kind: 'command', index: 1, term: 3, command: bytes('a') }],
      leaderCommit: 1,
      stream: 1,
    } as const;
    const actions = node.step({ type: 'message', message });
    expect(actions.map(({ type }) => type)).toEqual(['send', 'apply']);
    for (let i = 0; i < 1000; i++) expect(node.step({ type: 'tick' })).toEqual([]);
  });
});
