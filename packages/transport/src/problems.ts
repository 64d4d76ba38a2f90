// Problems on their way to a person, at a limited rate: what a hostile or broken peer can provoke without end must not
// become a log without end. What was held back is counted, and the next problem that passes says how many there were.

import { type Clock, type ErrorCode, FlotillaError } from '@flotilla/io';

/** So many at once, then one a second. */
const burst = 20;
const refillMs = 1000;

export class Problems {
  readonly #clock: Clock;
  readonly #report: (error: FlotillaError) => void;
  #tokens = burst;
  #refilledMs: number;
  #heldBack = 0;

  constructor(clock: Clock, report: (error: FlotillaError) => void) {
    this.#clock = clock;
    this.#report = report;
    this.#refilledMs = clock.monotonicMs();
  }

  report(code: ErrorCode, message: string, details: Readonly<Record<string, unknown>>): void {
    const now = this.#clock.monotonicMs();
    const refill = Math.floor((now - this.#refilledMs) / refillMs);
    if (refill > 0) {
      this.#tokens = Math.min(burst, this.#tokens + refill);
      this.#refilledMs += refill * refillMs;
    }
    if (this.#tokens === 0) {
      this.#heldBack += 1;
      return;
    }
    this.#tokens -= 1;
    const heldBack = this.#heldBack;
    this.#heldBack = 0;
    this.#report(
      new FlotillaError(code, message, heldBack === 0 ? details : { ...details, heldBack }),
    );
  }
}
