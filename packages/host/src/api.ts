// What users of the library see of a host: groups, handles, state machines. Promises exist only here, at the edge.

import type { FlotillaError } from '@flotilla/io';

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

export type GroupRole = 'follower' | 'preCandidate' | 'candidate' | 'leader' | 'failed' | 'closed';

export interface GroupStatus {
  readonly groupId: number;
  readonly role: GroupRole;
  readonly term: number;
  /** Node id, 0 = unknown. */
  readonly leader: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly members: readonly number[];
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
  /** Resolves with an index once a read of the local state machine is linearizable (ReadIndex; leader only for now). */
  read(options?: CallOptions): Promise<number>;
  /** Campaigns now; resolves when the command was taken, not when an election is won. */
  campaign(options?: { readonly preVote?: boolean }): Promise<void>;
  /**
   * Hands leadership over to another voter: this replica takes no more proposals (NOT_LEADER, with the target as the
   * hint), brings the target up to date and has it campaign. Resolves when this replica leads no more; rejects with
   * NOT_LEADER, CONFIG_INVALID (the target is no other voter), BUSY (another transfer is under way) or, when it was given
   * up after an election time-out and this replica leads on, TIMED_OUT.
   */
  transferLeadership(nodeId: number): Promise<void>;
  status(): GroupStatus;
  readonly failure: FlotillaError | null;
}

export interface GroupOptions {
  readonly groupId: number;
  /** Node ids of the voters; this host's among them. */
  readonly members: readonly number[];
  readonly stateMachine: StateMachine;
}
