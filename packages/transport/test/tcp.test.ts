// The same transport over real sockets of this machine: what the world of memory leaves out is libuv and TCP.

import { type Conn, createNodeWorld, type FlotillaError } from '@flotilla/io';
import { frameKinds } from '@flotilla/codec';
import { afterEach, describe, expect, it } from 'vitest';
import { type Host, type HostOptions, openHost } from './hosts.ts';
import { helloFrame } from './memory-hosts.ts';

const world = createNodeWorld();
const mib = 2 ** 20;
const opened: Host[] = [];
const dialled: Conn[] = [];

/** Waits for a condition; the deadline is for a machine that is busy with everything else. */
function until(what: string, condition: () => boolean): Promise<void> {
  const endMs = world.clock.monotonicMs() + 20_000;
  return new Promise((resolve, reject) => {
    const look = (): void => {
      if (condition()) resolve();
      else if (world.clock.monotonicMs() > endMs) reject(new Error(`never came true: ${what}`));
      else world.clock.at(world.clock.monotonicMs() + 2, look);
    };
    look();
  });
}

function open(options: HostOptions): Promise<Host> {
  return new Promise((resolve, reject) => {
    openHost(world, { listen: '127.0.0.1:0', ...options }, (error, host) => {
      if (error !== null) return reject(error);
      opened.push(host);
      resolve(host);
    });
  });
}

function close(host: Host): Promise<void> {
  return new Promise((resolve) => host.transport.close(() => resolve()));
}

function know(host: Host, other: Host, nodeId: number): void {
  host.transport.addPeer({ nodeId, address: other.transport.address, instance: 0 });
}

async function pair(one: Partial<HostOptions> = {}): Promise<[Host, Host]> {
  const backoff = quickly;
  const a = await open({ backoff, ...one, nodeId: 1 });
  const b = await open({ nodeId: 2 });
  know(b, a, 1);
  know(a, b, 2);
  await until('both lanes are up', () => a.transport.sockets === 2 && b.transport.sockets === 2);
  return [a, b];
}

function* quickly(): Generator<number, never> {
  for (;;) yield 20;
}

/** Dials and collects what comes back. */
function stranger(address: string): { conn: Conn; bytes: number; isClosed: boolean } {
  const seen = { conn: undefined as unknown as Conn, bytes: 0, isClosed: false };
  seen.conn = world.net.dial(address, {
    onData(chunk) {
      seen.bytes += chunk.length;
    },
    onDrain() {},
    onClose() {
      seen.isClosed = true;
    },
  });
  dialled.push(seen.conn);
  return seen;
}

afterEach(async () => {
  for (const conn of dialled.splice(0)) conn.destroy();
  await Promise.all(opened.splice(0).map(close));
});

describe('a transport over TCP', () => {
  it('carries control, appends of several sizes and answers, byte for byte', async () => {
    const [a, b] = await pair();
    const sizes = [1, 100, 70_000, mib, 5 * mib];
    const written: unknown[] = [];
    for (const [i, size] of sizes.entries()) {
      const range = Buffer.alloc(size, i + 1);
      const halves = [range.subarray(0, size >> 1), range.subarray(size >> 1)];
      const heads = Buffer.from(`head${i}`);
      expect(a.peer(2).sendAppend(1, heads, 5, halves, (error) => written.push(error))).toBe(true);
      a.peer(2).sendRecords(frameKinds.control, 1, heads, 5);
      b.peer(1).sendRecords(frameKinds.appendAnswer, 1, heads, 5);
    }
    await until('all frames are there', () => b.frames.length === 10 && a.frames.length === 5);
    const appends = b.frames.filter((frame) => frame.kind === frameKinds.append);
    expect(appends.map((frame) => frame.body.slice(8, 13))).toEqual(
      sizes.map((_, i) => `head${i}`),
    );
    for (const [i, size] of sizes.entries()) {
      const body = Buffer.from(appends[i]?.body ?? '', 'latin1').subarray(13);
      expect(body.equals(Buffer.alloc(size, i + 1))).toBe(true);
    }
    await until('all writes are answered', () => written.length === sizes.length);
    expect(written).toEqual(sizes.map(() => null));
    expect(b.transport.counters.bytesReceived).toBeGreaterThan(6 * mib);
    expect([a.problems, b.problems]).toEqual([[], []]);
  });

  it('pauses at the socket mark and goes on with onDrain', async () => {
    const [a, b] = await pair();
    const peer = a.peer(2);
    let frames = 0;
    while (peer.canSendAppend) {
      expect(peer.sendAppend(1, Buffer.from('head'), 4, [Buffer.alloc(mib)], () => {})).toBe(true);
      frames += 1;
    }
    expect(frames).toBeLessThan(10);
    await until('the drain', () => a.log.includes('drain 2'));
    expect(peer.canSendAppend).toBe(true);
    await until('the frames', () => b.frames.length === frames);
  });

  it('comes back after its peer went and was started again with a higher epoch', async () => {
    const [a, b] = await pair();
    const { address } = b.transport;
    const instance = a.peer(2).instance;
    await close(b);
    await until('both lanes are down', () => a.transport.sockets === 0);
    const again = await open({ nodeId: 2, epoch: 2, listen: address });
    know(again, a, 1);
    await until('both lanes are up again', () => a.transport.sockets === 2);
    expect([a.peer(2).instance, a.peer(2).epoch]).toEqual([instance, 2]);
    expect(a.peer(2).appendConnection).toBe(2);
    expect(a.transport.counters.reconnects).toBe(2);
  });

  it('lets a restarted peer replace connections that never said goodbye', async () => {
    const b = await open({ nodeId: 2 });
    b.transport.addPeer({ nodeId: 1, address: '127.0.0.1:1', instance: 0 });
    const before = stranger(b.transport.address);
    before.conn.write([helloFrame({ epoch: 4 })]);
    await until('the first opening is up', () => b.transport.sockets === 1);
    const after = stranger(b.transport.address);
    after.conn.write([helloFrame({ epoch: 5, process: 9 })]);
    await until('the old one is closed', () => before.isClosed);
    expect([b.peer(1).epoch, b.transport.sockets, after.isClosed]).toEqual([5, 1, false]);
  });

  it('answers every write exactly once when the connection dies under it', async () => {
    const [a, b] = await pair({ pendingBytesMax: 512 * mib });
    const verdicts = new Map<number, number>();
    let taken = 0;
    for (let i = 0; i < 64; i++) {
      const isTaken = a.peer(2).sendAppend(1, Buffer.from('head'), 4, [Buffer.alloc(mib)], () => {
        verdicts.set(i, (verdicts.get(i) ?? 0) + 1);
      });
      taken += isTaken ? 1 : 0;
      if (i === 40) b.peer(1).reject('enough');
    }
    expect(taken).toBe(64);
    await until('every write is answered', () => verdicts.size === taken);
    await until('the lane is up again', () => a.peer(2).appendConnection === 2);
    expect([...verdicts.values()].every((count) => count === 1)).toBe(true);
  });

  it('gives a port scan not a byte, and a refused stranger one frame (T1)', async () => {
    const b = await open({ nodeId: 2 });
    const scan = stranger(b.transport.address);
    scan.conn.write([Buffer.from('GET / HTTP/1.1\r\n\r\n'.repeat(100))]);
    const wrong = stranger(b.transport.address);
    wrong.conn.write([helloFrame({ clusterId: new Uint8Array(16).fill(9) })]);
    await until('both are closed', () => scan.isClosed && wrong.isClosed);
    expect([scan.bytes, wrong.bytes]).toEqual([0, 32]);
  });

  it('bounds 200 slow half-open connections while real peers connect (T6)', async () => {
    // A handshake limit beyond the test's own deadline: only the bound shows anybody out.
    const bounds = { halfOpenMax: 64, halfOpenPerAddressMax: 32, handshakeMs: 120_000 };
    const b = await open({ ...bounds, nodeId: 2 });
    const slow = Array.from({ length: 200 }, () => {
      const seen = stranger(b.transport.address);
      seen.conn.write([helloFrame().subarray(0, 7)]);
      return seen;
    });
    await until('the rest is shown out', () => slow.filter((one) => one.isClosed).length === 168);
    expect(b.transport.halfOpen).toBe(32);
    const a = await open({ nodeId: 1, backoff: quickly });
    know(b, a, 1);
    know(a, b, 2);
    await until('a real peer is up', () => a.transport.sockets === 2);
    expect(b.transport.halfOpen).toBeLessThanOrEqual(32);
  });

  it('says IO_REFUSED where the address is taken', async () => {
    const a = await open({ nodeId: 1 });
    const refusal = open({ nodeId: 2, listen: a.transport.address });
    await expect(refusal).rejects.toMatchObject({
      code: 'IO_REFUSED',
      details: { reason: 'EADDRINUSE' },
    } satisfies Partial<FlotillaError>);
  });

  it('building a peer with an address that leads nowhere neither throws nor ends the dialling', async () => {
    const a = await open({ nodeId: 1, backoff: quickly });
    a.transport.addPeer({ nodeId: 2, address: 'no address at all', instance: 0 });
    const b = await open({ nodeId: 3 });
    know(b, a, 1);
    know(a, b, 3);
    await until('the other peer is up', () => a.transport.sockets === 2);
    expect(a.peer(2).isUp('control')).toBe(false);
    a.transport.addPeer({ nodeId: 2, address: b.transport.address, instance: 0 });
    await until('the wrong host is noticed', () => a.problemReasons.includes('wrongNode'));
  });
});
