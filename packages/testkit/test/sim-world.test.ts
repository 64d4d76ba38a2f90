import type { World } from '@flotilla/io';
import { keepEverything, loseEverything, SimWorld, withoutAmbient } from '@flotilla/testkit';
import { describe, expect, test } from 'vitest';
import { Recorder } from './net-helpers.ts';

/** Three hosts that talk, write and take turns at random; returns the trace. */
function runWorld(seed: number, chaosOrder: boolean, mode: 'frame' | 'byte'): string {
  const world = new SimWorld({ seed, chaosOrder, network: { mode }, forbidAmbient: true });
  const names = ['a', 'b', 'c'];
  for (const name of names) world.addHost(name);
  for (const name of names) {
    const { net, disk, clock, rng } = world.host(name).start();
    net.listen(
      `${name}:1`,
      () => new Recorder(),
      () => {},
    );
    const conns = names
      .filter((other) => other !== name)
      .map((other) => net.dial(`${other}:1`, new Recorder()));
    disk.open('/f', 'create', (_error, file) => {
      let at = 0;
      const turn = (): void => {
        const bytes = Uint8Array.from({ length: 1 + (rng.u32() % 100) }, () => rng.u32());
        for (const conn of conns) conn.write([bytes]);
        disk.writev(file, [bytes], at, () => disk.datasync(file, () => clock.nextTurn(turn)));
        at += bytes.length;
      };
      clock.at(clock.monotonicMs() + 1 + (rng.u32() % 5), turn);
    });
  }
  world.kernel.runForUs(30_000);
  world.host('b').powerCut();
  world.network.partition([['a'], ['c']]);
  world.kernel.runForUs(30_000);
  expect(world.kernel.eventCount).toBeGreaterThan(100);
  return world.kernel.traceHash;
}

describe('a simulated world', () => {
  test('the same seed gives the same trace twice, another seed another, in every mode', () => {
    const hashes = new Set<string>();
    for (const chaosOrder of [false, true]) {
      for (const mode of ['frame', 'byte'] as const) {
        for (const seed of [1, 2, 3]) {
          const hash = runWorld(seed, chaosOrder, mode);
          expect(runWorld(seed, chaosOrder, mode)).toBe(hash);
          hashes.add(hash);
        }
      }
    }
    expect(hashes.size).toBe(12);
  });

  test('the trace changes with a single byte that is sent or written', () => {
    const trace = (value: number): string => {
      const world = new SimWorld({ seed: 1 });
      const { disk } = world.addHost('a').start();
      disk.open('/f', 'create', (_error, file) =>
        disk.writev(file, [Uint8Array.of(value)], 0, () => {}),
      );
      world.kernel.runUntilIdle();
      return world.kernel.traceHash;
    };
    expect(trace(1)).toBe(trace(1));
    expect(trace(1)).not.toBe(trace(2));
  });

  test('nothing of a dead life calls back, and its world does nothing more', () => {
    const world = new SimWorld({ seed: 1 });
    const host = world.addHost('a');
    const old = host.start();
    const seen: string[] = [];
    const everything = (name: string, { clock, disk, net }: World): void => {
      clock.nextTurn(() => seen.push(`${name} turn`));
      clock.at(clock.monotonicMs() + 5, () => seen.push(`${name} timer`));
      disk.mkdir(`/${name}`, () => seen.push(`${name} mkdir`));
      net.listen(
        'a:1',
        () => null,
        () => seen.push(`${name} listen`),
      );
    };
    everything('before', old);
    host.kill();
    everything('after', old);
    world.kernel.runUntilIdle();
    expect(seen).toEqual([]);
    everything('next', host.start());
    world.kernel.runUntilIdle();
    expect(seen.sort()).toEqual(['next listen', 'next mkdir', 'next timer', 'next turn']);
  });

  test('a kill keeps what was written, a power cut does not, and both free locks', () => {
    const world = new SimWorld({ seed: 1 });
    const host = world.addHost('a');
    const write = (value: number): void => {
      const { disk } = host.start();
      disk.lock('/LOCK', (lockError) => expect(lockError).toBe(null));
      disk.open(`/${value}`, 'create', (_error, file) => {
        disk.writev(file, [Uint8Array.of(value)], 0, () => {});
      });
      world.kernel.runUntilIdle();
    };
    write(1);
    host.kill();
    expect([...host.disk.surgery.read('/1')]).toEqual([1]);
    write(2);
    host.powerCut(loseEverything);
    expect(host.disk.image().paths()).toEqual([]);
    write(3);
    host.powerCut(keepEverything);
    expect([...host.disk.surgery.read('/3')]).toEqual([3]);
  });

  test('a power cut at every operation of a program leaves all that it acknowledged', () => {
    let points = 0;
    for (let n = 1, stopped = true; stopped; n++) {
      const world = new SimWorld({ seed: n, chaosOrder: true });
      const host = world.addHost('a');
      const { disk } = host.start();
      let acknowledged = 0;
      stopped = false;
      host.disk.crashAfter(n, () => {
        stopped = true;
        host.powerCut();
      });
      disk.open('/log', 'create', (_openError, file) => {
        const append = (): void => {
          const record = new Uint8Array(700).fill(acknowledged + 1);
          disk.writev(file, [record], acknowledged * 700, () => {
            disk.datasync(file, () => {
              acknowledged += 1;
              if (acknowledged < 5) append();
            });
          });
        };
        disk.syncDir('/', append);
      });
      world.kernel.runUntilIdle();
      points += 1;
      for (let i = 0; i < acknowledged; i++) {
        const record = host.disk.surgery.read('/log').subarray(i * 700, (i + 1) * 700);
        expect(record).toEqual(new Uint8Array(700).fill(i + 1));
      }
      expect(stopped).toBe(acknowledged < 5);
    }
    // open, syncDir, five times write and sync, and one run without a crash.
    expect(points).toBe(13);
  });

  test('with forbidAmbient simulated code cannot read the real clock or use real timers', () => {
    const world = new SimWorld({ seed: 1, forbidAmbient: true });
    const { clock } = world.addHost('a').start();
    clock.nextTurn(() => void Date.now());
    expect(() => world.kernel.runUntilIdle()).toThrow(/Date.now is not there/);
    expect(() => withoutAmbient(() => Math.random())).toThrow(/Math.random/);
    expect(() => withoutAmbient(() => setTimeout(() => {}, 1))).toThrow(/setTimeout/);
    expect(Date.now()).toBeGreaterThan(0);
    expect(performance.now()).toBeGreaterThan(0);
  });
});

describe('SimClock', () => {
  test('a timer calls back at or after its time on its own clock, whatever the rate does', () => {
    for (let seed = 0; seed < 20; seed++) {
      const world = new SimWorld({ seed });
      const rng = world.kernel.rng.fork('test');
      const host = world.addHost('a', { clock: { rate: 0.8 + rng.float() * 0.4 } });
      const { clock } = host.start();
      let called = 0;
      for (let i = 0; i < 50; i++) {
        const dueMs = clock.monotonicMs() + rng.float() * 1000;
        clock.at(dueMs, () => {
          called += 1;
          expect(clock.monotonicMs()).toBeGreaterThanOrEqual(dueMs);
        });
      }
      const test = world.kernel.owner('test');
      for (let i = 0; i < 10; i++) {
        const rate = 0.8 + rng.float() * 0.4;
        world.kernel.schedule(i * 100_000, test, 'rate', () => host.clock.setRate(rate));
      }
      world.kernel.runUntilIdle();
      expect(called).toBe(50);
    }
  });

  test('a fast clock shows more time than a slow one, and a timer of the past calls back soon', () => {
    const world = new SimWorld({ seed: 1 });
    const clockOf = (name: string, rate: number) =>
      world.addHost(name, { clock: { rate, monotonicStartMs: 0 } }).start().clock;
    const fast = clockOf('fast', 1.2);
    const slow = clockOf('slow', 0.8);
    world.kernel.runForUs(1_000_000);
    expect([fast.monotonicMs(), slow.monotonicMs()]).toEqual([1200, 800]);
    let called = false;
    fast.at(3, () => {
      called = true;
    });
    expect(called).toBe(false);
    world.kernel.runUntilIdle();
    expect([called, world.kernel.nowUs]).toEqual([true, 1_000_000]);
  });

  test('a turn costs between 1 and 20 microseconds', () => {
    const world = new SimWorld({ seed: 1 });
    const { clock } = world.addHost('a').start();
    const costs = new Set<number>();
    let last = 0;
    const turn = (): void => {
      costs.add(world.kernel.nowUs - last);
      last = world.kernel.nowUs;
      if (costs.size < 20) clock.nextTurn(turn);
    };
    clock.nextTurn(turn);
    world.kernel.runUntilIdle();
    expect([...costs].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  });

  test('wall time jumps, monotonic time does not; a freeze stops monotonic time only, a pause neither', () => {
    const world = new SimWorld({ seed: 1 });
    const host = world.addHost('a', { clock: { wallStartMs: 5000, monotonicStartMs: 100 } });
    const { clock } = host.start();
    host.clock.jumpWall(3_600_000);
    world.kernel.runForUs(10_000);
    expect([clock.wallMs(), clock.monotonicMs()]).toEqual([3_605_010, 110]);
    let firedAt = -1;
    clock.at(120, () => {
      firedAt = clock.monotonicMs();
    });
    host.freeze();
    world.kernel.runForUs(1_000_000);
    host.resume();
    expect([clock.wallMs(), clock.monotonicMs()]).toEqual([3_606_010, 110]);
    world.kernel.runForUs(20_000);
    expect(firedAt).toBe(120);
    host.pause();
    world.kernel.runForUs(1_000_000);
    host.resume();
    expect(clock.monotonicMs()).toBe(1130);
  });

  test('a cancelled timer never calls back, also after its host was paused over its time', () => {
    const world = new SimWorld({ seed: 1 });
    const host = world.addHost('a');
    const { clock } = host.start();
    let called = false;
    const timer = clock.at(clock.monotonicMs() + 1, () => {
      called = true;
    });
    host.pause();
    world.kernel.runForUs(10_000);
    host.resume();
    timer.cancel();
    world.kernel.runUntilIdle();
    expect(called).toBe(false);
  });

  test('monotonic time goes on over a kill and starts anew after a power cut; wall time goes on', () => {
    const world = new SimWorld({ seed: 1 });
    const host = world.addHost('a', { clock: { monotonicStartMs: 77 } });
    host.start();
    world.kernel.runForUs(1000);
    host.clock.jumpWall(500);
    const wallMs = host.clock.wallMs();
    host.kill();
    expect([host.start().clock.monotonicMs(), host.clock.wallMs()]).toEqual([78, wallMs]);
    host.powerCut();
    expect(host.start().clock.monotonicMs()).not.toBe(78);
    expect(host.clock.wallMs()).toBe(wallMs);
  });
});
