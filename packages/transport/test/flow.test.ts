// Frames, back-pressure, caps and reconnecting between two transports in one world of memory (T5 to T8).

import { frameKinds } from '@flotilla/codec';
import { describe, expect, it } from 'vitest';
import { frameOf } from './frames.ts';
import { helloFrame, introduce, open, openPair, Stranger } from './memory-hosts.ts';
import { byteByByte, type MemoryConn, MemoryWorld } from './memory-world.ts';

const text = (value: string): Uint8Array => Buffer.from(value, 'latin1');
const mib = 2 ** 20;

/** The dialling end's socket of host 1's append lane: the second one it dialled. */
function appendConn(world: MemoryWorld, pair = 1): MemoryConn {
  return (world.net.pairs[pair] as { dialled: MemoryConn }).dialled;
}

describe('frames', () => {
  it('arrive on both lanes and in both directions, with their records counted', () => {
    const world = new MemoryWorld();
    const [a, b] = openPair(world);
    const bytes = text('beat-and-more');
    expect(a.peer(2).sendRecords(frameKinds.control, 3, bytes, 4)).toBe(true);
    expect(b.peer(1).sendRecords(frameKinds.control, 1, bytes, 13)).toBe(true);
    expect(b.peer(1).sendRecords(frameKinds.appendAnswer, 2, bytes, 8)).toBe(true);
    bytes.fill(0); // sendRecords copied them
    world.clock.run();
    expect(b.frames).toEqual([{ from: 1, kind: 4, records: 3, body: 'beat', headsBytes: 4 }]);
    expect(a.frames.map((frame) => [frame.kind, frame.records, frame.body])).toEqual([
      [4, 1, 'beat-and-more'],
      [6, 2, 'beat-and'],
    ]);
  });

  it('of appends carry heads, then the ranges as they stand, and tell when these may change', () => {
    const world = new MemoryWorld();
    const [a, b] = openPair(world);
    let written: unknown = 'not yet';
    const ranges = [text('range1,'), text('range2')];
    const taken = a.peer(2).sendAppend(2, text('headsXX'), 5, ranges, (error) => {
      written = error;
    });
    expect([taken, written]).toEqual([true, 'not yet']);
    world.clock.run();
    expect(written).toBeNull();
    const body = '\x0d\0\0\0\0\0\0\0headsrange1,range2';
    expect(b.frames).toEqual([{ from: 1, kind: 5, records: 2, body, headsBytes: 13 }]);
    expect(a.transport.counters.framesSent).toBe(1);
    expect(b.transport.counters.framesReceived).toBe(1);
  });

  it('hold what was sent where many are on their way in memory that is used again and again', () => {
    const world = new MemoryWorld();
    const [a, b] = openPair(world);
    const bodyOf = (round: number, i: number): string =>
      String.fromCharCode(97 + ((round * 7 + i) % 26)).repeat(4000 + 1000 * (i % 5));
    for (let round = 0; round < 5; round++) {
      b.frames.length = 0;
      const sent = Array.from({ length: 20 }, (_, i) => bodyOf(round, i));
      for (const body of sent) {
        const bytes = text(body);
        a.peer(2).sendRecords(frameKinds.control, 1, bytes, bytes.length);
        a.peer(2).sendAppend(1, bytes, bytes.length, [text('block')], () => {});
      }
      world.clock.run();
      const control = b.frames.filter((frame) => frame.kind === frameKinds.control);
      expect(control.map((frame) => frame.body)).toEqual(sent);
      const appends = b.frames.filter((frame) => frame.kind === frameKinds.append);
      expect(appends.map((frame) => frame.body.slice(8))).toEqual(
        sent.map((body) => `${body}block`),
      );
    }
  });

  it('are the same where every byte comes alone, the handshake included', () => {
    const world = new MemoryWorld();
    world.net.split = byteByByte;
    const [a, b] = openPair(world);
    for (let i = 0; i < 20; i++) {
      a.peer(2).sendRecords(frameKinds.control, i, text(`beat ${i}`), 6);
      a.peer(2).sendAppend(1, text('head'), 4, [text(`block ${i}`)], () => {});
    }
    world.clock.run(1);
    expect(b.frames.length).toBe(40);
    expect(b.frames.filter((frame) => frame.kind === 4).map((frame) => frame.records)).toEqual(
      Array.from({ length: 20 }, (_, i) => i),
    );
    // What the handshake proved was copied out of memory that all these frames passed through.
    appendConn(world).destroy();
    world.clock.run(600);
    expect([a.transport.sockets, b.transport.sockets]).toEqual([2, 2]);
    expect([a.problems, b.problems]).toEqual([[], []]);
  });

  it('that cannot be sent are refused by name', () => {
    const world = new MemoryWorld();
    const [a] = openPair(world, {}, { frameBytesMax: 9 * mib });
    const peer = a.peer(2);
    const bytes = new Uint8Array(10);
    expect(peer.frameBytesMax).toBe(9 * mib);
    expect(() => peer.sendRecords(frameKinds.append, 1, bytes, 8)).toThrow(RangeError);
    expect(() => peer.sendRecords(frameKinds.control, 1, bytes, 11)).toThrow(RangeError);
    expect(() => peer.sendRecords(frameKinds.control, 1, bytes, 0)).toThrow(RangeError);
    expect(() => peer.sendRecords(frameKinds.control, 65_536, bytes, 8)).toThrow(RangeError);
    expect(() => peer.sendAppend(1, bytes, 11, [], () => {})).toThrow(RangeError);
    const huge = new Uint8Array(9 * mib);
    expect(() => peer.sendAppend(1, bytes, 8, [huge], () => {})).toThrow(RangeError);
  });

  it('keep to the smaller limit of the two hosts', () => {
    const world = new MemoryWorld();
    const [a, b] = openPair(world, {}, { entryBytesMax: mib, frameBytesMax: 8.5 * mib });
    expect([a.peer(2).frameBytesMax, b.peer(1).frameBytesMax]).toEqual([8.5 * mib, 8.5 * mib]);
  });

  it('of a lane that is down are not taken', () => {
    const world = new MemoryWorld();
    const a = open(world, { nodeId: 1 });
    introduce(a, 2);
    const peer = a.peer(2);
    const bytes = new Uint8Array(8);
    expect(peer.sendRecords(frameKinds.control, 1, bytes, 8)).toBe(false);
    expect(
      peer.sendAppend(1, bytes, 8, [], () => {
        throw new Error('not to be called');
      }),
    ).toBe(false);
    expect([peer.canSendAppend, peer.isUp('control'), peer.pendingBytes]).toEqual([
      false,
      false,
      0,
    ]);
    world.clock.run(2000);
  });
});

describe('acting from inside onFrame', () => {
  it('reject() stops what the same chunk still holds and tells the host a turn later', () => {
    const world = new MemoryWorld();
    const b = open(world, { nodeId: 2 });
    introduce(b, 1);
    let logInside: string[] = [];
    b.hook = (peer) => {
      peer.reject('unreadable records');
      logInside = [...b.log];
    };
    const beat = frameOf(frameKinds.control, 'beat');
    const stranger = new Stranger(world, '127.0.0.1:7002');
    stranger.say(Buffer.concat([helloFrame(), beat, beat, beat]));
    world.clock.run(1);
    expect(b.frames.length).toBe(1);
    expect(logInside).toEqual(['identity 1 101', 'up control 1']);
    expect(b.log.at(-1)).toBe('down control 1');
    expect(b.downReasons).toEqual(['unreadable records']);
    expect(stranger.isClosed).toBe(true);
    expect(b.transport.counters.protocolViolations).toBe(1);
  });

  it('close() ends every event, and nothing stays armed', () => {
    const world = new MemoryWorld();
    const [a, b] = openPair(world);
    let isDone = false;
    b.hook = () => {
      b.transport.close(() => {
        isDone = true;
      });
    };
    for (let i = 0; i < 3; i++) a.peer(2).sendRecords(frameKinds.control, 1, text('beat'), 4);
    const logBefore = [...b.log];
    world.clock.run();
    expect(b.frames.length).toBe(1);
    expect([isDone, b.transport.sockets]).toEqual([true, 0]);
    expect(b.log).toEqual(logBefore);
    let isDoneAgain = false;
    b.transport.close(() => {
      isDoneAgain = true;
    });
    expect(b.peer(1).sendRecords(frameKinds.control, 1, text('beat'), 4)).toBe(false);
    a.transport.close(() => {});
    world.clock.run();
    expect(isDoneAgain).toBe(true);
    expect(world.clock.armed).toBe(0);
  });
});

describe('back-pressure', () => {
  it('pauses appends at the mark and not the control lane, and tells when they may go on', () => {
    const world = new MemoryWorld();
    const [a, b] = openPair(world);
    const conn = appendConn(world);
    conn.isStuck = true;
    const peer = a.peer(2);
    expect(peer.canSendAppend).toBe(true);
    peer.sendAppend(1, text('head'), 4, [new Uint8Array(2 * mib)], () => {});
    expect(peer.canSendAppend).toBe(false);
    expect(peer.pendingBytes).toBeGreaterThan(2 * mib);
    world.clock.run(50);
    peer.sendRecords(frameKinds.control, 1, text('beat'), 4);
    world.clock.run(50);
    expect(b.frames.map((frame) => frame.body)).toEqual(['beat']);
    expect(a.log).not.toContain('drain 2');
    conn.isStuck = false;
    conn.flush();
    world.clock.run(1);
    expect(a.log.at(-1)).toBe('drain 2');
    expect(peer.canSendAppend).toBe(true);
    expect(b.frames.length).toBe(2);
  });

  it('a peer that does not read costs at most pendingBytesMax, then its append connection (T7)', () => {
    const world = new MemoryWorld();
    const [a] = openPair(world, { pendingBytesMax: 4 * mib });
    const conn = appendConn(world);
    conn.isStuck = true;
    const peer = a.peer(2);
    const verdicts: (string | null)[] = [];
    let taken = 0;
    for (let i = 0; i < 10; i++) {
      const isTaken = peer.sendAppend(1, text('head'), 4, [new Uint8Array(mib)], (error) => {
        verdicts.push(error === null ? null : 'lost');
      });
      taken += isTaken ? 1 : 0;
      expect(peer.pendingBytes).toBeLessThanOrEqual(4 * mib);
    }
    expect([taken, peer.isUp('append'), peer.canSendAppend]).toEqual([3, false, false]);
    world.clock.run(1);
    expect(verdicts).toEqual(['lost', 'lost', 'lost']);
    expect(a.downReasons).toEqual(['too many unsent bytes']);
    expect(a.peer(2).isUp('control')).toBe(true);
    world.clock.run(600);
    expect([peer.isUp('append'), peer.canSendAppend, peer.appendConnection]).toEqual([
      true,
      true,
      2,
    ]);
  });

  it('control frames above the cap are dropped, and the lane stays', () => {
    const world = new MemoryWorld();
    const [a, b] = openPair(world, { pendingBytesMax: 1000 });
    const conn = appendConn(world, 0);
    conn.isStuck = true;
    const peer = a.peer(2);
    const answers = Array.from({ length: 30 }, () =>
      peer.sendRecords(frameKinds.control, 1, new Uint8Array(84), 84),
    );
    expect(answers.filter(Boolean).length).toBe(10);
    conn.isStuck = false;
    conn.flush();
    world.clock.run(1);
    expect(b.frames.length).toBe(10);
    expect(peer.isUp('control')).toBe(true);
  });
});

describe('deadlines and floods', () => {
  it('a frame that has begun and does not end within 10 s closes its connection (T6)', () => {
    const world = new MemoryWorld();
    const b = open(world, { nodeId: 2 });
    introduce(b, 1);
    const stranger = new Stranger(world, '127.0.0.1:7002').say(helloFrame());
    const frame = frameOf(frameKinds.control, 'x'.repeat(100));
    stranger.say(frame.subarray(0, 10));
    for (let second = 0; second < 9; second++) {
      world.clock.run(1000);
      stranger.say(frame.subarray(10 + second, 11 + second));
    }
    expect(stranger.isClosed).toBe(false);
    world.clock.run(1001);
    expect(stranger.isClosed).toBe(true);
    expect(b.problemReasons).toEqual(['deadline']);
  });

  it('frames that straddle chunks for a long time are fine as long as each one ends', () => {
    const world = new MemoryWorld();
    const b = open(world, { nodeId: 2 });
    introduce(b, 1);
    const stranger = new Stranger(world, '127.0.0.1:7002').say(helloFrame());
    const frame = frameOf(frameKinds.control, 'x'.repeat(100));
    const two = Buffer.concat([frame, frame]);
    stranger.say(two.subarray(0, 60));
    for (let second = 0; second < 40; second++) {
      world.clock.run(1000);
      stranger.say(Buffer.concat([two.subarray(60, frame.length), two.subarray(0, 60)]));
    }
    world.clock.run(9000);
    expect([stranger.isClosed, b.frames.length]).toEqual([false, 40]);
  });

  it('a connection without traffic stands', () => {
    const world = new MemoryWorld();
    const [a, b] = openPair(world);
    world.clock.run(3_600_000);
    expect([a.transport.sockets, b.transport.sockets, world.net.dials]).toEqual([2, 2, 2]);
    expect(world.clock.armed).toBe(0);
  });

  it('200 half-open connections of one address never hold more than their share, and a real peer gets in (T6, T8)', () => {
    const world = new MemoryWorld();
    const b = open(world, { nodeId: 2, halfOpenPerAddressMax: 16 });
    introduce(b, 1);
    const strangers = Array.from({ length: 200 }, () => {
      const stranger = new Stranger(world, '127.0.0.1:7002');
      expect(b.transport.halfOpen).toBeLessThanOrEqual(16);
      return stranger;
    });
    expect(strangers.filter((stranger) => !stranger.isClosed).length).toBe(16);
    expect(strangers[0]?.answer).toBe('busy');
    const a = open(world, { nodeId: 1 });
    introduce(a, 2);
    world.clock.run(1);
    expect(a.transport.sockets).toBe(2);
    world.clock.run(5000);
    expect(strangers.every((stranger) => stranger.isClosed)).toBe(true);
    expect(b.transport.halfOpen).toBe(0);
  });

  it('a stranger that connects and is refused without end costs counters and a few reports (T8)', () => {
    const world = new MemoryWorld();
    const b = open(world, { nodeId: 2 });
    for (let i = 0; i < 500; i++) new Stranger(world, '127.0.0.1:7002').say(helloFrame());
    expect(b.transport.counters.handshakesRejected).toBe(500);
    expect(b.problems.length).toBe(20);
    world.clock.run(2000);
    new Stranger(world, '127.0.0.1:7002').say(helloFrame());
    expect(b.problems.at(-1)?.details['heldBack']).toBe(480);
    expect(b.transport.halfOpen).toBe(0);
  });
});

describe('reconnecting', () => {
  it('waits 500 ms between dials and, once up, begins anew', () => {
    const world = new MemoryWorld();
    const a = open(world, { nodeId: 1 });
    introduce(a, 2);
    expect(world.net.dials).toBe(0); // building a peer does not connect
    world.clock.run(0);
    expect(world.net.dials).toBe(2);
    world.clock.run(499);
    expect(world.net.dials).toBe(2);
    world.clock.run(1);
    expect(world.net.dials).toBe(4);
    world.clock.run(50_000);
    expect(world.net.dials).toBe(204);
    expect(a.problems).toEqual([]);
    const b = open(world, { nodeId: 2 });
    introduce(b, 1);
    world.clock.run(500);
    expect([a.transport.sockets, b.transport.sockets]).toEqual([2, 2]);
    expect(a.transport.counters.reconnects).toBe(0);
  });

  it('takes its pauses from the iterator and drops it at the first success', () => {
    const world = new MemoryWorld();
    let iterators = 0;
    function* pauses(): Generator<number, never> {
      iterators += 1;
      for (let pause = 100; ; pause += 100) yield pause;
    }
    const a = open(world, { nodeId: 1, backoff: pauses });
    introduce(a, 2);
    const dialsAt: number[] = [];
    for (let ms = 0; ms <= 1000; ms += 100) {
      world.clock.run(ms === 0 ? 0 : 100);
      dialsAt.push(world.net.dials / 2);
    }
    // Dials at 0, 100, 300, 600 and 1000 ms.
    expect(dialsAt).toEqual([1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5]);
    expect(iterators).toBe(2); // one a lane
    const b = open(world, { nodeId: 2 });
    introduce(b, 1);
    world.clock.run(500);
    expect(a.transport.sockets).toBe(2);
    b.peer(1).reject('try again');
    const dials = world.net.dials;
    world.clock.run(99);
    expect(world.net.dials).toBe(dials);
    world.clock.run(2);
    expect([world.net.dials, a.transport.sockets]).toEqual([dials + 2, 2]);
    expect(iterators).toBe(4);
  });

  it('dials a new address at once where the old one did not answer', () => {
    const world = new MemoryWorld();
    const a = open(world, { nodeId: 1 });
    const b = open(world, { nodeId: 2 });
    introduce(b, 1);
    const peer = a.transport.addPeer({ nodeId: 2, address: '127.0.0.1:9', instance: 0 });
    world.clock.run(10);
    expect(a.transport.sockets).toBe(0);
    expect(a.transport.addPeer({ nodeId: 2, address: '127.0.0.1:7002', instance: 0 })).toBe(peer);
    world.clock.run(10);
    expect(a.transport.sockets).toBe(2);
  });

  it('a lost lane is told down before it is told up again, and the sockets of a pair are never above 2', () => {
    const world = new MemoryWorld();
    const [a, b] = openPair(world);
    for (let round = 0; round < 5; round++) {
      appendConn(world, world.net.pairs.length - 1).destroy();
      for (let ms = 0; ms < 600; ms += 20) {
        world.clock.run(20);
        expect(a.transport.sockets).toBeLessThanOrEqual(2);
        expect(b.transport.sockets).toBeLessThanOrEqual(2);
      }
      expect(a.transport.sockets).toBe(2);
    }
    expect(a.peer(2).appendConnection).toBe(6);
    for (const host of [a, b]) {
      const appends = host.log.filter((line) => line.includes('append'));
      expect(appends.map((line) => line.split(' ')[0])).toEqual(
        Array.from({ length: 11 }, (_, i) => (i % 2 === 0 ? 'up' : 'down')),
      );
      // Both lanes, each time: the side that did not close it knows no better than that it broke.
      expect(host.transport.counters.reconnects).toBe(10);
    }
  });

  it('an append lane that broke at the accepting side alone stands again, though nobody writes on it', () => {
    const world = new MemoryWorld();
    const [a, b] = openPair(world);
    const { dialled, accepted } = world.net.pairs[1] as (typeof world.net.pairs)[number];
    accepted.isClosed = true;
    accepted.handlers.onClose(new Error('ETIMEDOUT'));
    world.clock.run(10);
    expect(dialled.isClosed).toBe(true);
    world.clock.run(600);
    expect([a.peer(2).isUp('append'), b.peer(1).isUp('append')]).toEqual([true, true]);
    expect([a.peer(2).isUp('control'), b.peer(1).isUp('control')]).toEqual([true, true]);
    expect([a.transport.sockets, b.transport.sockets]).toEqual([2, 2]);
  });
});
