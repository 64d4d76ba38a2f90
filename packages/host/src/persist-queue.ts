// What must be told to cores once a position of the log is durable: by turn, the replicas whose HardState or own entries
// went into it, with what was true when they did. Flat and reused. Steady leaders are told by their rows, at once; all
// others, and those whose rows have committed something, are due in the next turn.

import { type SteadyRows, steadyResults } from '@flotilla/core';
import { prefetchCount } from './prefetch.ts';
import type { Replica } from './replica.ts';

/** Numbers a note: term, votedFor, last index, its term. */
const noteNumbers = 4;

interface PersistedTurn {
  position: number;
  count: number;
  /** Handle numbers. */
  readonly replicas: number[];
  readonly numbers: number[];
}

function emptyTurn(): PersistedTurn {
  return { position: 0, count: 0, replicas: [], numbers: [] };
}

/** What became durable of a replica, as the core's event wants it. */
export interface PersistedEvent {
  kind: 'persisted';
  term: number;
  votedFor: number;
  index: number;
  indexTerm: number;
}

/** Replicas for which the next turn has something to do, by handle number. */
export class DueReplicas {
  /** Steady leaders that have committed something. */
  readonly committed: number[] = [];
  /** Replicas whose cores must be stepped, and the notes for them. */
  readonly stepped: number[] = [];
  readonly #numbers: number[] = [];

  get isEmpty(): boolean {
    return this.committed.length === 0 && this.stepped.length === 0;
  }

  addStepped(number: number, notes: readonly number[], at: number): void {
    const to = noteNumbers * this.stepped.length;
    this.stepped.push(number);
    for (let i = 0; i < noteNumbers; i++) this.#numbers[to + i] = notes[at + i] as number;
  }

  /** What became durable of the replica at `place` of `stepped`. */
  read(place: number, event: PersistedEvent): void {
    const at = noteNumbers * place;
    event.term = this.#numbers[at] as number;
    event.votedFor = this.#numbers[at + 1] as number;
    event.index = this.#numbers[at + 2] as number;
    event.indexTerm = this.#numbers[at + 3] as number;
  }

  clear(): void {
    this.committed.length = 0;
    this.stepped.length = 0;
  }
}

export class PersistQueue {
  readonly #rows: SteadyRows;
  #open: PersistedTurn = emptyTurn();
  /** Number of the open turn: a replica that carries it stands in the turn already. */
  #turnNumber = 1;
  #turns: PersistedTurn[] = [];
  readonly #spare: PersistedTurn[] = [];
  #due = new DueReplicas();
  #dueSpare = new DueReplicas();

  constructor(rows: SteadyRows) {
    this.#rows = rows;
  }

  /** This replica has just handed something to the log. What is true of it now is noted, in place of an earlier note of this turn. */
  note(replica: Replica): void {
    const turn = this.#open;
    if (replica.persistTurn !== this.#turnNumber) {
      replica.persistTurn = this.#turnNumber;
      replica.persistPlace = turn.count;
      turn.replicas[turn.count++] = replica.number;
    }
    const at = noteNumbers * replica.persistPlace;
    const { core } = replica;
    const index = core.lastIndex;
    turn.numbers[at] = core.term;
    turn.numbers[at + 1] = core.votedFor;
    turn.numbers[at + 2] = index;
    turn.numbers[at + 3] = core.termAt(index);
  }

  /** A steady leader has just handed its entries up to `index`, of `term`, to the log. */
  noteSteady(number: number, term: number, index: number): void {
    const turn = this.#open;
    const at = noteNumbers * turn.count;
    turn.replicas[turn.count++] = number;
    turn.numbers[at] = term;
    // Only a candidate wants to know of its vote.
    turn.numbers[at + 1] = 0;
    turn.numbers[at + 2] = index;
    turn.numbers[at + 3] = term;
  }

  /** The turn ended at `position`. */
  endTurn(position: number): void {
    if (this.#open.count === 0) return;
    this.#open.position = position;
    this.#turns.push(this.#open);
    this.#open = this.#spare.pop() ?? emptyTurn();
    this.#turnNumber++;
  }

  /** Everything up to `position` is durable. Answers whether the next turn has something to do for it. */
  durable(position: number): boolean {
    let past = 0;
    for (; past < this.#turns.length; past++) {
      const turn = this.#turns[past] as PersistedTurn;
      if (turn.position > position) break;
      this.#tell(turn);
      turn.count = 0;
      this.#spare.push(turn);
    }
    if (past > 0) this.#turns = this.#turns.slice(past);
    return !this.#due.isEmpty;
  }

  #tell({ count, numbers, replicas }: PersistedTurn): void {
    const due = this.#due;
    for (let i = 0; i < count; i++) {
      if (i % prefetchCount === 0)
        this.#rows.touchAll(replicas, i, Math.min(count, i + prefetchCount));
      const number = replicas[i] as number;
      const at = noteNumbers * i;
      const result = this.#rows.durable(
        number,
        numbers[at + 3] as number,
        numbers[at + 2] as number,
      );
      if (result === steadyResults.refused) due.addStepped(number, numbers, at);
      else if (result === steadyResults.committed) due.committed.push(number);
    }
  }

  /** What the turn has to do; good until the next call. */
  takeDue(): DueReplicas {
    const due = this.#due;
    this.#due = this.#dueSpare;
    this.#due.clear();
    this.#dueSpare = due;
    return due;
  }
}
