import { Configuration, emptyConfiguration, firstReplica, type Member } from '@flotilla/core';
import { describe, expect, it } from 'vitest';

function members(...nodeIds: readonly number[]): Member[] {
  return nodeIds.map(firstReplica);
}

describe('a configuration', () => {
  it('orders its members and knows the position of each voter of either half', () => {
    const c = new Configuration({
      voters: members(5, 2),
      votersOutgoing: members(9, 2),
      learners: members(7),
      learnersNext: members(9),
      autoLeave: true,
    });
    expect(c.voters.map((m) => m.nodeId)).toEqual([2, 5]);
    expect(c.votingIds).toEqual([2, 5, 9]);
    expect([c.incoming, c.outgoing]).toEqual([0b011, 0b101]);
    expect([c.positionOf(9), c.positionOf(7), c.bitOf(5), c.bitOf(7)]).toEqual([2, -1, 2, 0]);
    expect(c.members().map((m) => m.nodeId)).toEqual([2, 5, 7, 9]);
    expect([c.isJoint, c.isLearner(7), c.isLearner(9), c.autoLeave]).toEqual([
      true,
      true,
      false,
      true,
    ]);
    expect(c.memberOf(7)).toEqual({ nodeId: 7, generation: 1, instance: 0 });
    expect(c.memberOf(1)).toBeNull();
  });

  it('equals another of the same members, identities and parts, and no other', () => {
    const c = new Configuration({ voters: members(1, 2), learners: members(3) });
    expect(c.equals(new Configuration({ voters: members(2, 1), learners: members(3) }))).toBe(true);
    expect(c.equals(new Configuration({ voters: members(1, 2, 3) }))).toBe(false);
    const reborn = [firstReplica(1), { nodeId: 2, generation: 2, instance: 0 }];
    expect(c.equals(new Configuration({ voters: reborn, learners: members(3) }))).toBe(false);
  });

  it('may be empty, and is then the state of a replica that has not heard of its group', () => {
    expect(emptyConfiguration.votingIds).toEqual([]);
    expect(emptyConfiguration.isJoint).toBe(false);
  });

  it.each<[string, ConstructorParameters<typeof Configuration>[0]]>([
    ['not a node id', { voters: members(0) }],
    ['not a node id', { voters: members(2 ** 32) }],
    ['not a generation', { voters: [{ nodeId: 1, generation: 0, instance: 0 }] }],
    ['not an instance', { voters: [{ nodeId: 1, generation: 1, instance: 2 ** 53 }] }],
    ['stands twice', { voters: members(1, 1) }],
    ['is a learner and votes', { voters: members(1, 2), learners: members(2) }],
    [
      'is a learner and votes',
      { voters: members(1), votersOutgoing: members(2), learners: members(2) },
    ],
    [
      'has two identities',
      { voters: members(1), votersOutgoing: [{ nodeId: 1, generation: 2, instance: 0 }] },
    ],
    ['becomes a learner', { voters: members(1), learnersNext: members(2) }],
    [
      'becomes a learner',
      { voters: members(1, 2), votersOutgoing: members(2), learnersNext: members(2) },
    ],
    ['has no incoming voter', { voters: [], votersOutgoing: members(1) }],
    ['leaves by itself', { voters: members(1), autoLeave: true }],
    ['at most 31 nodes vote', { voters: members(...Array.from({ length: 32 }, (_, i) => i + 1)) }],
  ])('is refused where it breaks an invariant: %s', (problem, parts) => {
    expect(() => new Configuration(parts)).toThrow(problem);
  });
});
