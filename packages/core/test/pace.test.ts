// What a core says may be kept back from it (pace.ts): never less than it takes for a commit, nor while anything but a
// steady stream of appends is under way.

import { pace } from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { Single } from './single.ts';

const missingOf = (node: Single): number => node.core.pace & pace.missingMask;
const isSteady = (node: Single): boolean => (node.core.pace & pace.isSteady) !== 0;

function settled(voters: readonly number[], limits: { inflightMessagesMax?: number } = {}): Single {
  const node = new Single({ voters, config: limits });
  node.lead();
  node.persist();
  for (const voter of node.core.voters) if (voter !== 1) node.ack(voter, 1);
  return node;
}

describe('the pace of a leader', () => {
  it('counts down to the copy that commits, and starts anew behind it', () => {
    const node = settled([1, 2, 3, 4, 5]);
    expect([missingOf(node), isSteady(node)]).toEqual([3, true]);
    node.propose();
    expect(missingOf(node)).toBe(3);
    node.ack(2, 2);
    expect(missingOf(node)).toBe(2);
    node.persist();
    expect(missingOf(node)).toBe(1);
    expect(node.ack(3, 2).committedTo).toBe(2);
    expect(missingOf(node)).toBe(3);
  });

  it('asks for its own durable log at once where that is a quorum', () => {
    const node = settled([1]);
    node.propose();
    expect(missingOf(node)).toBe(1);
    expect(node.persist().committedTo).toBe(2);
  });

  it('is not steady while a follower probes, lags or has its window full', () => {
    const probing = new Single();
    probing.lead();
    expect(isSteady(probing)).toBe(false);

    const full = settled([1, 2, 3], { inflightMessagesMax: 1 });
    expect(isSteady(full)).toBe(true);
    full.propose();
    expect(isSteady(full)).toBe(false);
    full.ack(2, 2);
    full.ack(3, 2);
    expect(isSteady(full)).toBe(true);
  });

  it('wants every answer while leadership is handed over or members change', () => {
    const transferring = settled([1, 2, 3]);
    transferring.step({ kind: 'transfer', nodeId: 2 });
    expect([missingOf(transferring), isSteady(transferring)]).toEqual([1, false]);
  });
});

describe('the pace of others', () => {
  it('a follower awaits nothing, a candidate its own vote', () => {
    const node = new Single();
    expect(node.core.pace).toBe(0);
    node.campaign();
    expect(node.core.pace).toBe(pace.awaitsOwnVote);
  });
});
