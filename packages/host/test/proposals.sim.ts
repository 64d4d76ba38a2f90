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
});
