import {
  drawFaultSchedule,
  type Fault,
  FaultInjector,
  type FaultWindow,
  type SimHost,
  SimWorld,
} from '@flotilla/testkit';
import { describe, expect, test } from 'vitest';

const ms = 1000;

function setUp(windows: readonly FaultWindow[], seed = 1) {
  const world = new SimWorld({ seed });
  const names = ['a', 'b', 'c'];
  const events: string[] = [];
  for (const name of names) world.addHost(name).start();
  const injector = new FaultInjector(world, {
    onDown: (host) => events.push(`down ${host.name}@${world.kernel.nowUs / ms}`),
    onUp: (host) => {
      host.start();
      events.push(`up ${host.name}@${world.kernel.nowUs / ms}`);
    },
  });
  injector.arm({ seed, durationUs: 1000 * ms, windows });
  return {
    world,
    injector,
    events,
    at: (timeMs: number) => world.kernel.runForUs(timeMs * ms - world.kernel.nowUs),
  };
}

const span = (fromMs: number, untilMs: number, fault: Fault): FaultWindow => ({
  fromUs: fromMs * ms,
  untilUs: untilMs * ms,
  fault,
});

describe('FaultInjector', () => {
  test('a killed host comes up when the last window that keeps it down ends', () => {
    const { at, events } = setUp([
      span(10, 30, { kind: 'kill', host: 'a' }),
      span(20, 50, { kind: 'powerCut', host: 'a', weights: {} }),
      span(60, 70, { kind: 'powerCut', host: 'b', weights: {} }),
    ]);
    at(100);
    expect(events).toEqual(['down a@10', 'up a@50', 'down b@60', 'up b@70']);
  });

  test('links are as bad as the worst window that is open, and whole after the last', () => {
    const { at, world } = setUp([
      span(10, 40, { kind: 'cut', shape: 'oneWayPair', links: [['a', 'b']] }),
      span(20, 60, {
        kind: 'clog',
        links: [
          ['a', 'b'],
          ['b', 'a'],
        ],
      }),
      span(20, 60, { kind: 'badLinks', links: [['a', 'b']], options: { latencyUs: [7, 7] } }),
    ]);
    const state = (): unknown[] => [
      world.network.link('a', 'b').state,
      world.network.link('b', 'a').state,
      world.network.link('a', 'b').options.latencyUs[0],
    ];
    at(15);
    expect(state()).toEqual(['cut', 'up', 50]);
    at(30);
    expect(state()).toEqual(['cut', 'clogged', 7]);
    at(50);
    expect(state()).toEqual(['clogged', 'clogged', 7]);
    at(70);
    expect(state()).toEqual(['up', 'up', 50]);
  });

  test('pauses, slow disks and clock rates end with their windows, also over a restart', () => {
    const { at, world } = setUp([
      span(10, 50, { kind: 'pause', host: 'a', freeze: false }),
      span(20, 30, { kind: 'kill', host: 'a' }),
      span(10, 50, { kind: 'slowDisk', host: 'a', slowness: 9 }),
      span(10, 50, { kind: 'clockRate', host: 'a', rate: 1.1 }),
    ]);
    const host: SimHost = world.host('a');
    const state = (): unknown[] => [host.isPaused, host.disk.slowness, host.clock.rate];
    at(15);
    expect(state()).toEqual([true, 9, 1.1]);
    at(40);
    expect([host.lives, ...state()]).toEqual([2, true, 9, 1.1]);
    at(60);
    expect(state()).toEqual([false, 1, 1]);
  });

  test('healAll ends what is open and forgets what would come', () => {
    const { at, injector, world, events } = setUp([
      span(10, 900, { kind: 'kill', host: 'a' }),
      span(10, 900, { kind: 'cut', shape: 'pair', links: [['b', 'c']] }),
      span(500, 900, { kind: 'kill', host: 'b' }),
    ]);
    at(100);
    injector.healAll();
    at(1000);
    expect(events).toEqual(['down a@10', 'up a@100']);
    expect(world.network.link('b', 'c').state).toBe('up');
    expect(injector.openCount).toBe(0);
  });

  test('counts what really happened: a host that is down cannot be killed', () => {
    const { at, injector } = setUp([
      span(10, 50, { kind: 'kill', host: 'a' }),
      span(20, 30, { kind: 'kill', host: 'a' }),
      span(20, 20, { kind: 'wallJump', host: 'a', byMs: 5 }),
      span(60, 60, { kind: 'wallJump', host: 'a', byMs: 5 }),
    ]);
    at(100);
    expect([...injector.installed]).toEqual([
      ['kill', 1],
      ['wallJump', 1],
    ]);
  });

  test('after any drawn schedule, and after any part of it, everything is whole again', () => {
    for (let seed = 0; seed < 60; seed++) {
      const { windows } = drawFaultSchedule(seed, {
        hosts: ['a', 'b', 'c'],
        durationUs: 1000 * ms,
        betweenUs: [10 * ms, 100 * ms],
      });
      const part = windows.filter((_, i) => seed % 2 === 0 || i % 3 !== 0);
      const { at, world, injector } = setUp(part, seed);
      at(1001);
      expect(injector.openCount).toBe(0);
      for (const host of world.hosts) {
        expect([host.isRunning, host.isPaused, host.disk.slowness]).toEqual([true, false, 1]);
        expect(host.clock.rate).toBe(1);
        for (const other of world.hosts) {
          if (other !== host) expect(world.network.link(host.name, other.name).state).toBe('up');
        }
      }
    }
  });
});
