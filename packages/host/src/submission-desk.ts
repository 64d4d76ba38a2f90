// The calls of a host's groups as they come out of the port: commands become blocks in the log, reads join a round,
// campaigns are stepped. What cannot be taken is refused with a status that says whether anything may have happened.

import type { CoreEvent, SteadyRows } from '@flotilla/core';
import type { Wal } from '@flotilla/wal';
import type { BlockWriter } from './block-writer.ts';
import type { LiveFrames } from './live-frames.ts';
import type { MembershipDesk } from './membership-desk.ts';
import type { EngineCounters } from './metrics.ts';
import {
  type CompletionBatch,
  noTicket,
  SubmissionBatch,
  statusOf,
  statusOk,
  submissionKinds,
} from './port.ts';
import { type Prefetch, prefetchCount } from './prefetch.ts';
import type { ReadDesk } from './read-desk.ts';
import type { Replica } from './replica.ts';
import type { ReplicaColumns } from './replica-columns.ts';
import type { TransferDesk } from './transfer-desk.ts';

/** What one group may lay in a turn (one larger entry aside); the rest goes to the back of the queue. */
const groupShareBytes = 512 << 10;
/** Bytes laid and not durable above which a turn takes no calls. */
export const walPendingBytesMax: number = 64 << 20;

const notLeader = statusOf('NOT_LEADER');
const outcomeUnknown = statusOf('OUTCOME_UNKNOWN');
const walFull = statusOf('WAL_FULL');

export interface Stepper {
  step(replica: Replica, event: CoreEvent): void;
  /** A steady leader has laid `count` commands of `bytes` bytes behind its last entry. */
  proposed(replica: Replica, count: number, bytes: number): void;
  /** The time that steps take now. */
  now(): number;
  /** A turn should come. */
  wake(): void;
}

export class SubmissionDesk {
  /** What calls made now go into. */
  open: SubmissionBatch = new SubmissionBatch();
  #spare: SubmissionBatch = new SubmissionBatch();
  readonly #stepper: Stepper;
  /** By handle number. */
  readonly #replicas: readonly Replica[];
  readonly #columns: ReplicaColumns;
  readonly #rows: SteadyRows;
  readonly #wal: Wal;
  readonly #blocks: BlockWriter;
  readonly #live: LiveFrames;
  readonly #prefetch: Prefetch;
  readonly #reads: ReadDesk;
  readonly #transfers: TransferDesk;
  readonly #memberships: MembershipDesk;
  readonly #completions: CompletionBatch;
  readonly #counters: EngineCounters;
  /** Handle numbers of those with proposals in this turn. */
  readonly #proposers: number[] = [];
  readonly #readers: Replica[] = [];
  readonly #proposed: { kind: 'propose'; count: number; bytes: number } = {
    kind: 'propose',
    count: 0,
    bytes: 0,
  };
  readonly #read: CoreEvent = { kind: 'read', byQuorum: true };
  readonly #readViaLeader: CoreEvent = { kind: 'read', viaLeader: true };

  constructor(
    stepper: Stepper,
    parts: {
      readonly replicas: readonly Replica[];
      readonly columns: ReplicaColumns;
      readonly rows: SteadyRows;
      readonly wal: Wal;
      readonly blocks: BlockWriter;
      readonly live: LiveFrames;
      readonly prefetch: Prefetch;
      readonly reads: ReadDesk;
      readonly transfers: TransferDesk;
      readonly memberships: MembershipDesk;
      readonly completions: CompletionBatch;
      readonly counters: EngineCounters;
    },
  ) {
    this.#stepper = stepper;
    this.#replicas = parts.replicas;
    this.#columns = parts.columns;
    this.#rows = parts.rows;
    this.#wal = parts.wal;
    this.#blocks = parts.blocks;
    this.#live = parts.live;
    this.#prefetch = parts.prefetch;
    this.#reads = parts.reads;
    this.#transfers = parts.transfers;
    this.#memberships = parts.memberships;
    this.#completions = parts.completions;
    this.#counters = parts.counters;
  }

  /** Takes what was called since the last turn, unless the log has too much to write already. */
  take(): void {
    const batch = this.open;
    if (batch.count === 0 || this.#wal.pendingBytes > walPendingBytesMax) return;
    this.open = this.#spare;
    const { chainHead, chainTail } = this.#columns;
    for (let i = 0; i < batch.count; i++) {
      const number = batch.groups[i] as number;
      const replica = this.#replicas[number] as Replica;
      switch (batch.kinds[i]) {
        case submissionKinds.propose:
        case submissionKinds.proposePart:
          if ((chainHead[number] as number) < 0) {
            chainHead[number] = i;
            this.#proposers.push(number);
          } else {
            batch.next[chainTail[number] as number] = i;
          }
          chainTail[number] = i;
          break;
        case submissionKinds.read:
        case submissionKinds.leaseRead:
        case submissionKinds.followerRead:
          this.#arrived(replica, batch.kinds[i] as number, batch.tickets[i] as number);
          break;
        case submissionKinds.configure:
          this.#memberships.start(
            replica,
            batch.tickets[i] as number,
            batch.arena,
            batch.offsets[i] as number,
          );
          break;
        case submissionKinds.transfer:
          this.#transfers.start(
            replica,
            batch.offsets[i] as number,
            batch.tickets[i] as number,
            this.#stepper,
          );
          break;
        default:
          this.#campaign(
            replica,
            batch.kinds[i] === submissionKinds.preVoteCampaign,
            batch.tickets[i] as number,
          );
      }
    }
    for (let i = 0; i < this.#proposers.length; i++) {
      if (i % prefetchCount === 0) this.#prefetch.numbers(this.#proposers, i, false);
      this.#propose(this.#replicas[this.#proposers[i] as number] as Replica, batch);
    }
    this.#proposers.length = 0;
    for (const replica of this.#readers) this.#startReads(replica);
    this.#readers.length = 0;
    batch.clear();
    this.#spare = batch;
    if (this.open.count > 0) this.#stepper.wake();
  }

  #campaign(replica: Replica, preVote: boolean, ticket: number): void {
    if (!replica.isEnded) this.#stepper.step(replica, { kind: 'campaign', preVote });
    this.#completions.add(ticket, replica.isEnded ? replica.endStatus : statusOk, 0, 0, null);
  }

  /** Seals the commands that arrived for a group into blocks and steps its core; what is over its share waits a turn. */
  #propose(replica: Replica, batch: SubmissionBatch): void {
    if (this.#proposeSteady(replica, batch)) return;
    const core = replica.core;
    const isLeader = core.role === 'leader';
    const wal = this.#wal;
    const isFull = wal.isFull || (wal.fullGroups > 0 && wal.isGroupFull(replica.slot));
    // Who is about to lead takes it; here it could neither be laid nor committed in time.
    const isHandingOver = core.transferTo !== 0;
    const isTaken = isLeader && !replica.isEnded && !isFull && !isHandingOver;
    let head = this.#takeChain(replica.number);
    if (replica.cutTerm > 0) {
      if (!isTaken || core.term !== replica.cutTerm) head = this.#giveUpCut(replica, batch, head);
      replica.cutTerm = 0;
      if (head < 0) return;
    }
    if (replica.isEnded) {
      return this.#refuseChain(batch, head, replica.endStatus, 0);
    }
    if (!isLeader) return this.#refuseChain(batch, head, notLeader, core.leader);
    if (isHandingOver) return this.#refuseChain(batch, head, notLeader, core.transferTo);
    if (!isTaken) return this.#refuseChain(batch, head, walFull, 0);
    const written = this.#lay(replica, batch, head, core.lastIndex + 1, core.term);
    this.#proposed.count = written;
    this.#proposed.bytes = this.#blocks.payloadBytes;
    this.#stepper.step(replica, this.#proposed);
  }

  /** The same where nothing but replication is under way. */
  #proposeSteady(replica: Replica, batch: SubmissionBatch): boolean {
    const rows = this.#rows;
    const wal = this.#wal;
    const { number } = replica;
    const isPlain =
      rows.canPropose(number) &&
      replica.cutTerm === 0 &&
      !replica.isEnded &&
      !wal.isFull &&
      (wal.fullGroups === 0 || !wal.isGroupFull(replica.slot));
    if (!isPlain) return false;
    const head = this.#takeChain(number);
    const first = rows.lastIndex(number) + 1;
    const written = this.#lay(replica, batch, head, first, rows.term(number));
    this.#stepper.proposed(replica, written, this.#blocks.payloadBytes);
    return true;
  }

  /** The first call of the replica's chain, which ends to be its. */
  #takeChain(number: number): number {
    const { chainHead } = this.#columns;
    const head = chainHead[number] as number;
    chainHead[number] = -1;
    return head;
  }

  /** Lays the commands of a chain from index `first` on and answers how many; what is over the group's share comes again. */
  #lay(
    replica: Replica,
    batch: SubmissionBatch,
    head: number,
    first: number,
    term: number,
  ): number {
    const blocks = this.#blocks;
    this.#live.makeRoom(batch.lengths[head] as number);
    const written = blocks.writeChain(replica, batch, head, first, term, groupShareBytes);
    this.#live.extend(blocks);
    for (let rest = blocks.restOfChain; rest >= 0; rest = batch.next[rest] as number) {
      this.open.addFrom(batch, rest);
    }
    if (blocks.isRunCut) replica.cutTerm = term;
    this.#counters.proposalsTaken += written;
    return written;
  }

  /**
   * The rest of a proposeMany cannot follow its first part: its caller is told that the outcome is unknown, for a part of
   * it may be committed. Answers what comes behind it in the chain.
   */
  #giveUpCut(replica: Replica, batch: SubmissionBatch, head: number): number {
    replica.cutTerm = 0;
    let at = head;
    while (at >= 0 && (batch.tickets[at] as number) === noTicket) at = batch.next[at] as number;
    if (at < 0) return -1;
    this.#counters.outcomesUnknown++;
    this.#completions.add(batch.tickets[at] as number, outcomeUnknown, 0, 0, null);
    return batch.next[at] as number;
  }

  #refuseChain(batch: SubmissionBatch, head: number, status: number, leader: number): void {
    for (let i = head; i >= 0; i = batch.next[i] as number) {
      this.#counters.proposalsRefused++;
      const ticket = batch.tickets[i] as number;
      if (ticket !== noTicket) this.#completions.add(ticket, status, leader, 0, null);
    }
  }

  #arrived(replica: Replica, kind: number, ticket: number): void {
    if (!replica.isReading) {
      replica.isReading = true;
      this.#readers.push(replica);
    }
    if (kind === submissionKinds.read) {
      replica.readsArrived.push(ticket);
    } else if (kind === submissionKinds.leaseRead) {
      replica.leaseReads ??= [];
      replica.leaseReads.push(ticket);
    } else {
      replica.followerReads ??= [];
      replica.followerReads.push(ticket);
    }
  }

  #startReads(replica: Replica): void {
    replica.isReading = false;
    const { core, leaseReads, followerReads } = replica;
    const reads = this.#reads;
    if (replica.isEnded) return reads.refuseArrived(replica, replica.endStatus, 0);
    if (core.role !== 'leader') {
      replica.followerReads = null;
      reads.refuseArrived(replica, notLeader, core.leader);
      if (followerReads === null) return;
      replica.readsArrived = followerReads;
      this.#stepper.step(replica, this.#readViaLeader);
      // A step that took the reads has moved their tickets to a round.
      if (replica.readsArrived.length > 0) reads.refuseArrived(replica, notLeader, core.leader);
      return;
    }
    replica.leaseReads = null;
    replica.followerReads = null;
    if (leaseReads !== null && core.hasLease(this.#stepper.now())) {
      reads.ready(replica, leaseReads, core.commitIndex);
    } else if (leaseReads !== null) {
      replica.readsArrived.push(...leaseReads);
    }
    if (followerReads !== null) replica.readsArrived.push(...followerReads);
    if (replica.readsArrived.length === 0) return;
    this.#stepper.step(replica, this.#read);
    if (replica.readsArrived.length > 0) {
      reads.refuseArrived(replica, replica.isEnded ? replica.endStatus : notLeader, core.leader);
    }
  }

  /** The host ends: nothing of what waits was laid, the rest of a cut proposeMany aside. */
  refuseAll(status: number): void {
    const batch = this.open;
    for (let i = 0; i < batch.count; i++) {
      const ticket = batch.tickets[i] as number;
      if (ticket === noTicket) continue;
      const replica = this.#replicas[batch.groups[i] as number] as Replica;
      const isCut = replica.cutTerm > 0 && batch.kinds[i] === submissionKinds.propose;
      if (isCut) replica.cutTerm = 0;
      this.#completions.add(ticket, isCut ? outcomeUnknown : status, 0, 0, null);
    }
    batch.clear();
  }
}
