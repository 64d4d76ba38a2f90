// A host whose disk fails, stalls or is full: what it refuses, how much it holds, and that its calls settle.

import { describe, expect, it } from 'vitest';
import { CountingMachine, Outcome, SimHosts } from './sim-hosts.ts';

const mib = 1 << 20;

describe('a host whose disk', () => {
  it('failed refuses createGroup() with WAL_POISONED, for a group of its log and for a new one', async () => {
    const hosts = new SimHosts(1);
    await hosts.open(1);
    for (const groupId of [1, 2]) await hosts.createGroup(groupId);
    await hosts.close(1);
    const poisoned: string[] = [];
    const host = await hosts.open(1, { onPoisoned: ({ code }) => poisoned.push(code) });
    await hosts.createGroup(1);
    await hosts.lead(1, 1);
    const fault = { op: 'datasync', times: 1e9, effect: { kind: 'error', code: 'EIO' } } as const;
    hosts.machine(1).disk.plan(fault);
    const write = new Outcome(host.group(1)?.propose(new Uint8Array(10)) as Promise<unknown>);
    await hosts.until(() => write.isSettled, 'the write is answered');
    expect(write.state).toBe('OUTCOME_UNKNOWN');
    expect(poisoned).toEqual(['WAL_POISONED']);
    expect(host.group(1)?.failure?.code).toBe('WAL_POISONED');
    for (const groupId of [2, 3]) {
      const created = host.createGroup({
        groupId,
        members: [1],
        stateMachine: new CountingMachine(),
      });
      await expect(hosts.settle(created, 100)).rejects.toMatchObject({ code: 'WAL_POISONED' });
      expect(host.group(groupId)).toBeUndefined();
    }
  });

  it('stalls holds no more than two write caps and a frame of what its leaders send, and catches up afterwards', async () => {
    // Two hosts keep the simulation small; nothing commits meanwhile, so the leader must be allowed to wait for all of it.
    const hosts = new SimHosts(2);
    const frameBytesMax = 9 * mib;
    const heldBytesMax = 2 * 64 * mib + frameBytesMax;
    await hosts.openAll({
      cacheBytes: mib,
      pendingBytesMax: 256 * mib,
      groupPendingBytesMax: 16 * mib,
    });
    const groupIds = Array.from({ length: 12 }, (_, i) => i + 1);
    const followers: CountingMachine[] = [];
    for (const groupId of groupIds) {
      followers.push((await hosts.createGroup(groupId))[1] as CountingMachine);
      await hosts.lead(1, groupId);
    }
    await hosts.runMs(500);
    hosts.machine(2).disk.stall(4_000_000);
    const held = (): number => hosts.host(2).metrics().walPendingBytes as number;
    // With its headers it fills two slabs of the log.
    const command = new Uint8Array(2 * mib - 4096);
    const writes: Outcome<unknown>[] = [];
    let heldBytes = 0;
    for (let round = 0; round < 6; round++) {
      for (const groupId of groupIds) {
        const write = hosts.host(1).group(groupId)?.propose(command) as Promise<unknown>;
        writes.push(new Outcome(write));
      }
      await hosts.runMs(500);
      heldBytes = Math.max(heldBytes, held());
    }
    expect(writes.length * command.length).toBeGreaterThan(heldBytesMax);
    expect(heldBytes).toBeGreaterThan(2 * 64 * mib);
    expect(heldBytes).toBeLessThanOrEqual(heldBytesMax);
    await hosts.until(
      () => held() === 0 && followers.every(({ commands }) => commands === 6),
      'the follower has applied everything and holds nothing',
      120_000,
    );
    expect(writes.map(({ state }) => state)).toEqual(writes.map(() => 'done'));
    expect(hosts.host(2).metrics().protocolViolations).toBe(0);
  });

  it('is full settles close() with WAL_FULL, and shows what it acknowledged when it is opened again', async () => {
    const hosts = new SimHosts(1);
    const host = await hosts.open(1);
    await hosts.createGroup(1);
    await hosts.lead(1, 1);
    await hosts.settle(host.group(1)?.propose(new Uint8Array(10)) as Promise<unknown>);
    await hosts.runMs(500);
    const { disk } = hosts.machine(1);
    disk.plan({ op: 'writev', times: 1e9, effect: { kind: 'error', code: 'ENOSPC' } });
    const write = new Outcome(host.group(1)?.propose(new Uint8Array(10)) as Promise<unknown>);
    await hosts.runMs(1000);
    expect(write.state).toBe('pending');
    await expect(hosts.settle(host.close(), 2000)).rejects.toMatchObject({ code: 'WAL_FULL' });
    expect(write.state).toBe('OUTCOME_UNKNOWN');
    hosts.machine(1).kill();
    disk.clearFaults();
    await hosts.open(1);
    const machines = await hosts.createGroup(1);
    await hosts.lead(1, 1);
    await hosts.until(() => machines[0]?.commands === 1, 'the first write is applied again');
  });

  it('reads back what a follower has missed holds no more of it in memory than its cap, and the follower gets all of it', async () => {
    const hosts = new SimHosts(3);
    await hosts.openAll({ cacheBytes: mib });
    const groupIds = Array.from({ length: 12 }, (_, i) => i + 1);
    for (const groupId of groupIds) {
      await hosts.createGroup(groupId);
      await hosts.lead(1, groupId);
    }
    await hosts.close(3);
    const rounds = 8;
    for (let round = 0; round < rounds; round++) {
      const writes = groupIds.map((groupId) =>
        hosts
          .host(1)
          .group(groupId)
          ?.propose(new Uint8Array(mib / 2)),
      );
      for (const write of writes) await hosts.settle(write as Promise<unknown>, 60_000);
    }
    await hosts.open(3, { cacheBytes: mib });
    // Reads take so long that all that may be under way at once is.
    hosts.machine(1).disk.slowness = 300;
    const machines: CountingMachine[] = [];
    for (const groupId of groupIds) {
      const [machine] = await hosts.createGroup(groupId, [3]);
      machines.push(machine as CountingMachine);
    }
    let most = 0;
    await hosts.until(
      () => {
        most = Math.max(most, hosts.host(1).metrics().catchUpBytes as number);
        return machines.every(({ commands }) => commands === rounds);
      },
      'host 3 has applied everything',
      120_000,
    );
    expect(most).toBeGreaterThan(8 * mib);
    expect(most).toBeLessThanOrEqual((16 + 1) * mib);
    expect(hosts.host(1).metrics().catchUpBytes).toBe(0);
  });
});
