// What the engine keeps of one replica: its core, its place in the log, and who waits for what.
//
// Flat on purpose: thousands of these live in one process, most of them asleep. Arrays stay empty until used; every field
// is set in the constructor, in one order.

import type { RaftCore } from '@flotilla/core';
import type { StateMachine } from './api.ts';
import type { GroupView } from './group-handle.ts';
import { noTicket } from './port.ts';
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
  // What every proposal and commit of a steady group needs stands first, in neighbouring memory.

  // Submissions of this turn, a chain through the batch.
  chainHead = -1;
  chainTail = -1;
  /** Handle number: its place in the engine's table. */
  readonly number: number;
  /** Slot in the log. */
  readonly slot: number;
  readonly groupId: number;
  readonly generation: number;
  /**
   * Tickets of the entries that this leader appended and has not applied: ticket `waits[waitsAt + i]` belongs to index
   * `waitsFirst + i`, up to waitsEnd. Dense, because a leader appends without gaps; the array is kept and refilled.
   */
  waits: number[] = [];
  waitsAt = 0;
  waitsEnd = 0;
  waitsFirst = 0;
  appliedIndex: number;
  /** Replaced by one that does nothing when the replica has ended for good. */
  stateMachine: StateMachine;
  /** Reads that wait for an index to be applied. */
  readsConfirmed: ReadWait[] = noReads;
  /** Appends of this group in a peer's queue, all peers together: live ones must not overtake them. */
  queuedAppends = 0;
  /** A proposeMany was cut after a part was laid in this term; the rest may only follow in the same one. 0 = none. */
  cutTerm = 0;
  /** Failed, removed, or its host is closed. */
  isEnded = false;
  /** A record that apply() needs is being read from disk. */
  isLoading = false;
  /** Some member's data directory is named by the configuration: what comes from or goes to another one is dropped. */
  namesInstances = false;
  readonly core: RaftCore;

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
  ) {
    this.core = core;
    this.groupId = identity.groupId;
    this.generation = identity.generation;
    this.number = identity.number;
    this.slot = identity.slot;
    this.stateMachine = stateMachine;
    this.view = view;
    this.appliedIndex = appliedIndex;
  }

  get hasWaits(): boolean {
    return this.waitsAt < this.waitsEnd;
  }

  /** Remembers who waits for the entry `index`, the next one this leader appended. */
  pushWait(index: number, ticket: number): void {
    if (this.waitsAt === this.waitsEnd) {
      this.waitsAt = 0;
      this.waitsEnd = 0;
      this.waitsFirst = index;
    } else if (this.waitsAt >= 1024 && this.waitsAt * 2 >= this.waitsEnd) {
      this.waits.copyWithin(0, this.waitsAt, this.waitsEnd);
      this.waitsEnd -= this.waitsAt;
      this.waitsAt = 0;
    }
    // Behind what an earlier term of leadership left to be applied: nobody waits for what came in between.
    while (this.waitsFirst + (this.waitsEnd - this.waitsAt) < index) {
      this.waits[this.waitsEnd++] = noTicket;
    }
    this.waits[this.waitsEnd++] = ticket;
  }

  /** The ticket that waits for `index`, or noTicket; forgets everything up to it. Indexes are asked for in order. */
  takeWait(index: number): number {
    while (this.waitsAt < this.waitsEnd && this.waitsFirst < index) {
      this.waitsAt++;
      this.waitsFirst++;
    }
    if (this.waitsAt === this.waitsEnd || this.waitsFirst !== index) return noTicket;
    this.waitsFirst++;
    return this.waits[this.waitsAt++] as number;
  }

  isAwaited(index: number): boolean {
    const at = this.waitsAt + (index - this.waitsFirst);
    return (
      index >= this.waitsFirst && at < this.waitsEnd && (this.waits[at] as number) !== noTicket
    );
  }

  /** Forgets the waits from place `from` of the array on, and the memory of a long queue where none is left. */
  cutWaits(from: number): void {
    this.waitsEnd = from;
    if (this.waitsAt < this.waitsEnd) return;
    this.waits = [];
    this.waitsAt = 0;
    this.waitsEnd = 0;
  }
}
