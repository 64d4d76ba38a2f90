// What the engine keeps of one replica: its core, its place in the log, and who waits for what.
//
// Flat on purpose: thousands of these live in one process, most of them asleep. Arrays stay empty until used; every field
// is set in the constructor, in one order.

import type { RaftCore } from '@flotilla/core';
import type { StateMachine } from './api.ts';
import type { GroupView } from './group-handle.ts';
import { noTicket } from './port.ts';
import type { ReplicaColumns } from './replica-columns.ts';
import type { WheelItem } from './timer-wheel.ts';

/** Reads that joined one ReadIndex round, or that wait for one index to be applied. */
export interface ReadWait {
  token: number;
  index: number;
  readonly tickets: number[];
}

/** In place of a list of its own where nobody waits: what every commit looks at is then the same memory for all replicas. */
export const noReads: ReadWait[] = [];
Object.freeze(noReads);

/** In place of the state machine of a replica that was removed. */
export const noMachine: StateMachine = { apply(): void {} };

/** Values of readyAt that are no index. */
export const neverAsked = -1;
export const neverReady = -2;

export class Replica implements WheelItem {
  // What every proposal and commit of a steady group needs besides its columns stands first, in neighbouring memory.

  /** Handle number: its place in the engine's table, and in the columns. */
  readonly number: number;
  readonly #columns: ReplicaColumns;
  /** Replaced by one that does nothing when the replica has ended for good. */
  stateMachine: StateMachine;
  /** Reads that wait for an index to be applied. */
  readsConfirmed: ReadWait[] = noReads;
  readonly core: RaftCore;
  /**
   * Tickets of the entries that this leader appended and has not applied, but for the first one, which stands in the
   * columns: `waits[waitsAt + i]` belongs to index `waitFirst + 1 + i`, up to waitsEnd. Dense, because a leader appends
   * without gaps; the array is kept and refilled.
   */
  #waits: number[] = [];
  #waitsAt = 0;
  #waitsEnd = 0;

  // What steps, timers, reads and trouble need.

  readonly view: GroupView;
  wheelDueMs: number = Infinity;
  wheelSlot = -1;
  isQueuedToApply = false;
  // Its place in the turn of the persist queue that it was noted in last.
  persistTurn = 0;
  persistPlace = 0;
  wasLeader = false;
  /** An operator was told that an entry of it fits no frame. */
  isTooLargeTold = false;
  /** It stopped for good: nothing is stepped or applied any more. */
  isFailed = false;
  /** That it exists is durable. */
  isDurable = false;
  /** Index of the configuration beside which it said that it is ready to join, or neverAsked, or neverReady. */
  readyAt: number = neverAsked;
  /** It has left the log but for its tombstone. */
  isRemoved = false;
  /** Then: the status with which its calls are refused. */
  endStatus = 0;
  /** The configuration that counts is known to be committed, and whoever wants to know that was told. */
  isConfigurationSettled = false;
  /** An operator was told that a follower needs a snapshot. */
  isSnapshotTold = false;
  /** It stands in the list of replicas with reads that arrived in this turn. */
  isReading = false;
  /** Tickets of linearizable reads that arrived in this turn, and of those that name another way; null = none yet. */
  readsArrived: number[] = [];
  leaseReads: number[] | null = null;
  followerReads: number[] | null = null;
  /** Reads whose round is not confirmed, in order of token. */
  reads: ReadWait[] = [];

  constructor(
    core: RaftCore,
    identity: {
      readonly groupId: number;
      readonly generation: number;
      readonly number: number;
      readonly slot: number;
    },
    stateMachine: StateMachine,
    view: GroupView,
    appliedIndex: number,
    columns: ReplicaColumns,
  ) {
    this.#columns = columns;
    columns.reach(identity.number);
    columns.slot[identity.number] = identity.slot;
    columns.groupId[identity.number] = identity.groupId;
    columns.generation[identity.number] = identity.generation;
    columns.appliedIndex[identity.number] = appliedIndex;
    this.core = core;
    this.number = identity.number;
    this.stateMachine = stateMachine;
    this.view = view;
  }

  /** Slot in the log. */
  get slot(): number {
    return this.#columns.slot[this.number] as number;
  }

  get groupId(): number {
    return this.#columns.groupId[this.number] as number;
  }

  get generation(): number {
    return this.#columns.generation[this.number] as number;
  }

  /** Appends of this group in a peer's queue, all peers together: live ones must not overtake them. */
  get queuedAppends(): number {
    return this.#columns.queuedAppends[this.number] as number;
  }
  set queuedAppends(count: number) {
    this.#columns.queuedAppends[this.number] = count;
  }

  /** A proposeMany was cut after a part was laid in this term; the rest may only follow in the same one. 0 = none. */
  get cutTerm(): number {
    return this.#columns.cutTerm[this.number] as number;
  }
  set cutTerm(term: number) {
    this.#columns.cutTerm[this.number] = term;
  }

  /** Failed, removed, or its host is closed. */
  get isEnded(): boolean {
    return this.#columns.isEnded[this.number] !== 0;
  }
  set isEnded(isEnded: boolean) {
    this.#columns.isEnded[this.number] = isEnded ? 1 : 0;
  }

  /** A record that apply() needs is being read from disk. */
  get isLoading(): boolean {
    return this.#columns.isLoading[this.number] !== 0;
  }
  set isLoading(isLoading: boolean) {
    this.#columns.isLoading[this.number] = isLoading ? 1 : 0;
  }

  get appliedIndex(): number {
    return this.#columns.appliedIndex[this.number] as number;
  }
  set appliedIndex(index: number) {
    this.#columns.appliedIndex[this.number] = index;
  }

  get hasWaits(): boolean {
    return this.waitCount > 0;
  }

  /** Entries from the first one that somebody waits for to the last. */
  get waitCount(): number {
    return this.#columns.waitCount[this.number] as number;
  }

  /** The first of them. */
  get waitFirst(): number {
    return this.#columns.waitFirst[this.number] as number;
  }

  /** Who waits for entry `waitFirst + place`, or noTicket. */
  ticketAt(place: number): number {
    const ticket =
      place === 0 ? this.#columns.waitTicket[this.number] : this.#waits[this.#waitsAt + place - 1];
    return ticket as number;
  }

  /** Remembers who waits for the entry `index`, the next one this leader appended. */
  pushWait(index: number, ticket: number): void {
    const { number } = this;
    const columns = this.#columns;
    const count = columns.waitCount[number] as number;
    if (count > 0) return this.#pushBehind(index, ticket, count);
    columns.waitFirst[number] = index;
    columns.waitTicket[number] = ticket;
    columns.waitCount[number] = 1;
  }

  #pushBehind(index: number, ticket: number, count: number): void {
    const { number } = this;
    const columns = this.#columns;
    if (this.#waitsAt === this.#waitsEnd) {
      this.#waitsAt = 0;
      this.#waitsEnd = 0;
    } else if (this.#waitsAt >= 1024 && this.#waitsAt * 2 >= this.#waitsEnd) {
      this.#waits.copyWithin(0, this.#waitsAt, this.#waitsEnd);
      this.#waitsEnd -= this.#waitsAt;
      this.#waitsAt = 0;
    }
    let next = (columns.waitFirst[number] as number) + count;
    // Behind what an earlier term of leadership left to be applied: nobody waits for what came in between.
    for (; next < index; next++) this.#waits[this.#waitsEnd++] = noTicket;
    this.#waits[this.#waitsEnd++] = ticket;
    columns.waitCount[number] = this.#waitsEnd - this.#waitsAt + 1;
  }

  /** The ticket that waits for `index`, or noTicket; forgets everything up to it. Indexes are asked for in order. */
  takeWait(index: number): number {
    const { number } = this;
    const columns = this.#columns;
    while ((columns.waitCount[number] as number) > 0) {
      const first = columns.waitFirst[number] as number;
      if (first > index) return noTicket;
      const ticket = columns.waitTicket[number] as number;
      this.#dropFirstWait();
      if (first === index) return ticket;
    }
    return noTicket;
  }

  #dropFirstWait(): void {
    const { number } = this;
    const columns = this.#columns;
    const left = (columns.waitCount[number] as number) - 1;
    columns.waitCount[number] = left;
    if (left === 0) return;
    columns.waitFirst[number] = (columns.waitFirst[number] as number) + 1;
    columns.waitTicket[number] = this.#waits[this.#waitsAt++] as number;
  }

  isAwaited(index: number): boolean {
    const place = index - this.waitFirst;
    return place >= 0 && place < this.waitCount && this.ticketAt(place) !== noTicket;
  }

  /** Forgets the waits but for the first `count`, and the memory of a long queue where none is left. */
  keepWaits(count: number): void {
    if (count >= this.waitCount) return;
    this.#columns.waitCount[this.number] = count;
    this.#waitsEnd = this.#waitsAt + Math.max(0, count - 1);
    if (count === 0) this.#waits = [];
    if (this.#waitsEnd > this.#waitsAt) return;
    this.#waitsAt = 0;
    this.#waitsEnd = 0;
  }
}
