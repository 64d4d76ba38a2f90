// What cores need not be told at once. With thousands of groups a step costs above all what it takes to bring a group's
// memory into the processor's cache, so a core is stepped when its answer changes what others see, and not for each piece
// of news on the way there:
//
// 1. What a follower handed to the log is durable: its answers leave by the log's position, not by a step.
// 2. A leader's own entries are durable, or a follower grants them, and a commit needs still more copies than that.
// 3. A follower grants what is committed already.
// (2) and (3) of answers only while the leader sends every follower what it appends as it comes (pace.isSteady): then an
// answer moves a match index, and frees a place in a window that is not full.
//
// What is kept back waits in rows of numbers and is stepped before the next step of its replica, whatever that is. So a
// core sees the same events, some of them later, as over a slower network; answers bear the time at which they arrived.

import { type Message, pace as paceOf } from '@flotilla/core';

const hasPersisted = 1;
const hasAnswers = 2;
const isSteady = 4;
const awaitsOwnVote = 8;

/** Numbers a replica of what its core said last: its term while it leads, else 0; commit index; voters missing to a commit. */
const stateNumbers = 3;
/** Numbers a replica among what became durable: term, votedFor, last index, its term. */
const persistedNumbers = 4;
/** Numbers a replica and peer among the answers: index (0 = none), stream, when it arrived, generation of the sender. */
const answerNumbers = 4;

/** What became durable, as the core's event wants it. */
export interface PersistedEvent {
  kind: 'persisted';
  term: number;
  votedFor: number;
  index: number;
  indexTerm: number;
}

export class DeferredSteps {
  #capacity = 64;
  // Rows by handle number of the replica.
  #flags: Uint8Array = new Uint8Array(64);
  #state: Float64Array = new Float64Array(64 * stateNumbers);
  #persisted: Float64Array = new Float64Array(64 * persistedNumbers);
  /** By place of the peer. */
  readonly #answers: Float64Array[] = [];
  /** Replicas that await what became durable. */
  #due: number[] = [];
  #dueSpare: number[] = [];

  /** Makes room for replica `number`. */
  addReplica(number: number): void {
    if (number < this.#capacity) return;
    const capacity = this.#capacity * 2;
    this.#capacity = capacity;
    this.#flags = grown(this.#flags, new Uint8Array(capacity));
    this.#state = grown(this.#state, new Float64Array(capacity * stateNumbers));
    this.#persisted = grown(this.#persisted, new Float64Array(capacity * persistedNumbers));
    for (let place = 0; place < this.#answers.length; place++) {
      const rows = new Float64Array(capacity * answerNumbers);
      this.#answers[place] = grown(this.#answers[place] as Float64Array, rows);
    }
  }

  /** Makes room for one more peer, at the next place. */
  addPeer(): void {
    this.#answers.push(new Float64Array(this.#capacity * answerNumbers));
  }

  /** After every step of a replica: what its core says of itself now. */
  noteStep(number: number, pace: number, term: number, commitIndex: number): void {
    const missing = pace & paceOf.missingMask;
    const at = stateNumbers * number;
    this.#state[at] = missing > 0 ? term : 0;
    this.#state[at + 1] = commitIndex;
    this.#state[at + 2] = missing;
    this.#flags[number] =
      ((pace & paceOf.isSteady) !== 0 ? isSteady : 0) |
      ((pace & paceOf.awaitsOwnVote) !== 0 ? awaitsOwnVote : 0);
  }

  /** The replica has ended: nothing is kept back for it, and nothing waits. */
  end(number: number): void {
    this.#flags[number] = 0;
    this.#state[stateNumbers * number] = 0;
  }

  /** Something of a replica's is durable, in the order in which it was laid; a later one stands for all before it. */
  persisted(number: number, row: readonly number[], at: number): void {
    const to = persistedNumbers * number;
    for (let i = 0; i < persistedNumbers; i++) this.#persisted[to + i] = row[at + i] as number;
    const flags = this.#flags[number] as number;
    this.#flags[number] = flags | hasPersisted;
    if ((flags & awaitsOwnVote) !== 0 || this.#canCommit(number, 0)) this.#due.push(number);
  }

  /** Whether what is kept back of a leader, and `more` voters beside, may suffice for a commit. */
  #canCommit(number: number, more: number): boolean {
    const at = stateNumbers * number;
    const term = this.#state[at] as number;
    if (term === 0) return false;
    const commitIndex = this.#state[at + 1] as number;
    let copies = more;
    if (((this.#flags[number] as number) & hasPersisted) !== 0) {
      const own = persistedNumbers * number;
      if (
        (this.#persisted[own + 2] as number) > commitIndex &&
        (this.#persisted[own + 3] as number) === term
      )
        copies++;
    }
    for (let place = 0; place < this.#answers.length; place++) {
      const rows = this.#answers[place] as Float64Array;
      if ((rows[answerNumbers * number] as number) > commitIndex) copies++;
    }
    return copies >= (this.#state[at + 2] as number);
  }

  get hasDue(): boolean {
    return this.#due.length > 0;
  }

  /** The replicas to be stepped for what became durable. Good until the next call. */
  takeDue(): readonly number[] {
    const due = this.#due;
    this.#due = this.#dueSpare;
    this.#due.length = 0;
    this.#dueSpare = due;
    return due;
  }

  /** Whether a granted answer of `term` for `index` would be kept back. */
  canTakeAnswer(number: number, place: number, term: number, index: number): boolean {
    const at = stateNumbers * number;
    return (
      ((this.#flags[number] as number) & isSteady) !== 0 &&
      (this.#state[at] as number) === term &&
      (index <= (this.#state[at + 1] as number) ||
        !this.#canCommit(number, this.#isNew(number, place)))
    );
  }

  /** 1 where nothing of this peer's beyond the commit index is kept back yet. */
  #isNew(number: number, place: number): number {
    const kept = (this.#answers[place] as Float64Array)[answerNumbers * number] as number;
    return kept > (this.#state[stateNumbers * number + 1] as number) ? 0 : 1;
  }

  /** Keeps a peer's answer for later; false where it must be stepped. */
  takeAnswer(number: number, place: number, message: Message, nowMs: number): boolean {
    const { index, stream } = message;
    if (!message.granted || !this.canTakeAnswer(number, place, message.term, index)) return false;
    const rows = this.#answers[place] as Float64Array;
    const at = answerNumbers * number;
    // Of two answers on one stream the higher one says it all; of another stream or replica, the later one is valid.
    const isSameSource = rows[at + 1] === stream && rows[at + 3] === message.fromGeneration;
    if (isSameSource && (rows[at] as number) > index) return true;
    rows[at] = index;
    rows[at + 1] = stream;
    rows[at + 2] = nowMs;
    rows[at + 3] = message.fromGeneration;
    this.#flags[number] = (this.#flags[number] as number) | hasAnswers;
    return true;
  }

  hasWork(number: number): boolean {
    return ((this.#flags[number] as number) & (hasPersisted | hasAnswers)) !== 0;
  }

  hasAnswers(number: number): boolean {
    return ((this.#flags[number] as number) & hasAnswers) !== 0;
  }

  /** Takes the answer of the peer at `place` into `message` (index and stream); answers when it arrived, or -1 where
   * there is none. */
  nextAnswer(number: number, place: number, message: Message): number {
    const rows = this.#answers[place] as Float64Array;
    const at = answerNumbers * number;
    const index = rows[at] as number;
    if (index === 0) return -1;
    rows[at] = 0;
    message.index = index;
    message.stream = rows[at + 1] as number;
    message.fromGeneration = rows[at + 3] as number;
    message.granted = true;
    return rows[at + 2] as number;
  }

  /** Takes what became durable into `event`; false where nothing did. Forgets that there was work. */
  nextPersisted(number: number, event: PersistedEvent): boolean {
    const flags = this.#flags[number] as number;
    this.#flags[number] = flags & ~(hasPersisted | hasAnswers);
    if ((flags & hasPersisted) === 0) return false;
    const at = persistedNumbers * number;
    event.term = this.#persisted[at] as number;
    event.votedFor = this.#persisted[at + 1] as number;
    event.index = this.#persisted[at + 2] as number;
    event.indexTerm = this.#persisted[at + 3] as number;
    return true;
  }
}

function grown<T extends Float64Array | Uint8Array>(rows: T, to: T): T {
  to.set(rows);
  return to;
}
