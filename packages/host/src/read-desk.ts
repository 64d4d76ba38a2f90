// Linearizable reads of a host's replicas: the tickets that wait for a ReadIndex round, and then for the index it gave to
// be applied. One round serves all reads of a group that arrived in a turn; a read never joins a round whose messages
// left before it arrived.

import { type CompletionBatch, statusOf, statusOk } from './port.ts';
import type { ReadWait, Replica } from './replica.ts';

const notLeader = statusOf('NOT_LEADER');

export class ReadDesk {
  readonly #completions: CompletionBatch;

  constructor(completions: CompletionBatch) {
    this.#completions = completions;
  }

  /** The reads that arrived in this turn joined round `token`. */
  join(replica: Replica, token: number): void {
    replica.reads.push({ token, index: 0, tickets: replica.readsArrived });
    replica.readsArrived = [];
  }

  /** Round `token` and all older ones are confirmed at `index`. Answers whether some must wait until it is applied. */
  confirm(replica: Replica, token: number, index: number): boolean {
    let confirmed = 0;
    for (const wait of replica.reads) {
      if (wait.token > token) break;
      confirmed++;
      wait.index = index;
      if (index <= replica.appliedIndex) this.#answer(wait);
      else replica.readsConfirmed.push(wait);
    }
    if (confirmed > 0) replica.reads = replica.reads.slice(confirmed);
    return replica.readsConfirmed.length > 0;
  }

  /** More was applied: answers the reads that waited for it. */
  applied(replica: Replica): void {
    const waiting: ReadWait[] = [];
    for (const wait of replica.readsConfirmed) {
      if (wait.index <= replica.appliedIndex) this.#answer(wait);
      else waiting.push(wait);
    }
    replica.readsConfirmed = waiting;
  }

  /** Leadership is lost: rounds that are not confirmed never will be. A read changes nothing, so it may be tried again. */
  voidRounds(replica: Replica): void {
    for (const wait of replica.reads) this.#refuse(wait.tickets, notLeader, replica.core.leader);
    replica.reads = [];
  }

  /** The reads that arrived in this turn are not taken. */
  refuseArrived(replica: Replica, status: number, leader: number): void {
    this.#refuse(replica.readsArrived, status, leader);
    replica.readsArrived = [];
  }

  /** The replica has ended. */
  refuseAll(replica: Replica, status: number): void {
    for (const wait of replica.reads) this.#refuse(wait.tickets, status, 0);
    for (const wait of replica.readsConfirmed) this.#refuse(wait.tickets, status, 0);
    replica.reads = [];
    replica.readsConfirmed = [];
    this.refuseArrived(replica, status, 0);
  }

  #answer(wait: ReadWait): void {
    for (const ticket of wait.tickets) this.#completions.add(ticket, statusOk, wait.index, 0, null);
  }

  #refuse(tickets: readonly number[], status: number, leader: number): void {
    for (const ticket of tickets) this.#completions.add(ticket, status, leader, 0, null);
  }
}
