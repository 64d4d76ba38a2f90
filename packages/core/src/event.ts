// What can happen to a replica. The host may reuse event objects: a step keeps no reference to its event.

import type { Message } from './message.ts';

export type CoreEvent =
  /** Time passed; due at `RaftCore.deadlineMs`. */
  | { kind: 'tick' }
  | { kind: 'message'; message: Message }
  /** `count` commands, `bytes` long in all, whose block the host has ready; see Effects.proposedFirst. */
  | { kind: 'propose'; count: number; bytes: number }
  /** Everything handed to the log up to this point is durable: HardState with this term and vote, entries up to `index` of `indexTerm`. */
  | { kind: 'persisted'; term: number; votedFor: number; index: number; indexTerm: number }
  /** Reads arrived; see Effects.readToken. */
  | { kind: 'read' }
  /** Campaign now: with a pre-vote round, or at once. */
  | { kind: 'campaign'; preVote: boolean }
  /** The connection to a peer broke: its append stream starts anew with a probe. */
  | { kind: 'peerLost'; nodeId: number }
  /** The connection to a peer stands again. */
  | { kind: 'peerBack'; nodeId: number };
