// Seed 002, rows S2-11 to S2-15 and S2-28: snapshots and the compaction of the log.

import { type Action, MemoryLog, RaftNode } from '@flotilla/raftnode';
import { describe, expect, it } from 'vitest';
import { bytes, Cluster } from './cluster.ts';

function single(snapshotThreshold: number): { node: RaftNode; log: MemoryLog } {
  const log = new MemoryLog();
  const node = new RaftNode({ id: 1, snapshotThreshold, log });
  while (!node.isLeader) node.step({ type: 'tick' });
  return { node, log };
}

function hintsOf(actions: readonly Action[]): number[] {
  return actions.flatMap((action) => (action.type === 'snapshot' ? [action.index] : []));
}

function propose(node: RaftNode, count: number): number[] {
  return Array.from({ length: count }, (_, i) =>
    hintsOf(node.step({ type: 'propose', command: bytes(`c${i}`) })),
  ).flat();
}

describe('snapshots', () => {
  it('S2-11: the snapshot event answers the hint: the log is compacted, and no hint comes for a threshold more', () => {
    const { node } = single(5);
    expect(propose(node, 4)).toEqual([5]);
    expect(node.step({ type: 'snapshot', index: 5, data: bytes('five') })).toEqual([]);
    expect(node.firstIndex).toBe(6);
    expect(propose(node, 4)).toEqual([]);
    expect(propose(node, 1)).toEqual([10]);
  });

  it('S2-12: one hint each time the threshold is crossed, also where nobody answers; 0 means never', () => {
    const { node } = single(10);
    expect(propose(node, 24)).toEqual([10, 20]);
    expect(node.lastApplied).toBe(25);
    expect(propose(single(0).node, 50)).toEqual([]);
  });

  it('S2-13: the log goes up to the index, its term stays known, and a follower that is behind gets the snapshot', () => {
    const cluster = new Cluster([1, 2, 3]);
    cluster.elect(1);
    cluster.cut.add(3);
    for (let i = 0; i < 9; i++) cluster.propose(1, `c${i}`);
    cluster.round(3);
    const node = cluster.node(1);
    expect(node.commitIndex).toBe(10);
    cluster.step(1, { type: 'snapshot', index: 7, data: bytes('seven') });
    expect(node.firstIndex).toBe(8);
    expect([6, 7, 8, 10].map((index) => node.termAt(index))).toEqual([undefined, 1, 1, 1]);
    expect(
      cluster.logs
        .get(1)
        ?.entries(8, 10)
        .map(({ index }) => index),
    ).toEqual([8, 9, 10]);
    cluster.cut.clear();
    cluster.round(12);
    const restored = cluster.actions.filter(
      ({ id, action }) => id === 3 && action.type === 'restoreSnapshot',
    );
    expect(restored.map(({ action }) => action)).toEqual([
      { type: 'restoreSnapshot', index: 7, term: 1, data: bytes('seven') },
    ]);
    expect(cluster.commandsOf(3)).toEqual(['c6', 'c7', 'c8']);
  });

  it('S2-13: M17: a snapshot names the members as of its index, whatever counts by now', () => {
    const cluster = new Cluster([1, 2, 3]);
    cluster.elect(1);
    for (let i = 0; i < 5; i++) cluster.propose(1, `c${i}`);
    cluster.round(3);
    cluster.step(1, { type: 'removeServer', nodeId: 3 });
    cluster.round(3);
    const { lastApplied, members } = cluster.node(1);
    expect([lastApplied, members]).toEqual([7, [1, 2]]);
    cluster.step(1, { type: 'snapshot', index: 6, data: bytes('six') });
    expect(cluster.logs.get(1)?.snapshot()?.members).toEqual([1, 2, 3]);
    expect(cluster.node(1).members).toEqual([1, 2]);
    cluster.step(1, { type: 'snapshot', index: 7, data: bytes('seven') });
    expect(cluster.logs.get(1)?.snapshot()?.members).toEqual([1, 2]);
  });

  it('S2-14: a snapshot of what is not committed is ignored', () => {
    const { node } = single(0);
    propose(node, 4);
    expect(node.commitIndex).toBe(5);
    expect(node.step({ type: 'snapshot', index: 6, data: bytes('six') })).toEqual([]);
    expect(node.firstIndex).toBe(1);
    const cluster = new Cluster([1, 2, 3]);
    cluster.elect(1);
    cluster.cut.add(2).add(3);
    cluster.propose(1, 'a');
    expect(cluster.node(1)).toMatchObject({ lastIndex: 2, commitIndex: 1 });
    expect(cluster.step(1, { type: 'snapshot', index: 2, data: bytes('two') })).toEqual([]);
    expect(cluster.node(1).firstIndex).toBe(1);
  });

  it('S2-15: a snapshot of what is compacted already is ignored', () => {
    const { node, log } = single(0);
    propose(node, 9);
    node.step({ type: 'snapshot', index: 7, data: bytes('seven') });
    for (const index of [7, 3, 0]) {
      expect(node.step({ type: 'snapshot', index, data: bytes('old') })).toEqual([]);
    }
    expect(node.firstIndex).toBe(8);
    expect(log.snapshot()?.data).toEqual(bytes('seven'));
  });

  it('S2-28: a follower that missed a hundred entries restores once and goes on behind; a copy restores nothing', () => {
    const cluster = new Cluster([1, 2, 3]);
    cluster.elect(1);
    cluster.cut.add(3);
    for (let i = 0; i < 100; i++) cluster.propose(1, `c${i}`);
    cluster.round(3);
    cluster.step(1, { type: 'snapshot', index: 100, data: bytes('hundred') });
    cluster.cut.clear();
    const installs: Action[] = [];
    for (let i = 0; i < 12; i++) {
      cluster.round();
      installs.push(
        ...cluster.actions.flatMap(({ action }) =>
          action.type === 'send' && action.message.type === 'installSnapshot' ? [action] : [],
        ),
      );
    }
    expect(cluster.commandsOf(3)).toEqual(['c99']);
    cluster.propose(1, 'later');
    cluster.round(3);
    expect(cluster.commandsOf(3)).toEqual(['c99', 'later']);
    const [install] = installs;
    if (install?.type !== 'send') throw new Error('no snapshot was sent');
    const again = cluster.step(3, { type: 'message', message: install.message });
    expect(again).toEqual([
      expect.objectContaining({
        message: expect.objectContaining({ type: 'appendReply', success: true }),
      }),
    ]);
    const restores = cluster.actions.filter(({ action }) => action.type === 'restoreSnapshot');
    expect(restores.length).toBe(1);
    expect(cluster.node(3).lastApplied).toBe(102);
  });

  it('a snapshot that is lost on the way is sent again', () => {
    const cluster = new Cluster([1, 2, 3]);
    cluster.elect(1);
    cluster.cut.add(3);
    for (let i = 0; i < 20; i++) cluster.propose(1, `c${i}`);
    cluster.round(3);
    cluster.step(1, { type: 'snapshot', index: 20, data: bytes('twenty') });
    cluster.cut.clear();
    let lost = 0;
    for (let i = 0; i < 60; i++) {
      for (const id of cluster.ids) cluster.tick(id);
      cluster.settle((message) => message.type !== 'installSnapshot' || ++lost > 2);
    }
    expect(lost).toBeGreaterThan(2);
    expect(cluster.node(3).lastApplied).toBe(21);
  });
});
