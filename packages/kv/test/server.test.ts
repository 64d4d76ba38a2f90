import { once } from 'node:events';
import * as net from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { splitAddress } from '@flotilla/sharding';
import { FakeCluster, ManualClock, settle } from '../../sharding/test/fake-cluster.ts';
import { type KvNode, openKv } from '../src/index.ts';
import { clusterConfig, encode } from './harness.ts';

let clock: ManualClock;
let fake: FakeCluster;
let node: KvNode;
const sockets: net.Socket[] = [];

beforeEach(async () => {
  clock = new ManualClock();
  fake = new FakeCluster(clock, [1, 2, 3]);
  node = await openKv({
    host: fake.host(1),
    cluster: clusterConfig(1),
    listen: '127.0.0.1:0',
    options: { limits: { clientsMax: 2 } },
  });
  await clock.advance(1_000);
  fake.setLeader(2, 1);
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await node.close();
});

async function dial(): Promise<net.Socket> {
  const at = splitAddress(node.address);
  const socket = net.connect({ host: at?.host ?? '', port: at?.port ?? 0 });
  sockets.push(socket);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** Reads until the other side has closed. */
async function readAll(socket: net.Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}

test('a client that ends its side after a pipeline still gets every reply', async () => {
  const socket = await dial();
  fake.park(2);
  socket.end(Buffer.concat([encode('SET', 'k', 'v'), encode('GET', 'k'), encode('PING')]));
  const reply = readAll(socket);
  while (fake.state(2).parked.length === 0) await new Promise((go) => setImmediate(go));
  fake.release(2);
  expect(await reply).toBe('+OK\r\n$1\r\nv\r\n+PONG\r\n');
});

test('large values travel both ways', async () => {
  const socket = await dial();
  const value = 'x'.repeat(5_000_000);
  socket.write(encode('SET', 'k', value));
  socket.end(encode('GET', 'k'));
  expect(await readAll(socket)).toBe(`+OK\r\n$${value.length}\r\n${value}\r\n`);
});

test('the connection over the limit is told so and closed, and there is room after one left', async () => {
  const one = await dial();
  await dial();
  const third = await dial();
  expect(await readAll(third)).toBe('-ERR max number of clients reached\r\n');
  one.destroy();
  while (node.counters()['connectionsOpen'] !== 1) await new Promise((go) => setImmediate(go));
  const fourth = await dial();
  fourth.end('PING\r\n');
  expect(await readAll(fourth)).toBe('+PONG\r\n');
  expect(node.counters()['connectionsRefused']).toBe(1);
});

test('a malformed stream is answered and closed', async () => {
  const socket = await dial();
  socket.write('*1\r\n$x\r\n');
  expect(await readAll(socket)).toBe('-ERR Protocol error: invalid bulk length\r\n');
});

test('QUIT closes the connection', async () => {
  const socket = await dial();
  socket.write('QUIT\r\n');
  expect(await readAll(socket)).toBe('+OK\r\n');
});

test('closing the node drops its clients', async () => {
  const socket = await dial();
  await settle();
  const rest = readAll(socket);
  await node.close();
  expect(await rest).toBe('');
});

test('an address that is taken is refused with its reason', async () => {
  const opening = openKv({
    host: fake.host(2),
    cluster: clusterConfig(1),
    listen: node.address,
  });
  await expect(opening).rejects.toMatchObject({
    code: 'IO_REFUSED',
    details: { code: 'EADDRINUSE' },
  });
});
