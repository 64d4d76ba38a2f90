import type { RaftCore } from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { GroupView } from '../src/group-handle.ts';
import { noTicket } from '../src/port.ts';
import { Replica } from '../src/replica.ts';
import { ReplicaColumns } from '../src/replica-columns.ts';

function newReplica(): Replica {
  const identity = { groupId: 1, generation: 1, number: 0, slot: 0, members: [1] };
  const machine = { apply: (): void => {} };
  return new Replica({} as RaftCore, identity, machine, new GroupView(), 0, new ReplicaColumns());
}

describe('the waits of a replica', () => {
  it('that were kept over a lost leadership stay with their entries when it leads again', () => {
    const replica = newReplica();
    for (let index = 5; index <= 9; index++) replica.pushWait(index, 100 + index);
    replica.keepWaits(2); // 5 and 6 are committed
    replica.pushWait(12, 112); // 7 to 11 came from another leader, and the blank entry of the new term
    expect([5, 6].map((index) => replica.takeWait(index))).toEqual([105, 106]);
    expect([7, 11].map((index) => replica.takeWait(index))).toEqual([noTicket, noTicket]);
    expect(replica.isAwaited(12)).toBe(true);
    expect(replica.takeWait(12)).toBe(112);
    expect(replica.hasWaits).toBe(false);
  });

  it('that were all ended begin anew', () => {
    const replica = newReplica();
    replica.pushWait(5, 105);
    replica.keepWaits(0);
    expect(replica.hasWaits).toBe(false);
    replica.pushWait(20, 120);
    expect(replica.takeWait(20)).toBe(120);
  });
});
