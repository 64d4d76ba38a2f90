// Three hosts in one process, on the real world: real files, real sockets on loopback.

import { mkdtempSync, rmSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FlotillaError } from '@flotilla/io';
import { afterEach, beforeEach, describe, expect, it, onTestFailed } from 'vitest';
import { type ApplyBatch, Host, type RaftGroup, type StateMachine } from '../src/index.ts';

class LogMachine implements StateMachine {
  readonly commands: string[] = [];
  throwsOn: string | null = null;

  apply(batch: ApplyBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const command = Buffer.from(batch.payloadOf(i)).toString();
      if (command === this.throwsOn) throw new Error(`refused to apply ${command}`);
      this.commands.push(command);
      batch.respond(i, this.commands.length);
    }
  }
}

const members = [1, 2, 3];
let folder = '';
let addresses: string[] = [];
let hosts: (Host | undefined)[] = [];
const machines = new Map<string, LogMachine>();
let lines: string[] = [];

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function openHost(nodeId: number, groups: number, create = false): Promise<Host> {
  const host = await Host.open({
    nodeId,
    directory: join(folder, `${nodeId}`),
    create,
    clusterId: new Uint8Array(16).fill(1),
    listen: addresses[nodeId - 1] as string,
    peers: members
      .filter((id) => id !== nodeId)
      .map((id) => ({ nodeId: id, address: addresses[id - 1] as string, instance: 0 })),
    segmentBytes: 5 << 20,
    entryBytesMax: 128 << 10,
    // Long enough that no leader is lost to a busy machine; leaderOf() does not wait for it.
    electionMsMin: 2000,
    electionMsMax: 4000,
    heartbeatMs: 100,
    onInfo: (line) => lines.push(`${nodeId}: ${line}`),
  });
  hosts[nodeId - 1] = host;
  for (let groupId = 1; groupId <= groups; groupId++) {
    const stateMachine = new LogMachine();
    machines.set(`${nodeId}/${groupId}`, stateMachine);
    await host.createGroup({ groupId, members, stateMachine });
  }
  return host;
}

const open = (groups: number, create: boolean): Promise<Host[]> =>
  Promise.all(members.map((id) => openHost(id, groups, create)));
const machine = (nodeId: number, groupId: number): LogMachine =>
  machines.get(`${nodeId}/${groupId}`) as LogMachine;

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline)
      throw new Error(`never happened: ${what}\n${lines.join('\n')}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The handle of whoever leads the group, once somebody does; the first host is asked to campaign where it knows of none. */
async function leaderOf(groupId: number): Promise<{ nodeId: number; group: RaftGroup }> {
  const find = (): Host | undefined =>
    hosts.find((host) => host?.group(groupId)?.isLeader === true);
  let askAtMs = 0;
  await until(() => {
    if (find() !== undefined) return true;
    if (performance.now() > askAtMs) {
      askAtMs = performance.now() + 200;
      // Always the same one: another, which has not heard yet that this one was elected, could depose it.
      const seeker = hosts.find((host) => host !== undefined)?.group(groupId);
      if (seeker?.leader === 0) seeker.campaign({ preVote: true }).catch(() => {});
    }
    return false;
  }, `group ${groupId} has a leader`);
  const host = find() as Host;
  return { nodeId: host.nodeId, group: host.group(groupId) as RaftGroup };
}

/** Proposes at whoever leads until somebody takes it for certain. */
async function write(groupId: number, command: string): Promise<void> {
  for (;;) {
    const { group } = await leaderOf(groupId);
    try {
      await group.propose(Buffer.from(command));
      return;
    } catch (error) {
      if (!(error instanceof FlotillaError) || error.code !== 'NOT_LEADER') throw error;
    }
  }
}

beforeEach(async () => {
  onTestFailed(() => console.error(lines.join('\n')));
  folder = mkdtempSync(join(tmpdir(), 'flotilla-host-'));
  addresses = [];
  for (const _ of members) addresses.push(`127.0.0.1:${await freePort()}`);
  hosts = [];
  lines = [];
  machines.clear();
});

afterEach(async () => {
  await Promise.all(hosts.map((host) => host?.close() ?? Promise.resolve()));
  rmSync(folder, { recursive: true, force: true });
});

describe('three hosts', () => {
  it('replicate commands of many groups in order, and answer each with its result', async () => {
    await open(8, true);
    for (let groupId = 1; groupId <= 8; groupId++) {
      const { group } = await leaderOf(groupId);
      const writes = Array.from({ length: 50 }, (_, i) =>
        group.propose(Buffer.from(`${groupId}.${i}`)),
      );
      const results = await Promise.all(writes);
      expect(results.map(({ result }) => result)).toEqual(
        Array.from({ length: 50 }, (_, i) => i + 1),
      );
      const indexes = results.map(({ index }) => index);
      expect(indexes).toEqual(indexes.map((_, i) => (indexes[0] as number) + i));
    }
    const isEqual = (groupId: number): boolean =>
      members.every((nodeId) => machine(nodeId, groupId).commands.length === 50);
    for (let groupId = 1; groupId <= 8; groupId++) {
      await until(() => isEqual(groupId), `all replicas of group ${groupId} applied 50 commands`);
      const expected = Array.from({ length: 50 }, (_, i) => `${groupId}.${i}`);
      for (const nodeId of members) expect(machine(nodeId, groupId).commands).toEqual(expected);
    }
  });

  it('start again from their logs after a clean stop, and go on', async () => {
    await open(4, true);
    for (let groupId = 1; groupId <= 4; groupId++) await write(groupId, 'before');
    await Promise.all(hosts.map((host) => host?.close() ?? Promise.resolve()));
    machines.clear();
    await open(4, false);
    for (let groupId = 1; groupId <= 4; groupId++) {
      await write(groupId, 'after');
      await until(
        () => members.every((nodeId) => machine(nodeId, groupId).commands.length === 2),
        `group ${groupId} applied both commands everywhere`,
      );
      expect(machine(2, groupId).commands).toEqual(['before', 'after']);
    }
    expect(hosts[0]?.recovery.verdict).toBe('clean');
  });

  it('start again with create: true as well, and keep the identity that was drawn', async () => {
    await open(1, true);
    await write(1, 'before');
    const instances = hosts.map((host) => host?.instance);
    await Promise.all(hosts.map((host) => host?.close() ?? Promise.resolve()));
    machines.clear();
    await open(1, true);
    expect(hosts.map((host) => host?.instance)).toEqual(instances);
    expect(new Set(instances).size).toBe(3);
    await until(() => machine(1, 1).commands.length === 1, 'the command is there again');
  });

  it('go on without one of them, and bring it up to date when it returns', async () => {
    await open(3, true);
    for (let groupId = 1; groupId <= 3; groupId++) await write(groupId, 'one');
    const { nodeId: gone } = await leaderOf(1);
    await hosts[gone - 1]?.close();
    hosts[gone - 1] = undefined;
    for (let i = 0; i < 40; i++) {
      for (let groupId = 1; groupId <= 3; groupId++) await write(groupId, `while away ${i}`);
    }
    await openHost(gone, 3);
    for (let groupId = 1; groupId <= 3; groupId++) {
      await until(
        () => machine(gone, groupId).commands.length === 41,
        `group ${groupId} caught up`,
      );
      const { nodeId } = await leaderOf(groupId);
      expect(machine(gone, groupId).commands).toEqual(machine(nodeId, groupId).commands);
    }
  });

  it('carry entries of every size up to entryBytesMax, also across slabs and segments', async () => {
    await open(1, true);
    const { group } = await leaderOf(1);
    const sizes = [0, 1, 15, 16, 17, 4095, 4096, 65_535, 65_536, 100_000, 128 << 10];
    const writes: Promise<unknown>[] = [];
    for (let round = 0; round < 20; round++) {
      for (const size of sizes) writes.push(group.propose(Buffer.alloc(size, 65 + round)));
    }
    await Promise.all(writes);
    const expected = Array.from({ length: 20 }, (_, round) =>
      sizes.map((size) => String.fromCharCode(65 + round).repeat(size)),
    ).flat();
    for (const nodeId of members) {
      await until(
        () => machine(nodeId, 1).commands.length === expected.length,
        `host ${nodeId} applied all`,
      );
      expect(machine(nodeId, 1).commands.map((c) => c.length)).toEqual(
        expected.map((c) => c.length),
      );
      expect(machine(nodeId, 1).commands).toEqual(expected);
    }
    await expect(group.propose(Buffer.alloc((128 << 10) + 1))).rejects.toMatchObject({
      code: 'ENTRY_TOO_LARGE',
    });
  });

  it('resolve proposeMany once its last command was applied, with the range of its indexes', async () => {
    await open(1, true);
    const { nodeId, group } = await leaderOf(1);
    const commands = Array.from({ length: 5000 }, (_, i) => Buffer.from(`${i}`));
    const { firstIndex, lastIndex } = await group.proposeMany(commands);
    expect(lastIndex - firstIndex).toBe(4999);
    expect(machine(nodeId, 1).commands.slice(-5000)).toEqual(commands.map(String));
  });

  it('answer a read only on the leader, with an index at or above what was written before', async () => {
    await open(1, true);
    const { nodeId, group } = await leaderOf(1);
    const { index } = await group.propose(Buffer.from('x'));
    expect(await group.read()).toBeGreaterThanOrEqual(index);
    const follower = hosts.find((host) => host !== undefined && host.nodeId !== nodeId);
    await until(() => follower?.group(1)?.leader === nodeId, 'the follower knows the leader');
    await expect(follower?.group(1)?.read()).rejects.toMatchObject({
      code: 'NOT_LEADER',
      details: { leaderHint: nodeId },
    });
    await expect(follower?.group(1)?.propose(Buffer.from('y'))).rejects.toMatchObject({
      code: 'NOT_LEADER',
      retryable: true,
    });
  });

  it('settle every promise when the host of a leader closes: outcome unknown for what was under way', async () => {
    await open(1, true);
    const { nodeId, group } = await leaderOf(1);
    const writes = Array.from({ length: 500 }, (_, i) => group.propose(Buffer.from(`${i}`)));
    const settled = Promise.allSettled(writes);
    await hosts[nodeId - 1]?.close();
    const outcomes = new Set(
      (await settled).map((one) =>
        one.status === 'fulfilled' ? 'ok' : (one.reason as FlotillaError).code,
      ),
    );
    for (const outcome of outcomes) expect(['ok', 'OUTCOME_UNKNOWN', 'CLOSED']).toContain(outcome);
    await expect(group.propose(Buffer.from('late'))).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('stop only the replica whose state machine throws; the other groups and hosts go on', async () => {
    await open(2, true);
    const { nodeId } = await leaderOf(1);
    machine(nodeId, 1).throwsOn = 'poison';
    const { group } = await leaderOf(1);
    await expect(group.propose(Buffer.from('poison'))).rejects.toMatchObject({
      code: 'OUTCOME_UNKNOWN',
    });
    await expect(group.propose(Buffer.from('more'))).rejects.toMatchObject({ code: 'GROUP_FATAL' });
    expect(hosts[nodeId - 1]?.group(1)?.status().role).toBe('failed');
    await write(2, 'other group');
    await write(1, 'other hosts');
  });

  it('refuse calls over the byte caps with BUSY and take them again afterwards', async () => {
    await open(1, true);
    const { group } = await leaderOf(1);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 400 }, () => group.propose(Buffer.alloc(120 << 10))),
    );
    const codes = outcomes.map((one) =>
      one.status === 'fulfilled' ? 'ok' : (one.reason as FlotillaError).code,
    );
    expect(new Set(codes)).toEqual(new Set(['ok', 'BUSY']));
    await group.propose(Buffer.from('again'));
  });
});
