import { describe, expect, it } from 'vitest';
import { NodeClock } from '../src/node-clock.ts';
import { NodeRng } from '../src/node-rng.ts';
import { until } from './until.ts';

const clock = new NodeClock();

describe('NodeClock', () => {
  it('never calls back before the due time, nor from inside the call', async () => {
    let calledMs = -1;
    const dueMs = clock.monotonicMs() + 15.5;
    clock.at(dueMs, () => {
      calledMs = clock.monotonicMs();
    });
    let pastMs = -1;
    clock.at(dueMs - 1000, () => {
      pastMs = clock.monotonicMs();
    });
    expect([calledMs, pastMs]).toEqual([-1, -1]);
    await until('both timers', () => calledMs >= 0 && pastMs >= 0);
    expect(calledMs).toBeGreaterThanOrEqual(dueMs);
    expect(pastMs).toBeLessThanOrEqual(calledMs);
  });

  it('is not early for any fraction of a millisecond', async () => {
    const early: number[] = [];
    let calls = 0;
    for (let i = 0; i < 200; i++) {
      const dueMs = clock.monotonicMs() + 1 + i / 13;
      clock.at(dueMs, () => {
        calls += 1;
        if (clock.monotonicMs() < dueMs) early.push(dueMs);
      });
    }
    await until('all timers', () => calls === 200);
    expect(early).toEqual([]);
  });

  it('does not call back at once what is due in a hundred days', async () => {
    let isCalled = false;
    const timer = clock.at(clock.monotonicMs() + 100 * 86_400_000, () => {
      isCalled = true;
    });
    let isLaterCalled = false;
    clock.at(clock.monotonicMs() + 5, () => {
      isLaterCalled = true;
    });
    await until('a later timer', () => isLaterCalled);
    expect(isCalled).toBe(false);
    timer.cancel();
  });

  it('does not call back what was cancelled, also when it was due already', async () => {
    let isCalled = false;
    const timer = clock.at(clock.monotonicMs(), () => {
      isCalled = true;
    });
    timer.cancel();
    timer.cancel();
    let isLaterCalled = false;
    clock.at(clock.monotonicMs() + 5, () => {
      isLaterCalled = true;
    });
    await until('a later timer', () => isLaterCalled);
    expect(isCalled).toBe(false);
  });

  it('runs next turns in order and after this one', async () => {
    const order: number[] = [];
    clock.nextTurn(() => order.push(1));
    clock.nextTurn(() => order.push(2));
    order.push(0);
    await until('both turns', () => order.length === 3);
    expect(order).toEqual([0, 1, 2]);
  });

  it('does not go back', () => {
    let lastMs = clock.monotonicMs();
    for (let i = 0; i < 10_000; i++) {
      const nowMs = clock.monotonicMs();
      expect(nowMs >= lastMs).toBe(true);
      lastMs = nowMs;
    }
    expect(Math.abs(clock.wallMs() - Date.now())).toBeLessThan(60_000);
  });
});

describe('NodeRng', () => {
  it('draws 32-bit integers over more than one block, and forks draw others', () => {
    const rng = new NodeRng();
    const fork = rng.fork('election');
    const drawn = Array.from({ length: 1000 }, () => rng.u32());
    expect(drawn.every((value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32)).toBe(
      true,
    );
    expect(new Set(drawn).size).toBeGreaterThan(990);
    expect(Array.from({ length: 10 }, () => fork.u32())).not.toEqual(drawn.slice(0, 10));
  });
});
