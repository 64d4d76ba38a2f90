// Callers whose leader can no longer say what becomes of their commands: it was deposed, its entries were replaced, or its
// replica has ended. They are told OUTCOME_UNKNOWN, once, and nobody is told so of an entry that is applied here by then.

import type { EngineCounters } from './metrics.ts';
import { type CompletionBatch, noTicket, statusOf } from './port.ts';
import type { Replica } from './replica.ts';

const outcomeUnknown = statusOf('OUTCOME_UNKNOWN');

export class LostWaits {
  readonly #completions: CompletionBatch;
  readonly #counters: EngineCounters;
  readonly #wake: () => void;
  /** Leaders that were deposed since the last turn, whose callers wait for what is not committed. */
  readonly #deposed: Replica[] = [];

  constructor(completions: CompletionBatch, counters: EngineCounters, wake: () => void) {
    this.#completions = completions;
    this.#counters = counters;
    this.#wake = wake;
  }

  /** Ends the waits for entries above `above`. */
  end(replica: Replica, above: number): void {
    const { waitCount } = replica;
    const kept = Math.min(waitCount, Math.max(0, above + 1 - replica.waitFirst));
    for (let place = kept; place < waitCount; place++) {
      const ticket = replica.ticketAt(place);
      if (ticket === noTicket) continue;
      this.#counters.outcomesUnknown++;
      this.#completions.add(ticket, outcomeUnknown, 0, 0, null);
    }
    replica.keepWaits(kept);
    this.#wake();
  }

  /** The replica leads no more. */
  deposed(replica: Replica): void {
    if (!replica.hasWaits) return;
    this.#deposed.push(replica);
    this.#wake();
  }

  /**
   * What is committed by now will be applied here, and then its callers have their results: nothing about it is unknown.
   * That is asked for in the turn and not in the step that lost the leadership, for the next leader's word on it may stand
   * in the frame behind.
   */
  giveUpDeposed(): void {
    if (this.#deposed.length === 0) return;
    for (const replica of this.#deposed) {
      if (!replica.isEnded) this.end(replica, replica.core.commitIndex);
    }
    this.#deposed.length = 0;
  }
}
