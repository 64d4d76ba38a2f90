import { SimWorld } from '@flotilla/testkit';
import { describe, expect, test } from 'vitest';
import { openPair, pair, Recorder, serverAddress } from './net-helpers.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe('SimNet connections', () => {
  test('bytes written on both ends arrive in order; buffers written early wait for the connection', () => {
    const { world, conn, served, dialled, accepted } = pair();
    const written: string[] = [];
    expect(conn.write([bytes(1), bytes(2, 3)], () => written.push('first'))).toBe(true);
    conn.write([bytes(4)]);
    world.kernel.runUntil(() => accepted.bytes.length === 4);
    served().write([bytes(9)]);
    world.kernel.runUntilIdle();
    expect(accepted.chunks.map((chunk) => [...chunk])).toEqual([[1, 2, 3], [4]]);
    expect(dialled.bytes).toEqual([9]);
    expect(written).toEqual(['first']);
    expect(dialled.events).toEqual(['open']);
    expect(accepted.events).toEqual([]);
  });

  test('end() sends what is queued and closes both ends in good order, once', () => {
    const { world, conn, dialled, accepted } = openPair();
    conn.write([bytes(1, 2)]);
    conn.end();
    world.kernel.runUntilIdle();
    expect(accepted.bytes).toEqual([1, 2]);
    expect(accepted.events).toEqual(['close']);
    expect(dialled.events).toEqual(['open', 'close']);
    expect(world.network.connCount).toBe(0);
  });

  test('destroy() closes at once and fails the writes that have not left', () => {
    const { world, conn, dialled, accepted } = openPair();
    const results: string[] = [];
    world.network.setLinkState('a', 'b', 'clogged');
    for (let i = 0; i < 3; i++) {
      conn.write([new Uint8Array(200_000)], (error) =>
        results.push(error === null ? 'ok' : 'failed'),
      );
    }
    conn.destroy();
    world.network.healAll();
    world.kernel.runUntilIdle();
    expect(results).toEqual(['ok', 'failed', 'failed']);
    expect(dialled.events).toEqual(['open', 'close']);
    expect(accepted.events).toEqual(['close']);
    expect(accepted.bytes.length).toBe(200_000);
  });

  test('a write to a closed connection answers with an error and never calls back at once', () => {
    const { world, conn } = openPair();
    conn.destroy();
    const results: unknown[] = [];
    expect(conn.write([bytes(1)], (error) => results.push(error))).toBe(true);
    expect(results).toEqual([]);
    world.kernel.runUntilIdle();
    expect(results).toEqual([expect.objectContaining({ code: 'EPIPE' })]);
  });

  test('a dial is refused where nobody listens or accept() answers null closes it', () => {
    const world = new SimWorld({ seed: 1 });
    const a = world.addHost('a').start();
    world
      .addHost('b')
      .start()
      .net.listen(
        'b:1',
        () => null,
        () => {},
      );
    const refused = new Recorder();
    const turnedAway = new Recorder();
    const nowhere = new Recorder();
    a.net.dial('b:2', refused);
    a.net.dial('b:1', turnedAway);
    a.net.dial('elsewhere:1', nowhere);
    world.kernel.runUntilIdle();
    expect(refused.events).toEqual(['close ECONNREFUSED']);
    expect(turnedAway.events).toEqual(['open', 'close']);
    expect(nowhere.events).toEqual(['close ECONNREFUSED']);
    expect(world.network.counters).toEqual({ dials: 3, refusedDials: 2, accepted: 1 });
  });

  test('an address has one listener, port 0 draws one, and a closed listener frees it', () => {
    const world = new SimWorld({ seed: 1 });
    const { net } = world.addHost('a').start();
    const seen: string[] = [];
    net.listen(
      '127.0.0.1:7',
      () => null,
      (error, first) => {
        seen.push(String(error));
        net.listen(
          '127.0.0.1:7',
          () => null,
          (again) => seen.push(String(again?.code)),
        );
        net.listen(
          '0.0.0.0:0',
          () => null,
          (_error, { address }) => seen.push(address),
        );
        first.close(() => {
          net.listen(
            '127.0.0.1:7',
            () => null,
            (third) => seen.push(String(third)),
          );
        });
      },
    );
    world.kernel.runUntilIdle();
    expect(seen).toEqual([
      'null',
      'EADDRINUSE',
      expect.stringMatching(/^10\.0\.0\.1:\d+$/),
      'null',
    ]);
  });

  test('over its mark write() answers false, and onDrain comes once the waiting bytes have left', () => {
    const { world, conn, served, dialled, accepted } = openPair();
    served().pauseReading();
    let accepts = 0;
    while (conn.write([new Uint8Array(10_000)])) accepts += 1;
    // 256 KiB of window and 64 KiB of queue.
    expect(accepts).toBeGreaterThan(30);
    world.kernel.runUntilIdle();
    expect(dialled.events).toEqual(['open']);
    expect(conn.pendingBytes).toBeGreaterThan(0);
    served().resumeReading();
    world.kernel.runUntilIdle();
    expect(dialled.events).toEqual(['open', 'drain']);
    expect(conn.pendingBytes).toBe(0);
    expect(accepted.chunks.length).toBe(accepts + 1);
  });

  test('a buffer that changes before it has left ends the run', () => {
    const { world, conn, served } = openPair();
    served().pauseReading();
    while (conn.write([new Uint8Array(100_000)])) {}
    const buffer = bytes(1, 2, 3);
    conn.write([buffer]);
    buffer[0] = 9;
    served().resumeReading();
    expect(() => world.kernel.runUntilIdle()).toThrow(/changed before it was written/);
  });

  test('in byte mode the stream is split and merged anywhere, and every byte arrives in order', () => {
    const sizes = new Set<number>();
    for (let seed = 0; seed < 10; seed++) {
      const { world, conn, accepted } = openPair({
        seed,
        network: { mode: 'byte', windowBytes: 1000 },
      });
      const sent: number[] = [];
      for (let i = 0; i < 60; i++) {
        const part = Uint8Array.from({ length: (i * 7) % 50 }, (_, j) => (i * 31 + j) & 0xff);
        sent.push(...part);
        conn.write([part.subarray(0, 3), part.subarray(3)]);
      }
      conn.end();
      world.kernel.runUntilIdle();
      expect(accepted.bytes).toEqual(sent);
      for (const chunk of accepted.chunks) sizes.add(chunk.length);
    }
    expect(sizes.size).toBeGreaterThan(50);
    expect(Math.max(...sizes)).toBeGreaterThan(50);
  });

  test('with poisonReceived a chunk that was kept is overwritten after its event', () => {
    const { world, conn, accepted } = openPair({ network: { poisonReceived: true } });
    conn.write([bytes(1, 2)]);
    world.kernel.runUntilIdle();
    expect(accepted.bytes).toEqual([0xdb, 0xdb]);
  });
});

describe('SimNet faults', () => {
  test('latency and bandwidth delay bytes', () => {
    const arrival = (options: object, size: number): number => {
      const { world, conn, accepted } = openPair();
      world.network.setLink('a', 'b', options);
      const start = world.kernel.nowUs;
      conn.write([new Uint8Array(size)]);
      world.kernel.runUntil(() => accepted.chunks.length > 0);
      return world.kernel.nowUs - start;
    };
    expect(arrival({ latencyUs: [40_000, 50_000] }, 1)).toBeGreaterThanOrEqual(40_000);
    expect(arrival({ latencyUs: [0, 0], bytesPerSecond: 1000 }, 940)).toBeGreaterThanOrEqual(
      1_000_000,
    );
    expect(arrival({ latencyUs: [0, 0] }, 1)).toBeLessThan(10);
  });

  test('a clogged link holds everything back, in one direction, and lets it go in order', () => {
    const { world, conn, served, dialled, accepted } = openPair();
    world.network.setLinkState('a', 'b', 'clogged');
    for (let i = 0; i < 20; i++) conn.write([bytes(i)]);
    served().write([bytes(7)]);
    world.kernel.runForUs(5_000_000);
    expect(accepted.bytes).toEqual([]);
    expect(dialled.bytes).toEqual([7]);
    world.network.setLinkState('a', 'b', 'up');
    conn.write([bytes(20)]);
    world.kernel.runUntilIdle();
    expect(accepted.bytes).toEqual(Array.from({ length: 21 }, (_, i) => i));
  });

  test('a cut shorter than the time-out delays bytes, a longer one breaks the sender and not the receiver', () => {
    const { world, conn, dialled, accepted } = openPair();
    world.network.setPairState('a', 'b', 'cut');
    conn.write([bytes(1)]);
    world.kernel.runForUs(1_000_000);
    world.network.setPairState('a', 'b', 'up');
    world.kernel.runUntilIdle();
    expect(accepted.bytes).toEqual([1]);
    world.network.setPairState('a', 'b', 'cut');
    conn.write([bytes(2)]);
    world.kernel.runForUs(70_000_000);
    expect(dialled.events).toEqual(['open', 'close ETIMEDOUT']);
    world.network.setPairState('a', 'b', 'up');
    world.kernel.runUntilIdle();
    expect(accepted.events).toEqual([]);
    expect(accepted.bytes).toEqual([1]);
  });

  test('the half that is left over from a cut connection learns of it when it writes', () => {
    const { world, served, accepted } = openPair();
    world.network.breakSilently('a');
    world.kernel.runUntilIdle();
    expect(accepted.events).toEqual([]);
    served().write([bytes(1)]);
    world.kernel.runUntilIdle();
    expect(accepted.events).toEqual(['close ECONNRESET']);
  });

  test('a dial over a cut link hangs until its time-out', () => {
    const { world, a, dialled } = openPair();
    world.network.setLinkState('b', 'a', 'cut');
    const late = new Recorder();
    expect(dialled.events).toEqual(['open']);
    const net = world.network.netFor(a.machine, a.owner);
    net.dial(serverAddress, late);
    world.kernel.runForUs(9_000_000);
    expect(late.events).toEqual([]);
    world.kernel.runForUs(2_000_000);
    expect(late.events).toEqual(['close ETIMEDOUT']);
  });

  test('partitions separate groups and keep each together', () => {
    const world = new SimWorld({ seed: 1 });
    const names = ['a', 'b', 'c'];
    const reached: string[] = [];
    for (const name of names) {
      const { net } = world.addHost(name).start();
      net.listen(
        `${name}:1`,
        () => new Recorder(),
        () => {},
      );
    }
    world.network.partition([['a', 'b'], ['c']]);
    for (const from of names) {
      for (const to of names.filter((each) => each !== from)) {
        const { machine, owner } = world.host(from);
        const handlers = new Recorder();
        handlers.onOpen = () => reached.push(`${from}${to}`);
        world.network.netFor(machine, owner).dial(`${to}:1`, handlers);
      }
    }
    world.kernel.runForUs(1_000_000);
    expect(reached.sort()).toEqual(['ab', 'ba']);
    world.network.healAll();
    world.kernel.runForUs(1_000_000);
    expect(reached.length).toBe(6);
  });

  test('a lossy link breaks connections instead of losing bytes inside them', () => {
    for (const mode of ['frame', 'byte'] as const) {
      const { world, conn, dialled, accepted } = openPair({ network: { mode } });
      world.network.setLink('a', 'b', { resetChance: 0.2 });
      const sent: number[] = [];
      for (let i = 0; dialled.events.length === 1 && i < 200; i++) {
        sent.push(i, i);
        conn.write([bytes(i, i)]);
        world.kernel.runForUs(5000);
      }
      expect(dialled.events).toEqual(['open', 'close ECONNRESET']);
      expect(accepted.events).toEqual(['close ECONNRESET']);
      expect(accepted.bytes).toEqual(sent.slice(0, accepted.bytes.length));
      expect(accepted.bytes.length).toBeLessThan(sent.length);
    }
  });

  test('every write is answered exactly once, whatever breaks the connection', () => {
    for (let seed = 0; seed < 60; seed++) {
      const mode = seed % 2 === 0 ? 'frame' : 'byte';
      const { world, conn } = openPair({ seed, network: { mode, windowBytes: 2000 } });
      world.network.setLink('a', 'b', { resetChance: 0.05 });
      const answers: number[] = [];
      for (let i = 0; i < 60; i++) {
        answers.push(0);
        conn.write([new Uint8Array(300)], () => {
          answers[i] = (answers[i] as number) + 1;
        });
        if (i === 40 && seed % 3 === 0) conn.destroy();
        if (i % 5 === 0) world.kernel.runForUs(500);
      }
      world.kernel.runUntilIdle();
      expect(answers).toEqual(new Array(60).fill(1));
      expect(conn.pendingBytes).toBe(0);
    }
  });

  test('resetBetween breaks both ends', () => {
    const { world, dialled, accepted } = openPair();
    world.network.resetBetween('b', 'a');
    world.kernel.runUntilIdle();
    expect(dialled.events).toEqual(['open', 'close ECONNRESET']);
    expect(accepted.events).toEqual(['close ECONNRESET']);
  });

  test('a killed process closes its connections, and dials to it are refused', () => {
    const { world, a, b, dialled } = openPair();
    b.kill();
    world.kernel.runUntilIdle();
    expect(dialled.events).toEqual(['open', 'close']);
    const late = new Recorder();
    world.network.netFor(a.machine, a.owner).dial(serverAddress, late);
    world.kernel.runUntilIdle();
    expect(late.events).toEqual(['close ECONNREFUSED']);
  });

  test('a machine without power says nothing; back on, it resets whoever still writes to it', () => {
    const { world, b, conn, dialled, accepted } = openPair();
    b.powerCut();
    conn.write([bytes(1)]);
    world.kernel.runForUs(10_000_000);
    expect(dialled.events).toEqual(['open']);
    b.start();
    world.kernel.runUntilIdle();
    expect(dialled.events).toEqual(['open', 'close ECONNRESET']);
    expect([accepted.bytes, accepted.events]).toEqual([[], []]);
  });

  test("a paused process's system still accepts, buffers and pushes back", () => {
    const { world, a, b, dialled, accepted, conn } = openPair();
    b.pause();
    const late = new Recorder();
    world.network.netFor(a.machine, a.owner).dial(serverAddress, late);
    while (conn.write([new Uint8Array(50_000)])) {}
    world.kernel.runForUs(5_000_000);
    expect(late.events).toEqual(['open']);
    expect([accepted.chunks.length, conn.pendingBytes > 0]).toEqual([0, true]);
    b.resume();
    world.kernel.runUntilIdle();
    expect(dialled.events).toEqual(['open', 'drain']);
    expect(accepted.chunks.length).toBeGreaterThan(5);
  });
});
