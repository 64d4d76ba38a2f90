// Who belongs to a group changes while it serves, on simulated hosts.

import { describe, expect, it } from 'vitest';
import type { RaftGroup } from '../src/index.ts';
import { CountingMachine, Outcome, SimHosts } from './sim-hosts.ts';

const bytes = new Uint8Array(8);

async function start(hostCount: number, members: readonly number[]): Promise<SimHosts> {
  const hosts = new SimHosts(hostCount);
  await hosts.openAll();
  await hosts.createGroup(1, members, members);
  await hosts.lead(members[0] as number, 1);
  await hosts.runMs(500);
  return hosts;
}

function group(hosts: SimHosts, id: number): RaftGroup {
  const found = hosts.host(id).group(1);
  if (found === undefined) throw new Error(`host ${id} has no group 1`);
  return found;
}

async function join(hosts: SimHosts, id: number): Promise<CountingMachine> {
  const stateMachine = new CountingMachine();
  await hosts.settle(hosts.host(id).createGroup({ groupId: 1, join: true, stateMachine }));
  return stateMachine;
}

async function write(hosts: SimHosts, id: number, count = 1): Promise<void> {
  for (let i = 0; i < count; i++) await hosts.settle(group(hosts, id).propose(bytes));
}

const votersOf = (hosts: SimHosts, id: number): readonly number[] =>
  group(hosts, id)
    .status()
    .membership.voters.map(({ nodeId }) => nodeId);

describe('changeMembership', () => {
  it('adds a learner that catches up and does not vote, then promotes it, with its instance and generation', async () => {
    const hosts = await start(4, [1, 2, 3]);
    await write(hosts, 1, 5);
    const machine = await join(hosts, 4);
    await hosts.settle(group(hosts, 1).changeMembership({ learners: [4] }));
    await hosts.until(() => machine.commands === 5, 'the learner has applied what was there');
    const { membership, members, progress } = group(hosts, 1).status();
    expect(members).toEqual([1, 2, 3, 4]);
    expect(membership).toMatchObject({ isCommitted: true, votersOutgoing: [], learnersNext: [] });
    const instance = hosts.host(4).instance;
    expect(membership.learners).toEqual([{ nodeId: 4, generation: 1, instance }]);
    expect(progress?.map(({ nodeId, isVoter }) => [nodeId, isVoter])).toEqual([
      [1, true],
      [2, true],
      [3, true],
      [4, false],
    ]);
    await hosts.settle(group(hosts, 1).changeMembership({ voters: [4] }));
    expect(votersOf(hosts, 1)).toEqual([1, 2, 3, 4]);
    await hosts.until(() => votersOf(hosts, 4).length === 4, 'the promoted one knows');
    // Three of four are needed now: with two of the old ones gone, the old majority decides nothing.
    hosts.machine(2).pause();
    hosts.machine(3).pause();
    const pending = new Outcome(group(hosts, 1).propose(bytes));
    await hosts.runMs(1000);
    expect(pending.isSettled).toBe(false);
    hosts.machine(2).resume();
    await hosts.until(() => pending.isSettled, 'three of four decide');
    expect(pending.state).toBe('done');
  });

  it('replaces several members in one step through a joint configuration, the leader among them', async () => {
    const hosts = await start(6, [1, 2, 3]);
    await write(hosts, 1, 3);
    const machines = [await join(hosts, 4), await join(hosts, 5), await join(hosts, 6)];
    const changed = group(hosts, 1).changeMembership({ voters: [4, 5, 6], remove: [1, 2, 3] });
    const { term } = group(hosts, 1);
    await expect(hosts.settle(changed)).resolves.toMatchObject({ term });
    await hosts.until(
      () => [4, 5, 6].some((id) => group(hosts, id).isLeader),
      'one of the new ones leads',
      60_000,
    );
    const leader = [4, 5, 6].find((id) => group(hosts, id).isLeader) as number;
    await write(hosts, leader, 2);
    await hosts.until(() => machines.every(({ commands }) => commands === 5), 'all have all');
    expect(votersOf(hosts, leader)).toEqual([4, 5, 6]);
    // Those that were left out have ended, and only tombstones are left of them.
    for (const id of [1, 2, 3]) expect(hosts.host(id).group(1), `${id}`).toBe(undefined);
  });

  it('says REPLICA_REMOVED on the handle of a replica that was removed, and brings it back as the next generation', async () => {
    const hosts = await start(3, [1, 2, 3]);
    await write(hosts, 1, 2);
    const old = group(hosts, 3);
    await hosts.settle(group(hosts, 1).changeMembership({ remove: [3] }));
    await hosts.until(() => hosts.host(3).group(1) === undefined, 'it has heard');
    expect(old.status().role).toBe('removed');
    await expect(old.read()).rejects.toMatchObject({ code: 'REPLICA_REMOVED' });
    const again = { groupId: 1, members: [1, 2, 3], stateMachine: new CountingMachine() };
    await expect(hosts.host(3).createGroup(again)).rejects.toMatchObject({
      code: 'REPLICA_REMOVED',
    });
    // The tombstone outlives the process.
    await hosts.close(3);
    await hosts.open(3);
    expect(hosts.host(3).recoveredGroupIds()).toEqual([]);
    await expect(hosts.host(3).createGroup(again)).rejects.toMatchObject({
      code: 'REPLICA_REMOVED',
    });
    const machine = await join(hosts, 3);
    expect(group(hosts, 3).status().generation).toBe(2);
    await hosts.settle(group(hosts, 1).changeMembership({ voters: [3] }));
    await hosts.until(() => machine.commands === 2, 'it was filled again');
    const member = group(hosts, 1)
      .status()
      .membership.voters.find(({ nodeId }) => nodeId === 3);
    expect(member).toEqual({ nodeId: 3, generation: 2, instance: hosts.host(3).instance });
    await write(hosts, 1);
    await hosts.until(() => machine.commands === 3, 'and follows');
  });

  it('has its configurations in the log: after a restart of all, the last one counts', async () => {
    const hosts = await start(4, [1, 2, 3]);
    await join(hosts, 4);
    await hosts.settle(group(hosts, 1).changeMembership({ voters: [4], remove: [2] }));
    await hosts.until(() => votersOf(hosts, 4).join() === '1,3,4', 'the new one knows');
    await hosts.until(() => hosts.host(2).group(1) === undefined, 'the old one knows');
    await write(hosts, 1, 2);
    for (const id of hosts.ids) await hosts.close(id);
    await hosts.openAll();
    // As at the beginning, for hosts that took part in it; without members for the one that joined.
    const machines: CountingMachine[] = [];
    for (const id of [1, 3, 4]) {
      const stateMachine = new CountingMachine();
      machines.push(stateMachine);
      const members = id === 4 ? {} : { members: [1, 2, 3] };
      await hosts.settle(hosts.host(id).createGroup({ groupId: 1, ...members, stateMachine }));
      expect(votersOf(hosts, id)).toEqual([1, 3, 4]);
    }
    await hosts.lead(4, 1);
    await hosts.until(() => machines.every(({ commands }) => commands === 2), 'all have all');
    await write(hosts, 4);
  });

  it('demotes a voter, which goes on as a learner', async () => {
    const hosts = await start(3, [1, 2, 3]);
    await hosts.settle(group(hosts, 1).changeMembership({ learners: [3] }));
    const { membership } = group(hosts, 1).status();
    expect(membership.voters.map(({ nodeId }) => nodeId)).toEqual([1, 2]);
    expect(membership.learners.map(({ nodeId }) => nodeId)).toEqual([3]);
    // Both voters are needed now, the learner's copy counts for nothing.
    hosts.machine(2).pause();
    const pending = new Outcome(group(hosts, 1).propose(bytes));
    await hosts.runMs(1000);
    expect(pending.isSettled).toBe(false);
    hosts.machine(2).resume();
    await hosts.until(() => pending.isSettled, 'both voters decide');
  });

  it('shrinks to one voter and grows again', async () => {
    const hosts = await start(3, [1, 2, 3]);
    await hosts.settle(group(hosts, 1).changeMembership({ remove: [2, 3] }));
    await write(hosts, 1);
    await hosts.until(() => hosts.host(2).group(1) === undefined, 'host 2 has heard');
    await hosts.until(() => hosts.host(3).group(1) === undefined, 'host 3 has heard');
    await join(hosts, 2);
    await hosts.settle(group(hosts, 1).changeMembership({ voters: [2] }));
    await write(hosts, 1);
    expect(votersOf(hosts, 1)).toEqual([1, 2]);
  });

  it('is refused with a code that says why, and nothing is changed', async () => {
    const hosts = await start(4, [1, 2, 3]);
    const refused = async (
      change: Parameters<RaftGroup['changeMembership']>[0],
      code: string,
      details: object,
    ): Promise<void> => {
      const outcome = group(hosts, 1).changeMembership(change);
      await expect(hosts.settle(outcome, 20_000)).rejects.toMatchObject({ code, details });
    };
    await expect(
      hosts.settle(group(hosts, 2).changeMembership({ remove: [3] })),
    ).rejects.toMatchObject({ code: 'NOT_LEADER', details: { leaderHint: 1 } });
    await refused({ remove: [1, 2, 3] }, 'MEMBERSHIP_INVALID', { kind: 'empty' });
    await refused({ learners: [1, 2, 3] }, 'MEMBERSHIP_INVALID', { kind: 'empty' });
    await refused({ voters: [9] }, 'MEMBERSHIP_INVALID', { kind: 'unknownNode' });
    await refused({ remove: [4] }, 'MEMBERSHIP_INVALID', { kind: 'notMember' });
    await refused({ learners: [4] }, 'MEMBER_NOT_READY', { reason: 'noReplica' });
    hosts.machine(4).kill();
    await refused({ learners: [4] }, 'MEMBER_NOT_READY', { reason: 'unreachable' });
    for (const change of [{}, { voters: [0] }, { voters: [2], remove: [2] }, { leaseMs: 5 }]) {
      await expect(group(hosts, 1).changeMembership(change)).rejects.toThrow(RangeError);
    }
    hosts.machine(2).pause();
    hosts.machine(3).pause();
    const first = new Outcome(group(hosts, 1).changeMembership({ learners: [3] }));
    await hosts.runMs(50);
    await refused({ learners: [2] }, 'CONFIG_IN_PROGRESS', { reason: 'changeInProgress' });
    expect(first.isSettled).toBe(false);
    hosts.machine(2).resume();
    hosts.machine(3).resume();
    await hosts.until(() => first.isSettled, 'the first one ends');
    expect(first.state).toBe('done');
    expect(votersOf(hosts, 1)).toEqual([1, 2]);
  });

  it('is of unknown outcome where leadership is lost on the way; a joint configuration is finished by the next leader', async () => {
    const hosts = await start(4, [1, 2, 3]);
    await join(hosts, 4);
    for (const id of [2, 3]) hosts.machine(id).pause();
    const change = new Outcome(group(hosts, 1).changeMembership({ voters: [4], remove: [2] }));
    await hosts.until(
      () => group(hosts, 4).status().membership.votersOutgoing.length === 3,
      'the joint configuration has reached the new one',
    );
    hosts.machine(1).pause();
    for (const id of [2, 3]) hosts.machine(id).resume();
    await hosts.runMs(100);
    // Only who holds the joint configuration can lead on it; the others have not heard of it.
    await hosts.settle(group(hosts, 4).campaign());
    await hosts.until(() => group(hosts, 4).isLeader, 'the new one leads', 60_000);
    await hosts.until(() => votersOf(hosts, 4).join() === '1,3,4', 'it left the joint one');
    hosts.machine(1).resume();
    await hosts.until(() => change.isSettled, 'the old leader hears', 60_000);
    expect(change.state).toBe('OUTCOME_UNKNOWN');
    await write(hosts, 4);
    await hosts.until(() => votersOf(hosts, 1).join() === '1,3,4', 'all know');
  });

  it('tells onMembershipChanged of each configuration when it begins to count and when it is committed', async () => {
    const hosts = new SimHosts(3);
    const told: string[] = [];
    await hosts.openAll({
      onMembershipChanged: ({ membership, isLeader }) => {
        const { index, isCommitted, voters } = membership;
        const names = voters.map(({ nodeId }) => nodeId).join('');
        if (isLeader) told.push(`${index > 0 ? 'later' : 'first'} ${names} ${isCommitted}`);
      },
    });
    await hosts.createGroup(1);
    await hosts.lead(1, 1);
    await write(hosts, 1);
    await hosts.settle(group(hosts, 1).changeMembership({ remove: [3] }));
    expect(told).toEqual(['later 12 false', 'later 12 true']);
  });
});

describe('a replica that was removed while it was away', () => {
  it('ends when it campaigns and the leader tells it, and disturbs nobody', async () => {
    const hosts = await start(3, [1, 2, 3]);
    const { term } = group(hosts, 1);
    hosts.machine(3).pause();
    await hosts.settle(group(hosts, 1).changeMembership({ remove: [3] }));
    await write(hosts, 1, 2);
    hosts.machine(3).resume();
    await hosts.until(() => hosts.host(3).group(1) === undefined, 'it has ended', 60_000);
    expect(group(hosts, 1).isLeader).toBe(true);
    expect(group(hosts, 1).term).toBe(term);
  });

  it('ends when its node is to be added again, and comes back as a new generation', async () => {
    const hosts = await start(3, [1, 2, 3]);
    hosts.machine(3).pause();
    await hosts.settle(group(hosts, 1).changeMembership({ remove: [3] }));
    hosts.machine(3).resume();
    await expect(
      hosts.settle(group(hosts, 1).changeMembership({ learners: [3] }), 20_000),
    ).rejects.toMatchObject({ code: 'MEMBER_NOT_READY', details: { reason: 'noReplica' } });
    await join(hosts, 3);
    await hosts.settle(group(hosts, 1).changeMembership({ learners: [3] }));
    expect(group(hosts, 1).status().membership.learners).toMatchObject([{ generation: 2 }]);
  });

  it('is given up by removeGroup where nobody tells it, and its handle says so', async () => {
    const hosts = await start(3, [1, 2, 3]);
    await hosts.settle(hosts.host(3).removeGroup(1));
    expect(hosts.host(3).group(1)).toBe(undefined);
    await expect(hosts.host(3).removeGroup(1)).rejects.toMatchObject({ code: 'UNKNOWN_GROUP' });
    // To the group it is as if the disk were lost: the other two go on, and re-add it as they would then.
    await write(hosts, 1);
    await hosts.settle(group(hosts, 1).changeMembership({ remove: [3] }));
    const machine = await join(hosts, 3);
    await hosts.settle(group(hosts, 1).changeMembership({ voters: [3] }));
    await hosts.until(() => machine.commands === 1, 'it was filled again');
  });
});

describe('a replica that ends while its log is being read for a follower', () => {
  it('takes nobody with it: the host goes on, and its other groups serve', async () => {
    const hosts = new SimHosts(3);
    await hosts.openAll({ cacheBytes: 1 << 20, segmentBytes: 8 << 20, entryBytesMax: 64 << 10 });
    for (const groupId of [1, 2]) {
      await hosts.createGroup(groupId);
      await hosts.lead(1, groupId);
    }
    hosts.machine(3).pause();
    for (let i = 0; i < 64; i++) {
      const written = group(hosts, 1).propose(new Uint8Array(60 << 10));
      await hosts.settle(written);
    }
    hosts.machine(1).disk.slowness = 50;
    hosts.machine(3).resume();
    const isReading = (): boolean => (hosts.host(1).metrics()['catchUpBytes'] as number) > 0;
    await hosts.until(isReading, 'the leader reads its log back', 60_000);
    const removed = new Outcome(hosts.host(1).removeGroup(1));
    await hosts.until(() => removed.isSettled, 'it has given its replica up', 60_000);
    expect(removed.state).toBe('done');
    hosts.machine(1).disk.slowness = 1;
    await hosts.runMs(2000);
    expect(hosts.host(1).metrics()).toMatchObject({ groups: 1, catchUpBytes: 0 });
    const other = hosts.host(1).group(2);
    if (other?.isLeader !== true) await hosts.lead(1, 2);
    await hosts.settle(other?.propose(bytes) as Promise<unknown>);
  });
});

describe('a learner', () => {
  it('is not left out for good by a connection that broke without a word, although it has nothing to say itself', async () => {
    const hosts = new SimHosts(3);
    await hosts.openAll();
    const [machine] = await hosts.createGroup(1);
    await hosts.lead(2, 1);
    await write(hosts, 2);
    // Host 1 has the smallest id: only it dials, and it must find out.
    await hosts.settle(group(hosts, 2).changeMembership({ learners: [1] }));
    await hosts.runMs(500);
    hosts.world.network.breakSilently('n2', 'n1');
    await write(hosts, 2);
    const isFilled = (): boolean => machine?.commands === 2;
    await hosts.until(isFilled, 'the learner has been filled', 120_000);
  });
});

describe('a replica that is ready to join', () => {
  it('holds nothing yet: one that was named before is not added again under its old generation', async () => {
    const hosts = await start(4, [1, 2, 3]);
    await join(hosts, 4);
    await hosts.settle(group(hosts, 1).changeMembership({ learners: [4] }));
    await hosts.until(() => group(hosts, 4).status().lastIndex > 0, 'it holds entries');
    // Removed without a chance to hear that it had been committed as a member.
    hosts.machine(4).pause();
    await hosts.settle(group(hosts, 1).changeMembership({ remove: [4] }));
    hosts.machine(4).resume();
    const again = new Outcome(group(hosts, 1).changeMembership({ voters: [4] }));
    await hosts.until(() => again.isSettled, 'the leader gives it up', 20_000);
    expect(again.state).toBe('MEMBER_NOT_READY');
    if (hosts.host(4).group(1) !== undefined) await hosts.settle(hosts.host(4).removeGroup(1));
    await join(hosts, 4);
    await hosts.settle(group(hosts, 1).changeMembership({ voters: [4] }));
    const added = group(hosts, 1).status().membership.voters.at(-1);
    expect(added).toMatchObject({ nodeId: 4, generation: 2 });
  });
});

describe('a generation is named once', () => {
  const learners = (hosts: SimHosts, id: number): readonly unknown[] =>
    group(hosts, id)
      .status()
      .membership.learners.map(({ nodeId, generation }) => [nodeId, generation]);
  /** Asks for a change that is to fail, and answers how. */
  async function refusal(hosts: SimHosts, ids: readonly number[]): Promise<string> {
    const asked = new Outcome(group(hosts, 1).changeMembership({ learners: [...ids] }));
    await hosts.until(() => asked.isSettled, 'the leader gives it up', 20_000);
    return asked.state;
  }

  it('also where the replica that waits has heard of nothing: it is ready beside one configuration only', async () => {
    const hosts = await start(5, [1, 2, 3]);
    await join(hosts, 4);
    // Host 4 says that it is ready, host 5 has no replica: nobody is named.
    expect(await refusal(hosts, [4, 5])).toBe('MEMBER_NOT_READY');
    await hosts.settle(group(hosts, 1).changeMembership({ leaseMs: 200 }));
    // Whoever asked before may have named it since, and left it out again.
    expect(await refusal(hosts, [4])).toBe('MEMBER_NOT_READY');
    await hosts.settle(hosts.host(4).removeGroup(1));
    await join(hosts, 4);
    await hosts.settle(group(hosts, 1).changeMembership({ learners: [4] }));
    expect(learners(hosts, 1)).toEqual([[4, 2]]);
  });

  it('a call that failed is repeated beside the same configuration: nobody can have been left out meanwhile', async () => {
    const hosts = await start(5, [1, 2, 3]);
    await join(hosts, 4);
    expect(await refusal(hosts, [4, 5])).toBe('MEMBER_NOT_READY');
    await hosts.settle(group(hosts, 1).changeMembership({ learners: [4] }));
    expect(learners(hosts, 1)).toEqual([[4, 1]]);
  });

  it('and not again after a restart, which forgets what the replica said', async () => {
    const hosts = await start(4, [1, 2, 3]);
    await join(hosts, 4);
    const added = new Outcome(group(hosts, 1).changeMembership({ learners: [4] }));
    await hosts.until(() => learners(hosts, 1).length === 1, 'it is named');
    // Before a byte of that reaches it.
    hosts.crash(4);
    await hosts.until(() => added.isSettled, 'the others commit it');
    await hosts.settle(group(hosts, 1).changeMembership({ remove: [4] }));
    await hosts.open(4);
    expect(hosts.host(4).recoveredGroupIds()).toEqual([1]);
    await hosts.settle(
      hosts.host(4).createGroup({ groupId: 1, stateMachine: new CountingMachine() }),
    );
    expect(group(hosts, 4).status().lastIndex).toBe(0);
    expect(await refusal(hosts, [4])).toBe('MEMBER_NOT_READY');
    await hosts.settle(hosts.host(4).removeGroup(1));
    await join(hosts, 4);
    await hosts.settle(group(hosts, 1).changeMembership({ learners: [4] }));
    expect(learners(hosts, 1)).toEqual([[4, 2]]);
    await write(hosts, 1, 3);
    await hosts.until(() => group(hosts, 4).status().appliedIndex > 3, 'it is filled');
  });
});

describe('the instance that a configuration names', () => {
  it('is held against the connection: another data directory under that node counts for nothing', async () => {
    const hosts = await start(4, [1, 2, 3]);
    await join(hosts, 4);
    await hosts.settle(group(hosts, 1).changeMembership({ voters: [4], remove: [2, 3] }));
    await write(hosts, 1);
    await hosts.close(4);
    // The disk is lost and the node begins anew under the same generation: a member of another instance.
    await hosts.close(1);
    await hosts.open(1);
    await hosts.createGroup(1, [1], [1, 2, 3]);
    await hosts.open(4, { create: true, directory: '/data/again' });
    await join(hosts, 4);
    await hosts.settle(group(hosts, 1).campaign());
    await hosts.runMs(30_000);
    expect(group(hosts, 1).isLeader).toBe(false);
    // Both were asked for their vote by nobody: neither is what the other's membership names.
    expect(group(hosts, 4).status()).toMatchObject({ lastIndex: 0, term: 0 });
  });
});
