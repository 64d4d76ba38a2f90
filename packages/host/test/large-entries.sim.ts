// Large entries: what does not fit into one frame beside others, and what an option that was lowered no longer allows.

import { describe, expect, it } from 'vitest';
import { type CountingMachine, Outcome, SimHosts } from './sim-hosts.ts';

const kib = 1 << 10;
const mib = 1 << 20;
/** Memory of the log is taken in units of this, and no record crosses from one to the next. */
const slabBytes = mib;

describe('large entries', () => {
  it('a turn whose records span more than a frame may hold reaches every follower, and all its commands settle', async () => {
    const hosts = new SimHosts(3);
    await hosts.openAll({ cacheBytes: 16 * mib });
    const machines: CountingMachine[][] = [];
    for (const groupId of [1, 2, 3]) {
      machines.push(await hosts.createGroup(groupId));
      await hosts.lead(1, groupId);
    }
    await hosts.runMs(500);
    const leader = hosts.host(1);
    const propose = (groupId: number, bytes: number): Outcome<unknown> =>
      new Outcome(leader.group(groupId)?.propose(new Uint8Array(bytes)) as Promise<unknown>);
    const calls: Outcome<unknown>[] = [];
    const written = (): number => leader.metrics().walBatchBytes as number;
    for (const beforeEndBytes of [64 * kib, 100 * kib]) {
      // A filler brings the log to where the first 60 KiB end one slab and the second 60 KiB begin the next; the large
      // entry then begins a third one. At 64 KiB the first two are too few to leave by themselves. (The file begins with
      // a page of its own; a batch and a record have headers.)
      const inSlab = (4 * kib + written()) % slabBytes;
      const fillerBytes = 2 * slabBytes - beforeEndBytes - inSlab - 4 * kib;
      calls.push(propose(1, fillerBytes % slabBytes));
      await hosts.until(() => calls.at(-1)?.isSettled === true, 'the filler is written');
      await hosts.runMs(50);
      const before = written();
      calls.push(propose(1, 60 * kib), propose(3, 60 * kib), propose(2, 8 * mib));
      await hosts.until(() => calls.every((call) => call.isSettled), 'the turn is answered');
      expect(written() - before, 'bytes of the turn').toBeGreaterThan(9 * mib);
    }
    expect(calls.map((call) => call.state)).toEqual(calls.map(() => 'done'));
    await hosts.until(
      () => machines.every((trio, i) => trio.every(({ commands }) => commands === [4, 2, 2][i])),
      'every replica applies every command',
    );
    for (const id of hosts.ids) {
      expect(hosts.host(id).metrics()).toMatchObject({ protocolViolations: 0, groupFailures: 0 });
    }
  });

  /** Hosts 1 and 2 write an entry of this length, close, and come back with another entryBytesMax together with host 3. */
  async function lowered(was: number, is: number, entryBytes: number): Promise<SimHosts> {
    const hosts = new SimHosts(3);
    for (const id of [1, 2]) await hosts.open(id, { entryBytesMax: was });
    await hosts.createGroup(1, [1, 2]);
    await hosts.lead(1, 1);
    const group = hosts.host(1).group(1);
    await hosts.settle(group?.propose(new Uint8Array(entryBytes)) as Promise<unknown>);
    for (const id of [1, 2]) await hosts.close(id);
    await hosts.openAll({ entryBytesMax: is });
    return hosts;
  }

  it('a follower that was away catches up on an entry that is above the entryBytesMax of today', async () => {
    const hosts = await lowered(8 * mib, mib, 4 * mib);
    const machines = await hosts.createGroup(1);
    await hosts.lead(1, 1);
    await hosts.until(
      () => machines.every(({ commands }) => commands === 1),
      'every replica applies the entry',
    );
    expect(hosts.host(3).metrics().protocolViolations).toBe(0);
    const group = hosts.host(1).group(1);
    await expect(
      hosts.settle(group?.propose(new Uint8Array(mib + 1)) as Promise<unknown>),
    ).rejects.toMatchObject({ code: 'ENTRY_TOO_LARGE' });
  });

  it('a group with an entry that no frame of today can hold is named to the operator, and its leader’s host serves the others', async () => {
    const hosts = await lowered(32 * mib, 8 * mib, 20 * mib);
    const behind = await hosts.createGroup(1);
    const other = await hosts.createGroup(2);
    await hosts.lead(1, 1);
    await hosts.lead(1, 2);
    for (let i = 1; i <= 20; i++) {
      const written = hosts.host(1).group(2)?.propose(new Uint8Array(100)) as Promise<unknown>;
      await hosts.settle(written, 1000);
      await hosts.runMs(250);
    }
    expect(other.map(({ commands }) => commands)).toEqual([20, 20, 20]);
    expect(behind.map(({ commands }) => commands)).toEqual([1, 1, 0]);
    expect(hosts.host(1).group(1)?.isLeader).toBe(true);
    const told = hosts.lines.filter((line) => line.includes('entryBytesMax'));
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/^1: group 1 has an entry of \d+ bytes that host 3 /);
    for (const id of hosts.ids) {
      expect(hosts.host(id).metrics()).toMatchObject({ protocolViolations: 0, groupFailures: 0 });
    }
  });
});
