// Handing leadership over, on simulated hosts.

import { describe, expect, it } from 'vitest';
import { Outcome, SimHosts } from './sim-hosts.ts';

async function three(): Promise<SimHosts> {
  const hosts = new SimHosts(3);
  await hosts.openAll();
  await hosts.createGroup(1);
  await hosts.lead(1, 1);
  await hosts.runMs(500);
  return hosts;
}

function transfer(hosts: SimHosts, from: number, to: number): Promise<void> {
  const group = hosts.host(from).group(1);
  return group?.transferLeadership(to) ?? Promise.reject(new Error('no group'));
}

describe('transferLeadership', () => {
  it('makes the target lead at once, with every write that was acknowledged, and takes writes there', async () => {
    const hosts = await three();
    await hosts.settle(hosts.host(1).group(1)?.propose(new Uint8Array(8)) as Promise<unknown>);
    const fromMs = hosts.nowMs;
    await hosts.settle(transfer(hosts, 1, 3));
    await hosts.until(() => hosts.host(3).group(1)?.isLeader === true, 'host 3 leads');
    // Far less than an election time-out: nobody waited for silence, and the loyal third one voted.
    expect(hosts.nowMs - fromMs).toBeLessThan(1000);
    const written = await hosts.settle(
      hosts.host(3).group(1)?.propose(new Uint8Array(8)) as Promise<unknown>,
    );
    expect(written).toMatchObject({ term: hosts.host(3).group(1)?.term });
    expect(hosts.host(1).group(1)?.isLeader).toBe(false);
  });

  it('refuses writes with the target as the hint while it lasts, and one transfer beside another', async () => {
    const hosts = await three();
    hosts.machine(3).pause();
    const handing = new Outcome(transfer(hosts, 1, 3));
    await hosts.runMs(5);
    const write = hosts.host(1).group(1)?.propose(new Uint8Array(8)) as Promise<unknown>;
    await expect(hosts.settle(write)).rejects.toMatchObject({
      code: 'NOT_LEADER',
      details: { leaderHint: 3 },
    });
    await expect(hosts.settle(transfer(hosts, 1, 2))).rejects.toMatchObject({ code: 'BUSY' });
    // Nobody campaigns on the paused host: after an election time-out the old leader leads on.
    await hosts.until(() => handing.isSettled, 'the transfer is given up', 20_000);
    expect(handing.state).toBe('TIMED_OUT');
    expect(hosts.host(1).group(1)?.isLeader).toBe(true);
    await hosts.settle(hosts.host(1).group(1)?.propose(new Uint8Array(8)) as Promise<unknown>);
  });

  it('is refused by who does not lead, and to who cannot', async () => {
    const hosts = await three();
    await expect(hosts.settle(transfer(hosts, 2, 3))).rejects.toMatchObject({ code: 'NOT_LEADER' });
    for (const target of [1, 9]) {
      await expect(hosts.settle(transfer(hosts, 1, target))).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
      });
    }
    await expect(transfer(hosts, 1, 0)).rejects.toThrow(RangeError);
    expect(hosts.host(1).group(1)?.isLeader).toBe(true);
  });
});
