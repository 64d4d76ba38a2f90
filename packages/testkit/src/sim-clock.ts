// One host's Clock on the kernel: its monotonic time runs at a rate of its own and starts anywhere, its wall clock has
// an offset that may jump. A turn costs a little time, so that time moves while a host works.
//
// A timer calls back at or after its due time on this clock, whatever the rate does meanwhile.

import type { Clock, Timer } from '@flotilla/io';
import type { SimKernel, SimOwner } from './sim-kernel.ts';
import type { SimRng } from './sim-rng.ts';

export interface SimClockOptions {
  /** Microseconds of this clock in one of the kernel's: 1.2 runs 20 % fast. Default 1. */
  readonly rate?: number;
  /** Wall time at the kernel's zero, default 1,700,000,000,000. */
  readonly wallStartMs?: number;
  /** Monotonic time at the clock's making; a restarted machine may start anywhere. Default 1000. */
  readonly monotonicStartMs?: number;
  /** A turn begins this much later than it was asked for, drawn between the two. Default [1, 20]. */
  readonly turnCostUs?: readonly [number, number];
}

export const defaultWallStartMs = 1_700_000_000_000;

class SimTimer implements Timer {
  cancelled = false;
  cancelEvent: () => void = () => {};

  cancel(): void {
    this.cancelled = true;
    this.cancelEvent();
  }
}

export class SimClock implements Clock {
  readonly #kernel: SimKernel;
  readonly #owner: SimOwner;
  readonly #rng: SimRng;
  readonly #turnCostUs: readonly [number, number];
  #rate: number;
  /** This clock showed `#baseMs` when the kernel stood at `#baseUs`. */
  #baseUs: number;
  #baseMs: number;
  #wallStartMs: number;

  constructor(kernel: SimKernel, owner: SimOwner, rng: SimRng, options: SimClockOptions = {}) {
    this.#kernel = kernel;
    this.#owner = owner;
    this.#rng = rng;
    this.#turnCostUs = options.turnCostUs ?? [1, 20];
    this.#rate = checkedRate(options.rate ?? 1);
    this.#baseUs = kernel.nowUs;
    this.#baseMs = options.monotonicStartMs ?? 1000;
    this.#wallStartMs = options.wallStartMs ?? defaultWallStartMs;
  }

  get rate(): number {
    return this.#rate;
  }

  /** Wall time at the kernel's zero, jumps included. */
  get wallStartMs(): number {
    return this.#wallStartMs;
  }

  /** From now on the clock runs at this rate; timers that wait still call back at or after their time. */
  setRate(rate: number): void {
    this.#baseMs = this.monotonicMs();
    this.#baseUs = this.#kernel.nowUs;
    this.#rate = checkedRate(rate);
  }

  /** The wall clock jumps; monotonic time does not notice. */
  jumpWall(byMs: number): void {
    this.#wallStartMs += byMs;
  }

  /**
   * The machine is frozen for this long: monotonic time is set back by it while wall time goes on. To be called when
   * the freeze ends, with the owner paused meanwhile.
   */
  loseMonotonic(durationMs: number): void {
    const nowMs = this.monotonicMs();
    this.#baseUs = this.#kernel.nowUs;
    this.#baseMs = Math.max(0, nowMs - durationMs);
  }

  monotonicMs(): number {
    return this.#baseMs + ((this.#kernel.nowUs - this.#baseUs) * this.#rate) / 1000;
  }

  wallMs(): number {
    return this.#wallStartMs + this.#kernel.nowUs / 1000;
  }

  at(dueMs: number, callback: () => void): Timer {
    if (!(dueMs >= Number.NEGATIVE_INFINITY)) throw new RangeError(`dueMs is ${dueMs}`);
    const timer = new SimTimer();
    this.#arm(timer, dueMs, callback);
    return timer;
  }

  #arm(timer: SimTimer, dueMs: number, callback: () => void): void {
    const delayUs = Math.max(0, ((dueMs - this.monotonicMs()) * 1000) / this.#rate);
    const event = this.#kernel.schedule(delayUs, this.#owner, 'timer', () => {
      if (timer.cancelled) return;
      // The rate may have changed, or the rounding of the product may have come out a hair short.
      if (this.monotonicMs() < dueMs) {
        const missingUs = ((dueMs - this.monotonicMs()) * 1000) / this.#rate;
        if (missingUs >= 0.001) return this.#arm(timer, dueMs, callback);
        this.#baseMs += dueMs - this.monotonicMs();
      }
      callback();
    });
    timer.cancelEvent = () => event.cancel();
  }

  nextTurn(callback: () => void): void {
    const costUs = this.#rng.between(this.#turnCostUs[0], this.#turnCostUs[1]);
    this.#kernel.schedule(costUs, this.#owner, 'turn', callback);
  }
}

function checkedRate(rate: number): number {
  if (!(rate > 0 && rate < 1000))
    throw new RangeError(`a clock's rate is in (0, 1000), not ${rate}`);
  return rate;
}
