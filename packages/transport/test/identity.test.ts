// Who may speak: the handshake as both sides live it (security.md T1, T3, T4).

import { frameKinds } from '@flotilla/codec';
import { describe, expect, it } from 'vitest';
import { encodeHello, type Hello } from '../src/handshake.ts';
import { frameOf } from './frames.ts';
import { helloFrame, introduce, open, openPair, Stranger } from './memory-hosts.ts';
import { MemoryWorld } from './memory-world.ts';

const address2 = '127.0.0.1:7002';

describe('the accepting side', () => {
  it.each<[string, string, Partial<Hello>]>([
    ['another cluster', 'wrongCluster', { clusterId: new Uint8Array(16).fill(9) }],
    ['a dialled id that is not ours', 'wrongNode', { targetNodeId: 3 }],
    ['our own id', 'wrongNode', { nodeId: 2 }],
    ['a node that was never added', 'wrongNode', { nodeId: 77 }],
    ['a larger node id, which is not the one to dial', 'wrongNode', { nodeId: 5 }],
    ['another instance than the known one', 'unknownStore', { instance: 999 }],
    ['only later protocol versions', 'version', { versionMin: 2, versionMax: 9 }],
    ['a lane that does not exist', 'version', { lane: 7 }],
    ['a frame limit below our largest entry', 'frameLimit', { frameBytesMax: 8 * 2 ** 20 }],
  ])('refuses %s with %s, once, and closes', (_, reason, changed) => {
    const world = new MemoryWorld();
    const host = open(world, { nodeId: 2 });
    introduce(host, 1, 101);
    introduce(host, 5);
    const stranger = new Stranger(world, address2).say(helloFrame(changed));
    expect(stranger.answer).toBe(reason);
    expect(stranger.isClosed).toBe(true);
    expect(host.log).toEqual([]);
    expect(host.transport.counters.handshakesRejected).toBe(1);
    expect(host.problemReasons).toEqual([reason]);
    expect([host.transport.halfOpen, host.transport.sockets]).toEqual([0, 0]);
  });

  it('answers garbage with nothing and closes (T1)', () => {
    const world = new MemoryWorld();
    const host = open(world, { nodeId: 2 });
    introduce(host, 1);
    const goodHello = helloFrame();
    const noMagic = frameOf(frameKinds.hello, 'x'.repeat(96));
    for (const garbage of [
      Buffer.from('GET / HTTP/1.1\r\nHost: flotilla\r\n\r\n'),
      Buffer.alloc(1000, 0xff),
      frameOf(frameKinds.control, 'records before any handshake'),
      noMagic,
      goodHello.map((byte, i) => (i === 40 ? byte ^ 1 : byte)),
    ]) {
      const stranger = new Stranger(world, address2).say(garbage, goodHello);
      expect(stranger.answer).toBe('nothing');
      expect(stranger.isClosed).toBe(true);
    }
    expect(host.log).toEqual([]);
    expect(host.transport.counters.protocolViolations).toBe(5);
  });

  it('closes a connection that says nothing, or one byte a second, after handshakeMs (T6)', () => {
    const world = new MemoryWorld();
    const host = open(world, { nodeId: 2, handshakeMs: 3000 });
    introduce(host, 1);
    const silent = new Stranger(world, address2);
    const slow = new Stranger(world, address2);
    const hello = helloFrame();
    for (let second = 0; second < 3; second++) {
      slow.say(hello.subarray(second, second + 1));
      expect([silent.isClosed, slow.isClosed]).toEqual([false, false]);
      world.clock.run(1000);
    }
    expect([silent.isClosed, slow.isClosed]).toEqual([true, true]);
    expect(host.transport.halfOpen).toBe(0);
  });

  it('reads frames that came in one chunk with the HELLO, and only after it was believed', () => {
    const world = new MemoryWorld();
    const host = open(world, { nodeId: 2 });
    introduce(host, 1);
    const beat = frameOf(frameKinds.control, 'beat');
    new Stranger(world, address2).say(Buffer.concat([helloFrame({ nodeId: 9 }), beat]));
    expect(host.frames).toEqual([]);
    new Stranger(world, address2).say(Buffer.concat([helloFrame(), beat]));
    expect(host.frames.map((frame) => [frame.from, frame.body])).toEqual([[1, 'beat']]);
  });

  it('knows the sender by its connection, whatever stands in a frame (T4)', () => {
    const world = new MemoryWorld();
    const host = open(world, { nodeId: 3, listen: '127.0.0.1:7002' });
    introduce(host, 1);
    introduce(host, 2);
    const forged = frameOf(frameKinds.control, JSON.stringify({ from: 2, term: 2 ** 53 - 1 }));
    new Stranger(world, address2).say(helloFrame({ targetNodeId: 3 }), forged);
    expect(host.frames.map((frame) => frame.from)).toEqual([1]);
  });

  it('takes a HELLO once: a second one is a violation', () => {
    const world = new MemoryWorld();
    const host = open(world, { nodeId: 2 });
    introduce(host, 1);
    const stranger = new Stranger(world, address2).say(helloFrame(), helloFrame());
    world.clock.run(1);
    expect(stranger.isClosed).toBe(true);
    expect(host.problemReasons).toEqual(['kind']);
    expect(host.log).toEqual(['identity 1 101', 'up control 1', 'down control 1']);
  });
});

describe('instance and epoch', () => {
  it('the first contact under instance 0 is bound and told once; another instance is refused from then on', () => {
    const world = new MemoryWorld();
    const host = open(world, { nodeId: 2 });
    introduce(host, 1);
    expect(host.peer(1).instance).toBe(0);
    new Stranger(world, address2).say(helloFrame());
    new Stranger(world, address2).say(helloFrame({ lane: 2 }));
    expect(host.log).toEqual(['identity 1 101', 'up control 1', 'up append 1']);
    expect([host.peer(1).instance, host.peer(1).epoch]).toEqual([101, 1]);
    const other = new Stranger(world, address2).say(helloFrame({ instance: 102, epoch: 9 }));
    expect(other.answer).toBe('unknownStore');
    expect(host.transport.sockets).toBe(2);
  });

  it('one instance under two stores is refused', () => {
    const world = new MemoryWorld();
    const host = open(world, { nodeId: 2 });
    introduce(host, 1, 101);
    new Stranger(world, address2).say(helloFrame());
    const copy = { storeUuid: new Uint8Array(16).fill(66) };
    expect(new Stranger(world, address2).say(helloFrame(copy)).answer).toBe('unknownStore');
  });

  it('among connections of one lane and instance the newest lives where the epoch is the same', () => {
    const world = new MemoryWorld();
    const host = open(world, { nodeId: 2 });
    introduce(host, 1);
    const first = new Stranger(world, address2).say(helloFrame({ lane: 2 }));
    expect(host.peer(1).appendConnection).toBe(1);
    const second = new Stranger(world, address2).say(helloFrame({ lane: 2 }));
    world.clock.run(1);
    expect([first.isClosed, second.isClosed]).toEqual([true, false]);
    expect(host.log.slice(1)).toEqual(['up append 1', 'down append 1', 'up append 1']);
    expect(host.peer(1).appendConnection).toBe(2);
    expect(host.transport.counters.reconnects).toBe(1);
    expect(host.transport.sockets).toBe(1);
    expect(host.problems).toEqual([]);
  });

  it('a higher epoch closes what the earlier opening left behind, on both lanes', () => {
    const world = new MemoryWorld();
    const host = open(world, { nodeId: 2 });
    introduce(host, 1);
    const control = new Stranger(world, address2).say(helloFrame());
    const append = new Stranger(world, address2).say(helloFrame({ lane: 2 }));
    const again = { epoch: 2, process: 777 };
    const restarted = new Stranger(world, address2).say(helloFrame(again));
    world.clock.run(1);
    expect([control.isClosed, append.isClosed, restarted.isClosed]).toEqual([true, true, false]);
    expect(host.peer(1).epoch).toBe(2);
    expect(host.peer(1).isUp('append')).toBe(false);
    expect(host.downReasons).toEqual(['the peer was started again', 'the peer was started again']);
  });

  it('an older epoch is refused as a duplicate, also when nothing lives any more', () => {
    const world = new MemoryWorld();
    const host = open(world, { nodeId: 2 });
    introduce(host, 1);
    const living = new Stranger(world, address2).say(helloFrame({ epoch: 5 }));
    expect(new Stranger(world, address2).say(helloFrame({ epoch: 4 })).answer).toBe('duplicate');
    living.conn.destroy();
    world.clock.run();
    expect(new Stranger(world, address2).say(helloFrame({ epoch: 4 })).answer).toBe('duplicate');
    expect(new Stranger(world, address2).say(helloFrame({ epoch: 5 })).answer).toBe('welcome');
  });

  it('two living processes of one identity are both flagged (T3, a copied data directory)', () => {
    const world = new MemoryWorld();
    const host = open(world, { nodeId: 2 });
    introduce(host, 1);
    const original = new Stranger(world, address2).say(helloFrame({ process: 1 }));
    const copy = new Stranger(world, address2).say(helloFrame({ process: 2 }));
    expect(host.problemReasons).toEqual(['duplicate']);
    const goodbye = original.received.subarray(original.received.length - 32);
    expect(goodbye[4]).toBe(frameKinds.reject);
    expect(original.isClosed).toBe(true);
    expect([copy.answer, copy.isClosed]).toEqual(['welcome', false]);
    const older = new Stranger(world, address2).say(helloFrame({ process: 3, epoch: 0 }));
    expect(older.answer).toBe('duplicate');
    expect(host.problemReasons).toEqual(['duplicate', 'duplicate']);
  });

  it('a changed membership closes connections of the instance that it no longer names', () => {
    const world = new MemoryWorld();
    const [a, b] = openPair(world);
    introduce(b, 1, 0);
    world.clock.run(1);
    expect(b.transport.sockets).toBe(2);
    introduce(b, 1, 555);
    world.clock.run(1);
    expect(b.transport.sockets).toBe(0);
    world.clock.run(600);
    expect(a.problemReasons).toEqual(['unknownStore', 'unknownStore']);
  });
});

describe('the dialling side', () => {
  it('does not retry a rejected dial before 5 s, and reports it once per change', () => {
    const world = new MemoryWorld();
    const a = open(world, { nodeId: 1, clusterId: new Uint8Array(16).fill(9) });
    const b = open(world, { nodeId: 2 });
    introduce(b, 1);
    introduce(a, 2);
    world.clock.run(1);
    expect(world.net.dials).toBe(2);
    world.clock.run(4990);
    expect(world.net.dials).toBe(2);
    world.clock.run(20_100);
    expect(world.net.dials).toBe(2 * 6);
    expect(a.problemReasons).toEqual(['wrongCluster', 'wrongCluster']); // one a lane
    expect(a.problems[0]?.code).toBe('HANDSHAKE_REJECTED');
    expect(a.transport.counters.handshakesRejected).toBe(12);
    expect(a.log).toEqual([]);
  });

  it('refuses whoever answers under another name than the one it dialled, and says so to it', () => {
    const world = new MemoryWorld();
    const b = open(world, { nodeId: 2 });
    introduce(b, 1);
    // What answers at this address believes to be node 3 and takes anybody for whom he says to be.
    const received: Uint8Array[] = [];
    world.net.listen(
      '127.0.0.1:7003',
      (conn) => ({
        onData(chunk) {
          received.push(chunk);
          if (received.length > 1) return;
          const answer = encodeHello('welcome', {
            versionMin: 1,
            versionMax: 1,
            features: 0,
            clusterId: Uint8Array.from({ length: 16 }, (_, i) => i + 1),
            storeUuid: new Uint8Array(16).fill(3),
            instance: 103,
            epoch: 1,
            nodeId: 4,
            targetNodeId: 2,
            process: 1,
            frameBytesMax: 9 * 2 ** 20,
            lane: chunk[16 + 88] as number,
          });
          conn.write([answer, frameOf(frameKinds.control, 'too early')]);
        },
        onDrain() {},
        onClose() {},
      }),
      () => {},
    );
    introduce(b, 3);
    world.clock.run(1);
    expect(b.log).toEqual([]);
    expect(b.frames).toEqual([]);
    expect(b.problemReasons).toContain('wrongNode');
    expect(received.some((chunk) => chunk[4] === frameKinds.reject)).toBe(true);
  });

  it('two clusters on swapped ports refuse each other (T3)', () => {
    const world = new MemoryWorld();
    const other = new Uint8Array(16).fill(9);
    const a = open(world, { nodeId: 1 });
    const b = open(world, { nodeId: 2, clusterId: other });
    introduce(a, 2);
    introduce(b, 1);
    world.clock.run(1000);
    expect([a.log, b.log]).toEqual([[], []]);
    expect(new Set(a.problemReasons)).toEqual(new Set(['wrongCluster']));
    expect(new Set(b.problemReasons)).toEqual(new Set(['wrongCluster']));
  });

  it('treats an answer that is no handshake as a violation', () => {
    const world = new MemoryWorld();
    const a = open(world, { nodeId: 1 });
    world.net.listen(
      address2,
      (conn) => ({
        onData: () => void conn.write([frameOf(frameKinds.control, 'records')]),
        onDrain() {},
        onClose() {},
      }),
      () => {},
    );
    introduce(a, 2);
    world.clock.run(1);
    expect(a.problemReasons).toEqual(['kind', 'kind']);
    expect(a.log).toEqual([]);
  });
});
