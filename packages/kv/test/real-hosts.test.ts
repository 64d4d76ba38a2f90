// Three real hosts in one process (real files, real sockets) under the key-value database: what the fake host of the other
// tests cannot show.

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Host } from '@flotilla/host';
import { splitAddress } from '@flotilla/sharding';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type KvCluster, type KvNode, openKv } from '../src/index.ts';
import { encode } from './harness.ts';

const ids = [1, 2, 3];
let folder = '';
let cluster: KvCluster;
const running = new Map<number, { host: Host; node: KvNode }>();

async function freePort(): Promise<number> {
  const server = net.createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function start(id: number, create: boolean): Promise<void> {
  const self = cluster.hosts[id - 1];
  const others = cluster.hosts.filter((host) => host.id !== id);
  const host = await Host.open({
    nodeId: id,
    directory: join(folder, String(id)),
    create,
    clusterId: new Uint8Array(16).fill(7),
    listen: self?.peer ?? '',
    peers: others.map((other) => ({ nodeId: other.id, address: other.peer, instance: 0 })),
    // Long enough that no leader is lost to a busy machine.
    electionMsMin: 1500,
    electionMsMax: 3000,
    heartbeatMs: 100,
    segmentBytes: 16 << 20,
    entryBytesMax: 1 << 20,
  });
  const options = { followAfterMs: 500, tickMs: 100, holdMs: 5_000 };
  const node = await openKv({ host, cluster, listen: self?.resp ?? '', options });
  running.set(id, { host, node });
}

async function stop(id: number): Promise<void> {
  const one = running.get(id);
  running.delete(id);
  await one?.node.close();
  await one?.host.close();
}

/** One command on a connection of its own; the reply's bytes. */
async function callOnce(address: string, ...args: string[]): Promise<string> {
  const at = splitAddress(address);
  const socket = net.connect({ host: at?.host ?? '', port: at?.port ?? 0 });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.end(encode(...args));
  // A refused connection closes, too: it has no reply.
  await new Promise((closed) => socket.on('close', closed));
  return Buffer.concat(chunks).toString('latin1');
}

/** As a cluster client: follows MOVED, and tries again where the command surely did not happen. */
async function call(...args: string[]): Promise<string> {
  const [first] = running.values();
  let address = first?.node.address ?? '';
  const deadlineMs = performance.now() + 20_000;
  for (;;) {
    const reply = await callOnce(address, ...args);
    if (!/^(-MOVED|-TRYAGAIN|-CLUSTERDOWN|$)/.test(reply)) return reply;
    if (performance.now() > deadlineMs)
      throw new Error(`never served: ${args.join(' ')}: ${reply}`);
    address = reply.startsWith('-MOVED') ? (reply.trim().split(' ')[2] as string) : address;
    if (reply === '') address = running.values().next().value?.node.address ?? '';
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`never happened: ${what}`);
    await new Promise((go) => setImmediate(go));
  }
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'flotilla-kv-'));
  const hosts: KvCluster['hosts'][number][] = [];
  for (const id of ids) {
    const [resp, peer] = [await freePort(), await freePort()];
    hosts.push({ id, resp: `127.0.0.1:${resp}`, peer: `127.0.0.1:${peer}` });
  }
  cluster = { clusterId: 'real', hosts, groups: 6 };
  await Promise.all(ids.map((id) => start(id, true)));
});
afterEach(async () => {
  await Promise.all([...running.keys()].map(stop));
  rmSync(folder, { recursive: true, force: true });
});

test('acknowledged writes survive the loss of a host, its return, and a restart of all', async () => {
  await Promise.all([...running.values()].map(({ node }) => node.whenReady()));
  for (let i = 0; i < 50; i++) expect(await call('SET', `key${i}`, `v${i}`)).toBe('+OK\r\n');
  const leaders = running
    .get(2)
    ?.node.groupsStatus()
    .map((status) => status.leader);
  expect(new Set(leaders).size).toBeGreaterThan(1);

  await stop(1);
  for (let i = 0; i < 50; i++) expect(await call('INCR', `n${i}`)).toBe(':1\r\n');
  const node = running.get(2)?.node as KvNode;
  await until(
    () => node.keeper.machine.map?.groups.every((group) => group.preferredLeader !== 1) ?? false,
    'the map follows the leaders',
  );
  await start(1, false);
  await running.get(1)?.node.whenReady();

  await Promise.all(ids.map(stop));
  await Promise.all(ids.map((id) => start(id, false)));
  for (let i = 0; i < 50; i++) {
    const value = `v${i}`;
    expect(await call('GET', `key${i}`)).toBe(`$${value.length}\r\n${value}\r\n`);
    expect(await call('GET', `n${i}`)).toBe('$1\r\n1\r\n');
  }
  const hashes = (): string[] =>
    [...running.values()].map(({ node: each }) =>
      each
        .groupsStatus()
        .map((status) => status.stateHash)
        .join(),
    );
  await until(() => new Set(hashes()).size === 1, 'all replicas have the same state');
});
