// What must be told to cores once a position of the log is durable: by turn, the replicas whose HardState or own entries
// went into it, with what was true at the turn's end. Flat and reused.

import type { Replica } from './replica.ts';

/** Four numbers a replica: term, votedFor, last index, its term. */
export interface PersistedTurn {
  position: number;
  count: number;
  readonly replicas: Replica[];
  readonly numbers: number[];
}

export class PersistQueue {
  readonly #noted: Replica[] = [];
  #notedCount = 0;
  #turns: PersistedTurn[] = [];
  #due: PersistedTurn[] = [];
  readonly #spare: PersistedTurn[] = [];

  /** This replica handed something to the log in this turn. */
  note(replica: Replica): void {
    if (replica.isPersistNoted) return;
    replica.isPersistNoted = true;
    this.#noted[this.#notedCount++] = replica;
  }

  /** The turn ended at `position`. */
  endTurn(position: number): void {
    const noted = this.#notedCount;
    if (noted === 0) return;
    this.#notedCount = 0;
    const turn = this.#spare.pop() ?? { position: 0, count: 0, replicas: [], numbers: [] };
    turn.position = position;
    for (let at = 0; at < noted; at++) {
      const replica = this.#noted[at] as Replica;
      const core = replica.core;
      replica.isPersistNoted = false;
      turn.replicas[at] = replica;
      turn.numbers[4 * at] = core.term;
      turn.numbers[4 * at + 1] = core.votedFor;
      turn.numbers[4 * at + 2] = core.lastIndex;
      turn.numbers[4 * at + 3] = core.termAt(core.lastIndex);
    }
    turn.count = noted;
    this.#turns.push(turn);
  }

  /** Everything up to `position` is durable: answers whether anything waited for it. */
  durable(position: number): boolean {
    let done = 0;
    while (done < this.#turns.length && (this.#turns[done] as PersistedTurn).position <= position) {
      this.#due.push(this.#turns[done] as PersistedTurn);
      done++;
    }
    if (done > 0) this.#turns = this.#turns.slice(done);
    return done > 0;
  }

  /** The oldest turn that became durable and was not taken yet, or null. Give it back with recycle(). */
  takeDue(): PersistedTurn | null {
    return this.#due.shift() ?? null;
  }

  recycle(turn: PersistedTurn): void {
    turn.count = 0;
    this.#spare.push(turn);
  }
}
