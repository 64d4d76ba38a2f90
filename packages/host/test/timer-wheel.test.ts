import type { Clock, Timer } from '@flotilla/io';
import { describe, expect, it } from 'vitest';
import { TimerWheel, type WheelItem } from '../src/timer-wheel.ts';

/** A clock that stands still until it is moved. */
class ManualClock implements Clock {
  nowMs = 0;
  timers: { dueMs: number; callback: () => void }[] = [];

  monotonicMs(): number {
    return this.nowMs;
  }
  wallMs(): number {
    return this.nowMs;
  }
  at(dueMs: number, callback: () => void): Timer {
    const timer = { dueMs, callback };
    this.timers.push(timer);
    return {
      cancel: () => {
        this.timers = this.timers.filter((other) => other !== timer);
      },
    };
  }
  nextTurn(callback: () => void): void {
    callback();
  }
  moveTo(ms: number): void {
    for (;;) {
      const next = this.timers
        .filter((timer) => timer.dueMs <= ms)
        .sort((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined) break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      next.callback();
    }
    this.nowMs = ms;
  }
}

interface Item extends WheelItem {
  readonly name: string;
  deadlineMs: number;
}

function setUp(): { clock: ManualClock; wheel: TimerWheel<Item>; fired: string[] } {
  const clock = new ManualClock();
  const fired: string[] = [];
  const wheel = new TimerWheel<Item>(clock, () =>
    wheel.takeDue(clock.nowMs, (item) => {
      if (item.deadlineMs > clock.nowMs) return item.deadlineMs;
      fired.push(`${item.name}@${clock.nowMs}`);
      return Infinity;
    }),
  );
  return { clock, wheel, fired };
}
const item = (name: string, deadlineMs: number): Item => ({
  name,
  deadlineMs,
  wheelDueMs: Infinity,
  wheelSlot: -1,
});

describe('the timer wheel', () => {
  it('fires an item at most one slot after its deadline, and never before', () => {
    const { clock, wheel, fired } = setUp();
    for (const due of [1, 7, 8, 9, 500, 8191, 8192, 20_000, 100_000])
      wheel.file(item(`${due}`, due), due);
    clock.moveTo(200_000);
    expect(fired).toHaveLength(9);
    for (const entry of fired) {
      const [due, at] = entry.split('@').map(Number) as [number, number];
      expect(at, entry).toBeGreaterThanOrEqual(due);
      expect(at - due, entry).toBeLessThanOrEqual(16);
    }
  });

  it('costs nothing when a deadline moves later: the item is filed again when it fires', () => {
    const { clock, wheel, fired } = setUp();
    const one = item('one', 100);
    wheel.file(one, 100);
    for (let ms = 50; ms <= 5000; ms += 50) {
      clock.moveTo(ms);
      one.deadlineMs = ms + 100;
    }
    expect(fired).toEqual([]);
    clock.moveTo(6000);
    expect(fired).toHaveLength(1);
  });

  it('fires once where a deadline moved earlier', () => {
    const { clock, wheel, fired } = setUp();
    const one = item('one', 5000);
    wheel.file(one, 5000);
    one.deadlineMs = 40;
    wheel.file(one, 40);
    clock.moveTo(10_000);
    expect(fired).toHaveLength(1);
    expect(Number(fired[0]?.split('@')[1])).toBeLessThanOrEqual(56);
  });

  it('forgets an item that was removed', () => {
    const { clock, wheel, fired } = setUp();
    const one = item('one', 50);
    wheel.file(one, 50);
    wheel.remove(one);
    clock.moveTo(1000);
    expect(fired).toEqual([]);
  });

  it('has no timer when nothing is filed', () => {
    const { clock, wheel } = setUp();
    wheel.file(item('one', 50), 50);
    clock.moveTo(1000);
    expect(clock.timers).toEqual([]);
  });

  it('fires everything after a stall of many rounds, once', () => {
    const { clock, wheel, fired } = setUp();
    for (let i = 0; i < 100; i++) wheel.file(item(`${i}`, i * 300), i * 300);
    clock.nowMs = 10_000_000;
    clock.moveTo(10_000_000);
    clock.moveTo(10_000_100);
    expect(fired).toHaveLength(100);
  });
});
