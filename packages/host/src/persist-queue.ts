// What must be told to cores once a position of the log is durable: by turn, the replicas whose HardState or own entries
// went into it, with what was true when they did. Flat and reused.

import type { Replica } from './replica.ts';

/** Four numbers a replica: term, votedFor, last index, its term. */
export interface PersistedTurn {
  position: number;
  count: number;
  readonly replicas: Replica[];
  readonly numbers: number[];
}

function emptyTurn(): PersistedTurn {
  return { position: 0, count: 0, replicas: [], numbers: [] };
}

export class PersistQueue {
  #open: PersistedTurn = emptyTurn();
  /** Number of the open turn: a replica that carries it stands in the turn already. */
  #turnNumber = 1;
  #turns: PersistedTurn[] = [];
  #due: PersistedTurn[] = [];
  readonly #spare: PersistedTurn[] = [];

  /** This replica has just handed something to the log. What is true of it now is noted, in place of an earlier note of this turn. */
  note(replica: Replica): void {
    const turn = this.#open;
    if (replica.persistTurn !== this.#turnNumber) {
      replica.persistTurn = this.#turnNumber;
      replica.persistPlace = turn.count;
      turn.replicas[turn.count++] = replica;
    }
    const at = 4 * replica.persistPlace;
    const { core } = replica;
    const index = core.lastIndex;
    turn.numbers[at] = core.term;
    turn.numbers[at + 1] = core.votedFor;
    turn.numbers[at + 2] = index;
    turn.numbers[at + 3] = core.termAt(index);
  }

  /** The turn ended at `position`. */
  endTurn(position: number): void {
    if (this.#open.count === 0) return;
    this.#open.position = position;
    this.#turns.push(this.#open);
    this.#open = this.#spare.pop() ?? emptyTurn();
    this.#turnNumber++;
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
