// What callers of a proposal are told in the moments that decide it: the turn in which its bytes became durable, and the
// turn between two parts of a proposeMany.

import { describe, expect, it } from 'vitest';
import { Outcome, SimHosts } from './sim-hosts.ts';

describe('the answer to a proposal', () => {
  it('a write that became durable together with other turns is answered as soon as it is durable', async () => {
    const hosts = new SimHosts(1);
    const host = await hosts.open(1, {}, [1, 2, 3]);
    for (const groupId of [1, 2]) {
      await hosts.createGroup(groupId, [1], [1]);
      await hosts.lead(1, groupId);
    }
    // Its other members do not exist: a campaign for it makes a turn that has something to persist, and no more.
    await hosts.createGroup(3, [1], [1, 2, 3]);
    await hosts.runMs(500);
    const write = (groupId: number): Outcome<unknown> =>
      new Outcome(host.group(groupId)?.propose(new Uint8Array(8)) as Promise<unknown>);
    const { walBatches } = host.metrics();
    hosts.machine(1).disk.slowness = 100;
    const first = write(1);
    await hosts.runMs(0.3);
    // While the first batch is written two more turns end, and the second batch takes both.
    await hosts.settle(host.group(3)?.campaign({ preVote: false }) as Promise<void>);
    const second = write(2);
    const { turns } = host.metrics();
    await hosts.until(() => (host.metrics().turns as number) > (turns as number), 'a turn');
    expect([first.state, second.state, host.metrics().walBatches]).toEqual([
      'pending',
      'pending',
      walBatches,
    ]);
    await hosts.until(() => host.metrics().walPendingBytes === 0, 'everything laid is durable');
    expect(host.metrics().walBatches).toBe((walBatches as number) + 2);
    await hosts.until(() => first.isSettled && second.isSettled, 'both are answered', 5);
    expect([first.state, second.state]).toEqual(['done', 'done']);
  });

  it('a proposeMany that a lost leadership cut in two is told OUTCOME_UNKNOWN, for its first part may be committed', async () => {
    const hosts = new SimHosts(3);
    await hosts.openAll();
    const machines = await hosts.createGroup(1);
    await hosts.lead(1, 1);
    await hosts.runMs(500);
    const group = hosts.host(1).group(1);
    const { lastIndex } = group?.status() ?? { lastIndex: 0 };
    const commands = Array.from({ length: 60 }, () => new Uint8Array(30 << 10));
    const many = new Outcome(group?.proposeMany(commands) as Promise<unknown>);
    await hosts.until(
      () => (group?.status().lastIndex ?? 0) > lastIndex,
      'the first part is in the log',
    );
    hosts.machine(1).pause();
    await hosts.until(
      () => [2, 3].some((id) => hosts.host(id).group(1)?.isLeader === true),
      'another host leads',
      60_000,
    );
    await hosts.runMs(500);
    const applied = machines.map((machine) => machine.commands);
    expect(applied[1]).toBeGreaterThan(0);
    expect(applied[1]).toBeLessThan(60);
    expect(applied[2]).toBe(applied[1]);
    hosts.machine(1).resume();
    await hosts.until(() => many.isSettled, 'it is answered');
    expect(many.state).toBe('OUTCOME_UNKNOWN');
    await hosts.until(() => machines[0]?.commands === applied[1], 'host 1 follows');
    expect(hosts.host(1).group(1)?.isLeader).toBe(false);
  });

  it('a write that is committed when leadership is lost is answered with its result, and only the others are unknown', async () => {
    const hosts = new SimHosts(3);
    await hosts.openAll({ cacheBytes: 1 << 20 });
    const machines = await hosts.createGroup(1);
    await hosts.lead(1, 1);
    await hosts.runMs(500);
    const group = hosts.host(1).group(1);
    const write = (): Outcome<{ readonly result: unknown }> =>
      new Outcome(
        group?.propose(new Uint8Array(512 << 10)) as Promise<{ readonly result: unknown }>,
      );
    // More than the leader keeps in memory. The others have it, but cannot say so before their disks go on.
    for (const id of [2, 3]) hosts.machine(id).disk.stall(1_000_000);
    const committed = Array.from({ length: 12 }, write);
    await hosts.until(() => hosts.host(1).metrics().walPendingBytes === 0, 'all is durable on 1');
    await hosts.runMs(200);
    // Now the leader hears that all of it is committed, and has to read it back from a disk that stands still.
    const commitIndex = group?.status().lastIndex as number;
    hosts.machine(1).disk.stall(6_000_000);
    await hosts.until(() => group?.status().commitIndex === commitIndex, 'all is committed');
    expect(group?.status().appliedIndex).toBeLessThan(commitIndex);
    for (const id of [2, 3]) hosts.machine(id).pause();
    const uncommitted = Array.from({ length: 3 }, write);
    await hosts.until(() => group?.status().lastIndex === commitIndex + 3, 'three more are laid');
    for (const id of [2, 3]) hosts.machine(id).resume();
    const campaign = hosts.host(2).group(1)?.campaign({ preVote: false });
    await hosts.settle(campaign as Promise<void>);
    await hosts.until(() => group?.isLeader === false, 'host 1 does not lead any more');
    expect(group?.status().appliedIndex).toBeLessThan(commitIndex);
    await hosts.until(() => uncommitted.every(({ isSettled }) => isSettled), 'three are answered');
    await hosts.until(() => committed.every(({ isSettled }) => isSettled), 'twelve are answered');
    expect(committed.map(({ state, value }) => [state, value?.result])).toEqual(
      committed.map((_, i) => ['done', i + 1]),
    );
    for (const { state } of uncommitted) expect(['done', 'OUTCOME_UNKNOWN']).toContain(state);
    expect(machines[0]?.commands).toBeGreaterThanOrEqual(12);
  });
});
