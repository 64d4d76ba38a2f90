// What must be told to cores once a position of the log is durable: by turn, the replicas whose HardState or own entries
// went into it, with what was true when they did. Flat and reused.

import type { DeferredSteps } from './deferred-steps.ts';
import type { Replica } from './replica.ts';

interface PersistedTurn {
  position: number;
  count: number;
  /** Handle numbers. */
  readonly replicas: number[];
  /** Four numbers a replica: term, votedFor, last index, its term. */
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
  readonly #spare: PersistedTurn[] = [];

  /** This replica has just handed something to the log. What is true of it now is noted, in place of an earlier note of this turn. */
  note(replica: Replica): void {
    const turn = this.#open;
    if (replica.persistTurn !== this.#turnNumber) {
      replica.persistTurn = this.#turnNumber;
      replica.persistPlace = turn.count;
      turn.replicas[turn.count++] = replica.number;
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

  /** Everything up to `position` is durable: hands over what was noted of it, in order. */
  durable(position: number, deferred: DeferredSteps): void {
    let done = 0;
    for (; done < this.#turns.length; done++) {
      const turn = this.#turns[done] as PersistedTurn;
      if (turn.position > position) break;
      const { count, replicas, numbers } = turn;
      for (let i = 0; i < count; i++) deferred.persisted(replicas[i] as number, numbers, 4 * i);
      turn.count = 0;
      this.#spare.push(turn);
    }
    if (done > 0) this.#turns = this.#turns.slice(done);
  }
}
