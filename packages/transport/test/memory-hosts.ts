// Two or more transports in one world of memory, and strangers that speak to them in bytes.

import { frameHeaderBytes, frameKinds } from '@flotilla/codec';
import { expect } from 'vitest';
import {
  decodeHello,
  decodeReject,
  encodeHello,
  type Hello,
  laneNumbers,
} from '../src/handshake.ts';
import { clusterId, type Host, type HostOptions, openHost } from './hosts.ts';
import type { MemoryConn, MemoryWorld } from './memory-world.ts';

export function open(world: MemoryWorld, options: HostOptions): Host {
  let opened: Host | undefined;
  openHost(world, options, (error, host) => {
    expect(error).toBeNull();
    opened = host;
  });
  world.clock.run();
  if (opened === undefined) throw new Error('the transport did not open');
  return opened;
}

/** Hosts 1 and 2 that know each other (instance 0: bound at first contact), both lanes up. */
export function openPair(
  world: MemoryWorld,
  one: Partial<HostOptions> = {},
  two: Partial<HostOptions> = {},
): [Host, Host] {
  const a = open(world, { ...one, nodeId: 1 });
  const b = open(world, { ...two, nodeId: 2 });
  introduce(a, 2);
  introduce(b, 1);
  world.clock.run(1);
  expect([a.transport.sockets, b.transport.sockets]).toEqual([2, 2]);
  return [a, b];
}

export function introduce(host: Host, nodeId: number, instance = 0): void {
  host.transport.addPeer({ nodeId, address: `127.0.0.1:${7000 + nodeId}`, instance });
}

/** A HELLO that host 2 believes: from node 1 to it, on the control lane, unless said otherwise. */
export function helloFrame(changed: Partial<Hello> = {}): Uint8Array {
  return encodeHello('hello', {
    versionMin: 1,
    versionMax: 1,
    features: 0,
    clusterId,
    storeUuid: new Uint8Array(16).fill(1),
    instance: 101,
    epoch: 1,
    nodeId: 1,
    targetNodeId: 2,
    process: 12345,
    frameBytesMax: 9 * 2 ** 20,
    lane: laneNumbers.control,
    ...changed,
  });
}

/** Whoever dials an address and sends what it likes. */
export class Stranger {
  readonly conn: MemoryConn;
  received: Uint8Array = new Uint8Array(0);
  isClosed = false;
  readonly #world: MemoryWorld;

  constructor(world: MemoryWorld, address: string) {
    this.#world = world;
    this.conn = world.net.dial(address, {
      onData: (chunk) => {
        this.received = Buffer.concat([this.received, chunk]);
      },
      onDrain: () => {},
      onClose: () => {
        this.isClosed = true;
      },
    });
    world.clock.run();
  }

  /** Sends, and lets everything happen that follows at once. */
  say(...frames: Uint8Array[]): this {
    this.conn.write(frames);
    this.#world.clock.run();
    return this;
  }

  /** What came back, as far as it is one frame of a handshake: `welcome`, or the reason of a REJECT. */
  get answer(): string {
    const { received } = this;
    if (received.length === 0) return 'nothing';
    const end = frameHeaderBytes + Buffer.from(received).readUInt32LE(0);
    if (received[4] === frameKinds.welcome) {
      return decodeHello(received, frameHeaderBytes, end) === null ? 'garbage' : 'welcome';
    }
    if (end !== received.length) return 'more than one frame';
    return decodeReject(received, frameHeaderBytes, end)?.reason ?? 'garbage';
  }
}
