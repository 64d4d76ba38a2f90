// Reads by every way that a caller may name, on simulated hosts: what they wait for, and that none of them is stale.

import { describe, expect, it } from 'vitest';
import type { RaftGroup, ReadConsistency } from '../src/index.ts';
import { CompletionBatch, statusOf } from '../src/port.ts';
import { ReadDesk } from '../src/read-desk.ts';
import { noReads, type Replica } from '../src/replica.ts';
import { type CountingMachine, Outcome, SimHosts } from './sim-hosts.ts';

const bytes = new Uint8Array(8);

function group(hosts: SimHosts, id: number): RaftGroup {
  const found = hosts.host(id).group(1);
  if (found === undefined) throw new Error(`host ${id} has no group 1`);
  return found;
}

interface Cluster {
  readonly hosts: SimHosts;
  readonly machines: readonly CountingMachine[];
}

/** Three hosts, host 1 leads, and one write has been applied; with leases where a length is given. */
async function start(leaseMs = 0): Promise<Cluster> {
  const hosts = new SimHosts(3);
  await hosts.openAll({ electionMsMin: 500, electionMsMax: 1000, heartbeatMs: 50 });
  const machines = await hosts.createGroup(1);
  await hosts.lead(1, 1);
  await write(hosts, 1);
  if (leaseMs > 0) await hosts.settle(group(hosts, 1).changeMembership({ leaseMs }));
  await hosts.runMs(400);
  return { hosts, machines };
}

async function write(hosts: SimHosts, id: number): Promise<number> {
  const { index } = await hosts.settle(group(hosts, id).propose(bytes));
  return index;
}

const read = (hosts: SimHosts, id: number, consistency: ReadConsistency): Promise<number> =>
  group(hosts, id).read({ consistency });

/** Cuts host `id` off from the others. */
function isolate(hosts: SimHosts, id: number): void {
  const others = hosts.ids.filter((other) => other !== id).map((other) => `n${other}`);
  hosts.world.network.partition([[`n${id}`], others]);
}

describe('a follower read', () => {
  it('is answered on every member, after what was written before it has been applied there', async () => {
    const { hosts, machines } = await start();
    for (const id of [1, 2, 3]) {
      const written = await write(hosts, 1);
      const before = machines[0]?.commands;
      const index = await hosts.settle(read(hosts, id, 'follower'));
      expect(index).toBeGreaterThanOrEqual(written);
      expect(machines[id - 1]?.commands).toBe(before);
    }
  });

  it('never answers without a leader: it is refused within its patience, also on a learner that never campaigns', async () => {
    const { hosts } = await start();
    await hosts.settle(group(hosts, 1).changeMembership({ learners: [3] }));
    await hosts.runMs(300);
    isolate(hosts, 3);
    const asked = new Outcome(read(hosts, 3, 'follower'));
    await hosts.runMs(4000);
    expect(asked.state).toBe('pending');
    await hosts.until(() => asked.isSettled, 'it is given up');
    expect(asked.state).toBe('NOT_LEADER');
  });

  it('is not answered by a deposed leader that believes in itself: writes elsewhere are never missed', async () => {
    const { hosts, machines } = await start();
    isolate(hosts, 1);
    const stale = ['linearizable', 'lease', 'follower'] as const;
    await hosts.until(() => [2, 3].some((id) => group(hosts, id).isLeader), 'another one leads');
    const leader = [2, 3].find((id) => group(hosts, id).isLeader) as number;
    await write(hosts, leader);
    const asked = stale.map((consistency) => new Outcome(read(hosts, 1, consistency)));
    await hosts.runMs(10_000);
    expect(asked.map(({ state }) => state)).toEqual(stale.map(() => 'NOT_LEADER'));
    expect(machines[0]?.commands).toBe(1);
    // By name only: what this replica has, however old.
    await expect(read(hosts, 1, 'stale')).resolves.toBeGreaterThan(0);
  });
});

describe('a read that a follower was given an index for', () => {
  it('is refused within its patience where that index never comes: the replica may have been left out since', async () => {
    const { world } = new SimHosts(1);
    const { clock } = world.host('n1').start();
    const completions = new CompletionBatch();
    const desk = new ReadDesk(completions, clock, () => {});
    const core = { role: 'follower', leader: 2 };
    const replica = {
      ...{ core, appliedIndex: 3, reads: [], readsConfirmed: noReads, readsArrived: [7] },
      ...{ leaseReads: null, followerReads: null },
    } as unknown as Replica;
    desk.join(replica, 1);
    desk.confirm(replica, 1, 9);
    expect([completions.count, replica.readsConfirmed.length]).toEqual([0, 1]);
    await world.kernel.runAsync(null, { untilUs: world.kernel.nowUs + 6_000_000 });
    expect([completions.count, completions.tickets[0]]).toEqual([1, 7]);
    expect(completions.statuses[0]).toBe(statusOf('NOT_LEADER'));
    expect(replica.readsConfirmed).toEqual([]);
  });
});

describe('a lease read', () => {
  const roundsOf = (hosts: SimHosts): number => hosts.host(1).metrics()['readRounds'] as number;

  it('asks nobody while the lease is good, and a quorum where the group has no leases', async () => {
    const { hosts } = await start(500);
    const before = roundsOf(hosts);
    await hosts.settle(read(hosts, 1, 'lease'));
    expect(roundsOf(hosts)).toBe(before);
    await hosts.settle(read(hosts, 1, 'linearizable'));
    expect(roundsOf(hosts)).toBe(before + 1);
    await hosts.settle(group(hosts, 1).changeMembership({ leaseMs: 0 }));
    await hosts.settle(read(hosts, 1, 'lease'));
    expect(roundsOf(hosts)).toBe(before + 2);
  });

  it('is answered by a leader that is cut off only as long as nobody else can lead', async () => {
    const { hosts } = await start(500);
    isolate(hosts, 1);
    let answeredMs = 0;
    const { nowMs } = hosts;
    while (!group(hosts, 2).isLeader && !group(hosts, 3).isLeader) {
      const asked = new Outcome(read(hosts, 1, 'lease'));
      await hosts.runMs(1);
      if (asked.state === 'done') answeredMs = hosts.nowMs - nowMs;
      expect(hosts.nowMs - nowMs).toBeLessThan(20_000);
    }
    // At most the lease less its margin after the last question left.
    expect(answeredMs).toBeLessThanOrEqual(451);
    const late = new Outcome(read(hosts, 1, 'lease'));
    await hosts.runMs(3000);
    expect(late.state).toBe('NOT_LEADER');
  });

  it('asks a quorum again once wall time has run ahead of the monotonic clock, until questions sent since are answered', async () => {
    const { hosts } = await start(500);
    hosts.machine(1).clock.jumpWall(60_000);
    const before = roundsOf(hosts);
    await hosts.settle(read(hosts, 1, 'lease'));
    expect(roundsOf(hosts)).toBe(before + 1);
    expect(hosts.lines.some((line) => line.includes('wall time ran ahead'))).toBe(true);
    await hosts.runMs(300);
    await hosts.settle(read(hosts, 1, 'lease'));
    expect(roundsOf(hosts)).toBe(before + 1);
  });

  it('is not answered by the lease from the start of a transfer to the end of the term', async () => {
    const { hosts } = await start(500);
    hosts.machine(3).pause();
    const handing = new Outcome(group(hosts, 1).transferLeadership(3));
    await hosts.runMs(5);
    const before = roundsOf(hosts);
    const asked = new Outcome(read(hosts, 1, 'lease'));
    await hosts.until(() => asked.isSettled, 'it is answered');
    expect([asked.state, roundsOf(hosts)]).toEqual(['done', before + 1]);
    await hosts.until(() => handing.isSettled, 'the transfer is given up', 20_000);
    await hosts.settle(read(hosts, 1, 'lease'));
    expect(roundsOf(hosts)).toBe(before + 2);
  });
});

describe('a way to read that there is not', () => {
  it('is refused as misuse', async () => {
    const { hosts } = await start();
    await expect(read(hosts, 1, 'fresh' as ReadConsistency)).rejects.toThrow(RangeError);
  });
});
