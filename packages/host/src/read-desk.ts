// Linearizable reads of a host's replicas: the tickets that wait for a ReadIndex round, and then for the index it gave to
// be applied. One round serves all reads of a group that arrived in a turn; a read never joins a round whose messages
// left before it arrived. A follower's reads wait for its leader's answer and then for the entries it names, for so long at
// the most: nobody else ends that wait where the leader is out of reach, or has left this replica out since.

import type { Clock, Timer } from '@flotilla/io';
import { type CompletionBatch, statusOf, statusOk } from './port.ts';
import { noReads, type ReadWait, type Replica } from './replica.ts';

const notLeader = statusOf('NOT_LEADER');

export class ReadDesk {
  readonly #completions: CompletionBatch;
  readonly #clock: Clock;
  readonly #wake: () => void;
  /** Replicas that ask their leader, with when their oldest unanswered reads are given up. */
  readonly #asking = new Map<Replica, number>();
  #timer: Timer | null = null;
  /** How long a follower waits for its leader's answer. */
  patienceMs = 5000;

  constructor(completions: CompletionBatch, clock: Clock, wake: () => void) {
    this.#completions = completions;
    this.#clock = clock;
    this.#wake = wake;
  }

  /** The reads that arrived in this turn joined round `token`. */
  join(replica: Replica, token: number): void {
    replica.reads.push({ token, index: 0, tickets: replica.readsArrived });
    replica.readsArrived = [];
    if (replica.core.role === 'leader' || this.#asking.has(replica)) return;
    this.#asking.set(replica, this.#clock.monotonicMs() + this.patienceMs);
    this.#arm();
  }

  /** Reads that may be answered once `index` is applied, without a round. */
  ready(replica: Replica, tickets: number[], index: number): void {
    const wait: ReadWait = { token: 0, index, tickets };
    if (index <= replica.appliedIndex) this.#answer(wait);
    else awaitApplied(replica, wait);
  }

  /** Round `token` and all older ones are confirmed at `index`. Answers whether some must wait until it is applied. */
  confirm(replica: Replica, token: number, index: number): boolean {
    let confirmed = 0;
    for (const wait of replica.reads) {
      if (wait.token > token) break;
      confirmed++;
      wait.index = index;
      if (index <= replica.appliedIndex) this.#answer(wait);
      else awaitApplied(replica, wait);
    }
    if (confirmed > 0) replica.reads = replica.reads.slice(confirmed);
    if (this.#asking.size > 0) this.#noteAsking(replica);
    return replica.readsConfirmed.length > 0;
  }

  /** More was applied: answers the reads that waited for it. */
  applied(replica: Replica): void {
    const waiting: ReadWait[] = [];
    for (const wait of replica.readsConfirmed) {
      if (wait.index <= replica.appliedIndex) this.#answer(wait);
      else waiting.push(wait);
    }
    replica.readsConfirmed = waiting.length === 0 ? noReads : waiting;
  }

  /** Leadership is lost: rounds that are not confirmed never will be. A read changes nothing, so it may be tried again. */
  voidRounds(replica: Replica): void {
    for (const wait of replica.reads) this.#refuse(wait.tickets, notLeader, replica.core.leader);
    replica.reads = [];
    if (replica.readsConfirmed.length === 0) this.#asking.delete(replica);
  }

  /** The reads that arrived in this turn are not taken. */
  refuseArrived(replica: Replica, status: number, leader: number): void {
    this.#refuse(replica.readsArrived, status, leader);
    replica.readsArrived = [];
    if (replica.leaseReads !== null) this.#refuse(replica.leaseReads, status, leader);
    if (replica.followerReads !== null) this.#refuse(replica.followerReads, status, leader);
    replica.leaseReads = null;
    replica.followerReads = null;
  }

  /** The replica has ended. */
  refuseAll(replica: Replica, status: number): void {
    for (const wait of replica.reads) this.#refuse(wait.tickets, status, 0);
    for (const wait of replica.readsConfirmed) this.#refuse(wait.tickets, status, 0);
    replica.reads = [];
    replica.readsConfirmed = noReads;
    this.#asking.delete(replica);
    this.refuseArrived(replica, status, 0);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** A follower's leader answered, or it leads itself now: the time of what is left begins anew. */
  #noteAsking(replica: Replica): void {
    if (!this.#asking.has(replica)) return;
    if (replica.reads.length + replica.readsConfirmed.length === 0) this.#asking.delete(replica);
    else this.#asking.set(replica, this.#clock.monotonicMs() + this.patienceMs);
  }

  #arm(): void {
    if (this.#timer !== null) return;
    let dueMs = Infinity;
    for (const due of this.#asking.values()) dueMs = Math.min(dueMs, due);
    if (dueMs === Infinity) return;
    this.#timer = this.#clock.at(dueMs, () => {
      this.#timer = null;
      const nowMs = this.#clock.monotonicMs();
      for (const [replica, due] of this.#asking) {
        if (due <= nowMs) this.#giveUp(replica);
      }
      this.#arm();
      this.#wake();
    });
  }

  #giveUp(replica: Replica): void {
    if (replica.core.role === 'leader') {
      // It waits for nobody's answer any more, and holds all that was named to it.
      this.#asking.delete(replica);
      return;
    }
    const confirmed = replica.readsConfirmed;
    replica.readsConfirmed = noReads;
    for (const wait of confirmed) this.#refuse(wait.tickets, notLeader, replica.core.leader);
    this.voidRounds(replica);
  }

  #answer(wait: ReadWait): void {
    for (const ticket of wait.tickets) this.#completions.add(ticket, statusOk, wait.index, 0, null);
  }

  #refuse(tickets: readonly number[], status: number, leader: number): void {
    for (const ticket of tickets) this.#completions.add(ticket, status, leader, 0, null);
  }
}

/** These reads are answered once their index is applied. */
function awaitApplied(replica: Replica, wait: ReadWait): void {
  if (replica.readsConfirmed === noReads) replica.readsConfirmed = [wait];
  else replica.readsConfirmed.push(wait);
}
