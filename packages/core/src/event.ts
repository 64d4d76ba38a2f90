// What can happen to a replica. The host may reuse event objects: a step keeps no reference to its event.

import type { MemberChange } from './configuration-change.ts';
import type { Message } from './message.ts';

/**
 * How a change is made: *simple* in one step (at most one voter), *joint* through a joint configuration that the leader
 * leaves by itself, *explicit* through one that stays until *leave*. *auto* takes one step where that is allowed, else
 * joint.
 */
export type Transition = 'auto' | 'simple' | 'joint' | 'explicit' | 'leave';

export type CoreEvent =
  /** Time passed; due at `RaftCore.deadlineMs`. */
  | { kind: 'tick' }
  | { kind: 'message'; message: Message }
  /** `count` commands, `bytes` long in all, whose block the host has ready; see Effects.proposedFirst. */
  | { kind: 'propose'; count: number; bytes: number }
  /** Everything handed to the log up to this point is durable: HardState with this term and vote, entries up to `index` of `indexTerm`. */
  | { kind: 'persisted'; term: number; votedFor: number; index: number; indexTerm: number }
  /**
   * Reads arrived; see Effects.readToken. A follower takes them only with `viaLeader`, and asks the leader for an index.
   * With `byQuorum` a leader asks a quorum also where it has a lease.
   */
  | { kind: 'read'; viaLeader?: boolean; byQuorum?: boolean }
  /** Campaign now: with a pre-vote round, or at once. Ignored while a lease may rest on this replica's promise. */
  | { kind: 'campaign'; preVote: boolean }
  /** The connection to a peer broke: its append stream starts anew with a probe. */
  | { kind: 'peerLost'; nodeId: number }
  /** The connection to a peer stands again. */
  | { kind: 'peerBack'; nodeId: number }
  /**
   * Change the membership; `leaseMs`, where present, sets the lease (0 = off) in the same entry. Not carried out where
   * Effects.refusal says why; else the entry is at Effects.proposedFirst, and done when that is committed.
   */
  | {
      kind: 'configure';
      transition: Transition;
      changes: readonly MemberChange[];
      leaseMs?: number;
    }
  /** Hand leadership over to a voter. Proposals are refused until it leads, or an election time-out has passed. */
  | { kind: 'transfer'; nodeId: number }
  /** Entries up to `index`, which a durable snapshot covers, are dropped from the log. */
  | { kind: 'compact'; index: number }
  /** The snapshot that Effects.snapshotsNeeded asked for did not get through: probe again at the next sign of life. */
  | { kind: 'snapshotFailed'; nodeId: number }
  /** The next time that follower is found to have lost what it acknowledged, it is filled again instead of stopped. */
  | { kind: 'allowRevert'; nodeId: number; isAllowed: boolean }
  /** Wall time ran ahead of the monotonic clock: no lease measured so far may be trusted. */
  | { kind: 'voidLease' };
