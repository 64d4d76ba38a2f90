// What a core is made from: what all groups of a host share, and what one group was when it started.

import type { Configuration } from './configuration.ts';
import type { LogView } from './log-view.ts';

/** May be one object for all cores of a host: a core keeps it and changes nothing in it. */
export interface CoreConfig {
  readonly nodeId: number;
  /** A follower campaigns after a random time in [electionMsMin, electionMsMax) without a leader. */
  readonly electionMsMin: number;
  readonly electionMsMax: number;
  readonly heartbeatMs: number;
  readonly preVote: boolean;
  /**
   * A leader that has not heard from a quorum for electionMsMin steps down; a voter that has heard from a leader within
   * it refuses unforced votes. A group with lease reads has it in any case.
   */
  readonly checkQuorum: boolean;
  /** Window of one append stream: messages and bytes not yet answered. */
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Payload bytes in one append message (or one larger entry). */
  readonly appendBytesMax: number;
  /** A leader refuses proposals over this many bytes that are not committed; absent = no limit here. */
  readonly uncommittedBytesMax?: number;
  /** How far a lease ends before the followers' promise does: what clocks may drift apart in it. A tenth by default. */
  readonly leaseDriftMs?: number;
  /** Whether a leader leaves once a configuration without its vote is committed. True where absent. */
  readonly stepDownOnRemoval?: boolean;
}

/** The last index of a term that is present in the log. */
export interface TermEnd {
  readonly term: number;
  readonly lastIndex: number;
}

/** A configuration and the index of the entry (or the snapshot) that brought it. */
export interface ConfigurationAt {
  readonly index: number;
  readonly configuration: Configuration;
}

/** Durable state at start. */
export interface CoreBoot {
  readonly term: number;
  readonly votedFor: number;
  /** Which replica of `votedFor` has the vote; the first one where absent. Means nothing where nobody has it. */
  readonly votedGeneration?: number;
  readonly commit: number;
  /** First index present, 1 for a log that was never compacted; prevTerm is the term of the entry before it. */
  readonly firstIndex: number;
  readonly prevTerm: number;
  /** Ascending; empty for an empty log. */
  readonly termEnds: readonly TermEnd[];
  readonly log: LogView;
  /** The configuration before the first entry present: what the group was created with, or its snapshot says. */
  readonly configuration: Configuration;
  /** The configuration entries present in the log, ascending. The last one counts, committed or not. */
  readonly configurations?: readonly ConfigurationAt[];
  /** Which replica of the group on this node this is; the first one where absent. */
  readonly generation?: number;
  /**
   * Tokens of questions to a leader are drawn above this: greater than any that an earlier life of this replica can
   * have drawn, or an answer to its question would pass for an answer to ours. 0 where absent.
   */
  readonly tokenBase?: number;
  /** Seeds the election jitter: the same seed gives the same core. */
  readonly seed: number;
}
