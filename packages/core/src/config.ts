// What a core is made from.

import type { LogView } from './log-view.ts';

export interface CoreConfig {
  readonly nodeId: number;
  /** Node ids of the voters, `nodeId` among them or not; all distinct, 31 at most. */
  readonly voters: readonly number[];
  /** A follower campaigns after a random time in [electionMsMin, electionMsMax) without a leader. */
  readonly electionMsMin: number;
  readonly electionMsMax: number;
  readonly heartbeatMs: number;
  readonly preVote: boolean;
  /** A leader that has not heard from a quorum for electionMsMin steps down; a voter that has heard from a leader within it refuses unforced votes. */
  readonly checkQuorum: boolean;
  /** Window of one append stream: messages and bytes not yet answered. */
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Payload bytes in one append message (or one larger entry). */
  readonly appendBytesMax: number;
  /** Seeds the election jitter: the same seed gives the same core. */
  readonly seed: number;
}

/** The last index of a term that is present in the log. */
export interface TermEnd {
  readonly term: number;
  readonly lastIndex: number;
}

/** Durable state at start. */
export interface CoreBoot {
  readonly term: number;
  readonly votedFor: number;
  readonly commit: number;
  /** First index present, 1 for a log that was never compacted; prevTerm is the term of the entry before it. */
  readonly firstIndex: number;
  readonly prevTerm: number;
  /** Ascending; empty for an empty log. */
  readonly termEnds: readonly TermEnd[];
  readonly log: LogView;
}
