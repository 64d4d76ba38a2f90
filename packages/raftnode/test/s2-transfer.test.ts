// Seed 002, rows S2-24 to S2-27: handing leadership over, and what a vote request says.

import { decodeMessage, encodeMessage, type RaftMessage } from '@flotilla/raftnode';
import { describe, expect, it } from 'vitest';
import { Cluster } from './cluster.ts';

function three(): Cluster {
  const cluster = new Cluster([1, 2, 3]);
  cluster.elect(1);
  cluster.round(3);
  return cluster;
}

function sentBy(cluster: Cluster, from: number): RaftMessage[] {
  return cluster.actions.flatMap(({ id, action }) =>
    id === from && action.type === 'send' ? [action.message] : [],
  );
}

describe('leadership transfer', () => {
  it('S2-24: the target is brought up to date first, and told to campaign only when it has everything', () => {
    const cluster = three();
    cluster.cut.add(2);
    for (let i = 0; i < 50; i++) cluster.propose(1, `c${i}`);
    cluster.settle();
    cluster.cut.clear();
    cluster.actions.length = 0;
    cluster.step(1, { type: 'transferLeadership', target: 2 });
    expect(sentBy(cluster, 1)).toEqual([]);
    const { lastIndex } = cluster.node(1);
    let told = 0;
    for (let i = 0; i < 8; i++) {
      for (const id of cluster.ids) cluster.tick(id);
      cluster.settle((message) => {
        if (message.type === 'timeoutNow') {
          told++;
          expect(cluster.node(2).lastIndex).toBe(lastIndex);
        }
        return true;
      });
    }
    expect(told).toBeGreaterThan(0);
    expect(cluster.leader.id).toBe(2);
    // Nothing was proposed in between: the new leader's blank entry follows at once.
    expect(cluster.node(2).termAt(lastIndex + 1)).toBe(2);
  });

  it('S2-25: it is nothing on a follower, and towards a stranger, a non-voter or oneself', () => {
    const cluster = three();
    expect(cluster.step(2, { type: 'transferLeadership', target: 3 })).toEqual([]);
    for (const target of [9, 1]) {
      expect(cluster.step(1, { type: 'transferLeadership', target })).toEqual([]);
    }
    cluster.step(1, { type: 'removeServer', nodeId: 3 });
    cluster.round(3);
    expect(cluster.step(1, { type: 'transferLeadership', target: 3 })).toEqual([]);
    expect(() => cluster.propose(1, 'a')).not.toThrow();
  });

  it('S2-26: the target campaigns in the same step, without asking first, and its requests are forced', () => {
    const cluster = three();
    // Of a term above 1: a signal of term 0 would be no message at all.
    cluster.step(1, { type: 'transferLeadership', target: 3 });
    cluster.settle();
    cluster.step(3, { type: 'transferLeadership', target: 1 });
    cluster.settle();
    cluster.round(3);
    expect([cluster.leader.id, cluster.node(2).term]).toEqual([1, 3]);
    const { term } = cluster.node(2);
    const timeoutNow = { type: 'timeoutNow', from: 1, to: 2, term } as const;
    const late = cluster.step(2, { type: 'message', message: { ...timeoutNow, term: term - 1 } });
    expect(late).toEqual([]);
    const actions = cluster.step(2, { type: 'message', message: timeoutNow });
    expect(cluster.node(2).term).toBe(term + 1);
    const requests = actions.map((action) => (action.type === 'send' ? action.message : null));
    expect(requests).toEqual([
      expect.objectContaining({ type: 'requestVote', to: 1, force: true, isPreVote: false }),
      expect.objectContaining({ type: 'requestVote', to: 3, force: true, isPreVote: false }),
    ]);
    const outside = new Cluster([1, 2, 3]);
    const learner = outside.start(4, outside.logs.get(1) as never, { voters: [1, 2, 3] });
    expect(learner.step({ type: 'message', message: { ...timeoutNow, to: 4, term: 5 } })).toEqual(
      [],
    );
  });

  it('S2-27: a vote request says term, candidate, last entry and force; unforced it is ignored near a leader', () => {
    const request: RaftMessage = {
      type: 'requestVote',
      from: 2,
      to: 3,
      term: 7,
      isPreVote: false,
      lastLogIndex: 12,
      lastLogTerm: 5,
      force: false,
    };
    expect(decodeMessage(encodeMessage(request))).toEqual(request);
    const cluster = three();
    const { term } = cluster.node(3);
    expect(cluster.step(3, { type: 'message', message: request })).toEqual([]);
    expect(cluster.node(3).term).toBe(term);
    const forced = cluster.step(3, { type: 'message', message: { ...request, force: true } });
    expect(cluster.node(3).term).toBe(7);
    expect(forced).toEqual([
      expect.objectContaining({
        message: expect.objectContaining({ type: 'voteReply', granted: true }),
      }),
    ]);
    // A minimal election time-out after the leader's last word, the unforced one is taken too.
    const later = three();
    later.tick(3, 9);
    expect(later.step(3, { type: 'message', message: request })).toEqual([]);
    later.tick(3, 1);
    later.step(3, { type: 'message', message: request });
    expect(later.node(3).term).toBe(7);
  });
});
