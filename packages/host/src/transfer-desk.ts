// Callers who hand leadership over, and what they are told: done when this replica leads no more, TIMED_OUT when the core
// gave the transfer up after an election time-out, and at once why it cannot begin. A group has one transfer at a time.

import { type CompletionBatch, statusOf, statusOk } from './port.ts';
import type { Replica } from './replica.ts';
import type { Stepper } from './submission-desk.ts';

const notLeader = statusOf('NOT_LEADER');
const configInvalid = statusOf('CONFIG_INVALID');
const busy = statusOf('BUSY');
const timedOut = statusOf('TIMED_OUT');

export class TransferDesk {
  readonly #completions: CompletionBatch;
  /** Tickets by replica; empty nearly always. */
  readonly #waiting = new Map<Replica, number>();

  constructor(completions: CompletionBatch) {
    this.#completions = completions;
  }

  /** Steps the transfer to `nodeId`; the ticket waits for how it ends. */
  start(replica: Replica, nodeId: number, ticket: number, stepper: Stepper): void {
    const { core } = replica;
    if (replica.isEnded) return this.#answer(ticket, replica.endStatus, 0);
    if (this.#waiting.has(replica)) return this.#answer(ticket, busy, 0);
    this.#waiting.set(replica, ticket);
    stepper.step(replica, { kind: 'transfer', nodeId });
    if (core.transferTo === nodeId || !this.#waiting.has(replica)) return;
    this.#waiting.delete(replica);
    if (core.role !== 'leader') this.#answer(ticket, notLeader, core.leader);
    else this.#answer(ticket, configInvalid, 0);
  }

  /** Role, term or leader of the replica changed, or its core gave a transfer up. */
  stateChanged(replica: Replica): void {
    if (this.#waiting.size === 0) return;
    const ticket = this.#waiting.get(replica);
    if (ticket === undefined) return;
    const { core } = replica;
    if (core.role === 'leader' && core.transferTo !== 0) return;
    this.#waiting.delete(replica);
    this.#answer(ticket, core.role === 'leader' ? timedOut : statusOk, 0);
  }

  /** The replica has ended. */
  refuse(replica: Replica, status: number): void {
    const ticket = this.#waiting.get(replica);
    if (ticket === undefined) return;
    this.#waiting.delete(replica);
    this.#answer(ticket, status, 0);
  }

  #answer(ticket: number, status: number, leader: number): void {
    this.#completions.add(ticket, status, leader, 0, null);
  }
}
