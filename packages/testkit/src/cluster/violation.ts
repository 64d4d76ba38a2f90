// Broken promises, as the checks of a run report them. The first one ends the run; nothing is thrown, because a check may
// stand inside a callback of the engine, which would take the exception for a failure of its own.

/**
 * Invariants by the names of docs/internals/simulator.md; X1: the engine threw. F1: a replica or host stopped without a
 * reason. P1: bytes on the wire that are not the protocol. P2: a call that does not settle. P3: an outcome that is
 * said to be unknown, and is not. T1: the run does not end.
 */
export type InvariantId =
  | 'S1'
  | 'S2'
  | 'S3'
  | 'S4'
  | 'S5'
  | 'S6'
  | 'S7'
  | 'S8'
  | 'S9'
  | 'S10'
  | 'S11'
  | 'C1'
  | 'C2'
  | 'C3'
  | 'W1'
  | 'W2'
  | 'L1'
  | 'L2'
  | 'F1'
  | 'P1'
  | 'P2'
  | 'P3'
  | 'X1'
  | 'T1';

export interface Violation {
  readonly invariant: InvariantId;
  readonly message: string;
  readonly atUs: number;
}

export class ViolationLog {
  first: Violation | null = null;
  readonly #nowUs: () => number;
  readonly #onFirst: () => void;

  constructor(nowUs: () => number, onFirst: () => void) {
    this.#nowUs = nowUs;
    this.#onFirst = onFirst;
  }

  report(invariant: InvariantId, message: string): void {
    if (this.first !== null) return;
    this.first = { invariant, message, atUs: this.#nowUs() };
    this.#onFirst();
  }
}
