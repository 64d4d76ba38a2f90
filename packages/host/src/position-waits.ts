// Who waits for a position of the log to be durable, in order of position.

import type { FlotillaError } from '@flotilla/io';

/** Called with null when everything up to the position is durable, or with why it never will be. */
export type PositionDone = (error: FlotillaError | null) => void;

export class PositionWaits {
  #waits: { readonly position: number; readonly done: PositionDone }[] = [];

  /** Positions never fall from call to call. */
  add(position: number, done: PositionDone): void {
    this.#waits.push({ position, done });
  }

  durable(position: number): void {
    let reached = 0;
    while (reached < this.#waits.length && (this.#waits[reached]?.position ?? 0) <= position)
      reached++;
    for (const { done } of this.#waits.splice(0, reached)) done(null);
  }

  fail(error: FlotillaError): void {
    for (const { done } of this.#waits.splice(0)) done(error);
  }
}
