// What users of the library see of a host: groups, handles, state machines. Promises exist only here, at the edge.

import type { FlotillaError } from '@flotilla/io';
import type {
  MemberProgress,
  Membership,
  MembershipChange,
  MembershipResult,
} from './membership.ts';

/**
 * Committed commands of one group, in index order, handed to its state machine in one call. Reused by the host: valid
 * until apply() returns, and so are the bytes. What the state machine keeps, it copies.
 */
export interface ApplyBatch {
  readonly groupId: number;
  /** Commands in this batch (blank and membership entries are left out). */
  readonly count: number;
  indexOf(position: number): number;
  readonly term: number;
  /** The payload of command `position` is bytes(position)[startOf(position), endOf(position)). */
  bytesOf(position: number): Uint8Array;
  startOf(position: number): number;
  endOf(position: number): number;
  /** A view of the payload (allocates). */
  payloadOf(position: number): Uint8Array;
  /** Whether a caller on this host waits for this command's result. */
  isAwaited(position: number): boolean;
  /** The result that the caller's promise resolves with. A number costs least; bytes must not change afterwards. */
  respond(position: number, result: CommandResult): void;
}
export type CommandResult = number | Uint8Array | null;

/** The application. A throw stops this replica (GROUP_FATAL), never the host: business errors belong in results. */
export interface StateMachine {
  apply(batch: ApplyBatch): void;
  /** Hash of the whole state, for comparing replicas; equal states give equal hashes. */
  stateHash?(): number;
  close?(): void;
}

export interface CallOptions {
  /** Stops waiting with TIMED_OUT after this long; a write may still commit. */
  readonly timeoutMs?: number;
  /** Stops waiting; a write may still commit. */
  readonly signal?: AbortSignal;
}

export interface WriteResult {
  readonly index: number;
  readonly term: number;
  readonly result: CommandResult;
}
export interface WriteManyResult {
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly term: number;
}

export type GroupRole =
  | 'follower'
  | 'preCandidate'
  | 'candidate'
  | 'leader'
  | 'failed'
  | 'removed'
  | 'closed';

export interface GroupStatus {
  readonly groupId: number;
  readonly role: GroupRole;
  readonly term: number;
  /** Node id, 0 = unknown. */
  readonly leader: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  /** Which replica of the group on this host this is. */
  readonly generation: number;
  /** Node ids of all members, learners included, ascending. */
  readonly members: readonly number[];
  readonly membership: Membership;
  /** Of a leader: what it knows of each member, itself included; null on any other replica. */
  readonly progress: readonly MemberProgress[] | null;
}

/**
 * How much a read may trust, and whom it asks.
 *
 *   linearizable  the leader asks a quorum whether it still leads (ReadIndex); trusts no clock
 *   lease         the leader answers by its lease where the group has leases (MembershipChange.leaseMs) and this one is
 *                 good, else as `linearizable`; trusts that clocks drift by no more than a tenth within a lease
 *   follower      any member answers once its leader has given it a read index (by quorum, or by lease in a group with
 *                 leases): linearizable as well
 *   stale         this replica answers with what it has, however old that is
 */
export type ReadConsistency = 'linearizable' | 'lease' | 'follower' | 'stale';

export interface ReadOptions extends CallOptions {
  /** Default: `linearizable`. */
  readonly consistency?: ReadConsistency;
}

/** One replica of one group. */
export interface RaftGroup {
  readonly groupId: number;
  readonly isLeader: boolean;
  /** Node id of the leader, 0 = unknown. */
  readonly leader: number;
  readonly term: number;
  /**
   * Replicates one command and resolves with its result after it was applied here. The bytes are copied at once.
   * Rejects with NOT_LEADER, BUSY, ENTRY_TOO_LARGE, WAL_FULL (nothing happened), OUTCOME_UNKNOWN (it may have), DROPPED,
   * CLOSED, GROUP_FATAL, WAL_POISONED.
   */
  propose(command: Uint8Array, options?: CallOptions): Promise<WriteResult>;
  /** Replicates commands back to back under one promise, that resolves when the last one was applied here. */
  proposeMany(commands: readonly Uint8Array[], options?: CallOptions): Promise<WriteManyResult>;
  /**
   * Resolves with an index once a read of the local state machine is what `consistency` promises. Rejects with NOT_LEADER
   * (elsewhere than on the leader; of a `follower` read: no leader answers), BUSY, TIMED_OUT, CLOSED, GROUP_FATAL,
   * REPLICA_REMOVED.
   */
  read(options?: ReadOptions): Promise<number>;
  /** Campaigns now; resolves when the command was taken, not when an election is won. */
  campaign(options?: { readonly preVote?: boolean }): Promise<void>;
  /**
   * Hands leadership over to another voter: this replica takes no more proposals (NOT_LEADER, with the target as the
   * hint), brings the target up to date and has it campaign. Resolves when this replica leads no more; rejects with
   * NOT_LEADER, CONFIG_INVALID (the target is no other voter), BUSY (another transfer is under way) or, when it was given
   * up after an election time-out and this replica leads on, TIMED_OUT.
   */
  transferLeadership(nodeId: number): Promise<void>;
  /**
   * Changes who belongs to the group, on its leader, in one step: through a joint configuration where more than one voter
   * changes. A node that is added must have made its replica first (GroupOptions.join). Resolves when the new
   * configuration is committed. Rejects with NOT_LEADER, CONFIG_IN_PROGRESS (one change at a time), MEMBERSHIP_INVALID,
   * MEMBER_NOT_READY (nothing was changed), OUTCOME_UNKNOWN (leadership was lost on the way: the next leader finishes the
   * change or drops it), TIMED_OUT (only the waiting ended), BUSY, CLOSED, GROUP_FATAL, REPLICA_REMOVED; with RangeError
   * where the change makes no sense by itself.
   */
  changeMembership(change: MembershipChange, options?: CallOptions): Promise<MembershipResult>;
  status(): GroupStatus;
  readonly failure: FlotillaError | null;
}

export interface GroupOptions {
  readonly groupId: number;
  /**
   * Node ids of the voters that a new group begins with; this host's among them. May be left out for a replica that the
   * log has, and is for one that joins.
   */
  readonly members?: readonly number[];
  /**
   * This replica is to be added to a group that exists (RaftGroup.changeMembership on its leader); it waits for that. Also
   * how a node comes back whose replica was removed: as a new generation. A replica that the log has is taken up.
   */
  readonly join?: boolean;
  readonly stateMachine: StateMachine;
}
