// Notices that wall time ran ahead of the monotonic clock: then the machine stood still while others went on, and no lease
// that was measured before may be trusted. (That is a net under a tightrope: the guide says that freezing a virtual
// machine is unsafe for leases.)
//
// What counts is how far the two clocks have moved apart within about one lease, not how far they are apart: a wall clock
// that is set or slewed slowly over a day is no sign of anything.

import type { Clock } from '@flotilla/io';

export class LeaseGuard {
  readonly #clock: Clock;
  /** The longest lease watched, and the least that clocks must move apart in it to be noticed; 0 = nobody has leases. */
  #windowMs = 0;
  #marginMs = 0;
  /** Least distance from the monotonic to the wall clock in the window before and in this one, and its beginning. */
  #before = Infinity;
  #now = Infinity;
  #sinceMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A group on this host has leases of that length. */
  watch(leaseMs: number): void {
    const marginMs = Math.ceil(leaseMs / 10);
    this.#marginMs = this.#windowMs === 0 ? marginMs : Math.min(this.#marginMs, marginMs);
    this.#windowMs = Math.max(this.#windowMs, leaseMs);
  }

  get isWatching(): boolean {
    return this.#windowMs > 0;
  }

  /** Whether every lease measured so far is void. To be asked before any is used. */
  hasJumped(monotonicMs: number): boolean {
    const distance = this.#clock.wallMs() - monotonicMs;
    if (monotonicMs - this.#sinceMs > this.#windowMs) {
      const isRecent = monotonicMs - this.#sinceMs <= 2 * this.#windowMs;
      this.#before = isRecent ? this.#now : Infinity;
      this.#now = Infinity;
      this.#sinceMs = monotonicMs;
    }
    const least = Math.min(this.#before, this.#now);
    const isAhead = distance > least + this.#marginMs;
    this.#now = isAhead ? distance : Math.min(this.#now, distance);
    if (isAhead) this.#before = Infinity;
    return isAhead;
  }
}
