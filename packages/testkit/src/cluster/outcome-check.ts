// Holds OUTCOME_UNKNOWN against what the host that says it has done (P3): once it applied a command it knows the outcome,
// and must have told it. What one event applies and answers has no order in itself: an outcome may become known in the
// turn that has given it up.

import { describeAttempt } from './command.ts';
import type { ViolationLog } from './violation.ts';

export class OutcomeCheck {
  readonly #violations: ViolationLog;
  readonly #eventCount: () => number;
  /** By attempt: which hosts applied it, and in which event of the simulation. */
  readonly #applied: Map<number, Map<string, number>> = new Map();

  constructor(violations: ViolationLog, eventCount: () => number) {
    this.#violations = violations;
    this.#eventCount = eventCount;
  }

  applied(host: string, id: number): void {
    let hosts = this.#applied.get(id);
    if (hosts === undefined) {
      hosts = new Map();
      this.#applied.set(id, hosts);
    }
    hosts.set(host, this.#eventCount());
  }

  /** `host` answers that it does not know what became of a write. */
  unknown(host: string, id: number): void {
    const event = this.#applied.get(id)?.get(host);
    if (event === undefined || event === this.#eventCount()) return;
    this.#violations.report(
      'P3',
      `${host} does not know the outcome of ${describeAttempt(id)}, which it applied in event ${event}`,
    );
  }
}
