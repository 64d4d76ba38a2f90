import { SimKernel } from '@flotilla/testkit';
import { describe, expect, test } from 'vitest';

/** A little program with timers that make timers, on three owners. */
function runProgram(seed: number, chaosOrder = false): { order: string[]; hash: string } {
  const kernel = new SimKernel({ seed, chaosOrder });
  const rng = kernel.rng.fork('program');
  const order: string[] = [];
  const owners = ['a', 'b', 'c'].map((name) => kernel.owner(name));
  for (const owner of owners) {
    const tick = (left: number): void => {
      order.push(`${owner.name}${left}`);
      if (left > 0) kernel.schedule(rng.below(3), owner, 'tick', () => tick(left - 1));
    };
    kernel.schedule(0, owner, 'start', () => tick(20));
  }
  kernel.runUntilIdle();
  return { order, hash: kernel.traceHash };
}

describe('SimKernel', () => {
  test('the same seed gives the same order and trace hash twice, another seed another', () => {
    expect(runProgram(1)).toEqual(runProgram(1));
    expect(runProgram(1).hash).not.toBe(runProgram(2).hash);
    expect(runProgram(1, true)).toEqual(runProgram(1, true));
  });

  test('events of one microsecond run in the order they were made, and in any order in chaos', () => {
    const run = (seed: number, chaosOrder: boolean): number[] => {
      const kernel = new SimKernel({ seed, chaosOrder });
      const owner = kernel.owner('a');
      const seen: number[] = [];
      for (let i = 0; i < 20; i++) kernel.schedule(5, owner, 'event', () => seen.push(i));
      kernel.runUntilIdle();
      return seen;
    };
    const inOrder = Array.from({ length: 20 }, (_, i) => i);
    expect(run(1, false)).toEqual(inOrder);
    const chaos = run(1, true);
    expect(chaos).not.toEqual(inOrder);
    expect(chaos.toSorted((a, b) => a - b)).toEqual(inOrder);
  });

  test('time never goes back, over many random events', () => {
    const kernel = new SimKernel({ seed: 9 });
    const rng = kernel.rng.fork('times');
    const owner = kernel.owner('a');
    let last = 0;
    let count = 0;
    for (let i = 0; i < 3000; i++) {
      kernel.schedule(rng.below(1000) + rng.float(), owner, 'event', () => {
        expect(kernel.nowUs).toBeGreaterThanOrEqual(last);
        expect(Number.isSafeInteger(kernel.nowUs)).toBe(true);
        last = kernel.nowUs;
        count += 1;
      });
    }
    kernel.runUntilIdle();
    expect(count).toBe(3000);
  });

  test('a cancelled event never runs and leaves the trace as if it had not been due', () => {
    const kernel = new SimKernel({ seed: 1 });
    let ran = 0;
    kernel.schedule(1, kernel.owner('a'), 'event', () => ran++).cancel();
    kernel.runUntilIdle();
    expect([ran, kernel.eventCount, kernel.nowUs]).toEqual([0, 0, 0]);
  });

  test("a crashed owner's events vanish and it can schedule no more", () => {
    const kernel = new SimKernel({ seed: 1 });
    const victim = kernel.owner('victim');
    const other = kernel.owner('other');
    const seen: string[] = [];
    kernel.schedule(10, victim, 'late', () => seen.push('victim'));
    kernel.schedule(20, other, 'late', () => seen.push('other'));
    kernel.schedule(5, other, 'crash', () => kernel.crash(victim));
    kernel.runUntilIdle();
    kernel.schedule(1, victim, 'ghost', () => seen.push('ghost'));
    kernel.runUntilIdle();
    expect(seen).toEqual(['other']);
  });

  test("a paused owner's events are held until it is resumed, in order, and can be cancelled meanwhile", () => {
    const kernel = new SimKernel({ seed: 1 });
    const sleeper = kernel.owner('sleeper');
    const tester = kernel.owner('tester');
    const seen: string[] = [];
    kernel.pause(sleeper);
    for (const name of ['first', 'second', 'cancelled', 'third']) {
      const event = kernel.schedule(10, sleeper, name, () => seen.push(`${name}@${kernel.nowUs}`));
      if (name === 'cancelled') kernel.schedule(50, tester, 'cancel', () => event.cancel());
    }
    kernel.schedule(500, sleeper, 'later', () => seen.push(`later@${kernel.nowUs}`));
    kernel.schedule(100, tester, 'resume', () => kernel.resume(sleeper));
    kernel.runUntilIdle();
    expect(seen).toEqual(['first@100', 'second@100', 'third@100', 'later@500']);
  });

  test('an event held, resumed and not yet run can still be cancelled by whoever made it', () => {
    const kernel = new SimKernel({ seed: 1 });
    const owner = kernel.owner('a');
    let ran = 0;
    const event = kernel.schedule(1, owner, 'event', () => ran++);
    kernel.pause(owner);
    kernel.runUntilIdle();
    kernel.resume(owner);
    event.cancel();
    kernel.runUntilIdle();
    expect(ran).toBe(0);
  });

  test('a run ends for the reason it says: met, time, budget, stopped, idle', () => {
    const kernel = new SimKernel({ seed: 1 });
    const owner = kernel.owner('a');
    let ticks = 0;
    const tick = (): void => {
      ticks += 1;
      if (ticks === 40) kernel.stop();
      if (ticks < 50) kernel.schedule(10, owner, 'tick', tick);
    };
    kernel.schedule(10, owner, 'tick', tick);
    expect(kernel.run(() => ticks === 5)).toBe('met');
    expect(kernel.run(null, { untilUs: 105 })).toBe('time');
    expect([ticks, kernel.nowUs]).toEqual([10, 105]);
    expect(kernel.run(null, { eventsMax: 3 })).toBe('budget');
    expect(kernel.run(null)).toBe('stopped');
    expect(kernel.run(null)).toBe('idle');
    expect(ticks).toBe(50);
    expect(() => kernel.runUntil(() => false)).toThrow(/seed 1/);
  });

  test('runAsync runs all microtasks of an event before the next one', async () => {
    const kernel = new SimKernel({ seed: 1 });
    const owner = kernel.owner('a');
    const seen: string[] = [];
    kernel.schedule(1, owner, 'one', () => {
      void (async () => {
        for (let i = 0; i < 5; i++) await Promise.resolve();
        seen.push('continuation');
        kernel.schedule(1, owner, 'three', () => seen.push('three'));
      })();
    });
    kernel.schedule(1, owner, 'two', () => seen.push('two'));
    expect(await kernel.runAsync(null)).toBe('idle');
    expect(seen).toEqual(['continuation', 'two', 'three']);
  });
});
