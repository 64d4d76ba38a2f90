// What a step asks of the host. The host passes an Effects in, carries out what stands in it, and clears it; it may let
// several steps of the SAME core gather in it, except that it must carry out and clear after a step that set `appendLast`
// or `installIndex` (only the host knows which message's bytes those are) and before it steps another core with it.
//
// What the host owes, in this order:
// 1. hardState: into the log, before this step's entries, so that every prefix of the log is a state that existed.
// 2. truncateFrom, then the entries appendFirst..appendLast, into the log after it; or the snapshot at installIndex.
// 3. `messages` may leave at once (a leader's appends leave beside its own fsync: thesis 10.2.1).
// 4. `afterPersist` may leave only once everything handed to the log up to the end of this turn is durable, also when
//    this turn handed it nothing: the answer to a repeated request must not overtake the fsync of the first.
// 5. committedTo: entries up to it may be applied.
// When 1 and 2 are durable the host steps `persisted` with what was handed over.

import type { Configuration } from './configuration.ts';
import type { ChangeRefusal } from './configuration-change.ts';
import { MessageList } from './message.ts';

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

/** A read round that was confirmed: reads that joined `token` may be answered once `index` is applied. */
export interface ReadyRead {
  readonly token: number;
  readonly index: number;
}

/** Why a proposal, a change, a transfer or a read was not taken. */
export type Refusal =
  | 'notLeader'
  /** Leadership is being handed over. */
  | 'transferring'
  /** Too many bytes wait to be committed. */
  | 'uncommittedFull'
  /** A new leader has not committed an entry of its own term yet. */
  | 'noOwnCommit'
  /** The change before is not committed yet. */
  | 'changeInProgress'
  /** The node to hand over to is no voter of the configuration to come, or is this one. */
  | 'notVoter'
  | ChangeRefusal;

export class Effects {
  /** Term or vote changed: they must be durable before anything in afterPersist leaves. */
  hardStateChanged = false;
  /**
   * The core's HardState when `hardStateChanged`, and the commit index as it stood before this step's entries (it alone
   * needs no sync). It must not be replaced by a newer one: laid before entries that it covers, it would after a crash
   * between the two commit whatever stale entries stand at those places.
   */
  term = 0;
  /** Node id, 0 = none, and which replica of it. The host adds the third part of the member's identity. */
  votedFor = 0;
  votedGeneration = 0;
  commit = 0;
  /**
   * First index of a conflicting suffix to drop, 0 = none. Where steps were gathered, `messages` may hold appends from
   * before, when this replica still led, whose entries are the ones dropped: the host leaves those appends out.
   */
  truncateFrom = 0;
  /** Entries to persist, 0 = none. A follower's are those of the message stepped, a leader's those just proposed. */
  appendFirst = 0;
  appendLast = 0;
  /** The leader's one entry appendFirst is this configuration; null where it is something else. */
  appendConfiguration: Configuration | null = null;
  /**
   * The snapshot of the message stepped replaces the whole log: its record becomes durable, log and state machine begin
   * anew behind it. 0 = none.
   */
  installIndex = 0;
  installTerm = 0;
  readonly messages: MessageList = new MessageList();
  readonly afterPersist: MessageList = new MessageList();
  /** New commitIndex, 0 = unchanged. May be noted in the log behind the entries of this step, never before them. */
  committedTo = 0;
  /**
   * Of a `propose` or `configure` step: the index of its first entry, or 0 where it was refused (see `refusal`).
   * Of a step in which this replica becomes leader: the index of the blank entry of its term; appendFirst covers it.
   */
  proposedFirst = 0;
  /** Why the last proposal, change, transfer or read of these steps was not taken; null where it was. */
  refusal: Refusal | null = null;
  /** Of a `read` step: the token of the round the reads joined, or 0 where they were refused. */
  readToken = 0;
  /** Read rounds confirmed by this step; all older rounds are confirmed with them. */
  readonly reads: ReadyRead[] = [];
  /** Every read round not confirmed so far is void: leadership, or the leader that was asked, was lost. */
  readsVoid = false;
  /** Role, term or leader changed, or a transfer ended; read them from the core. */
  stateChanged = false;
  /** Another configuration counts than before; read it from the core. */
  configurationChanged = false;
  /** A configuration without this replica is committed that had been a member: it has been removed. */
  removed = false;
  /** Followers that need a snapshot: what they miss has been compacted. Asked again after a lost connection. */
  readonly snapshotsNeeded: number[] = [];
  /** The leader says that this replica lost entries that it had acknowledged: it must stop for good. */
  logReverted = false;

  clear(): void {
    this.hardStateChanged = false;
    this.term = 0;
    this.votedFor = 0;
    this.votedGeneration = 0;
    this.commit = 0;
    this.truncateFrom = 0;
    this.appendFirst = 0;
    this.appendLast = 0;
    this.appendConfiguration = null;
    this.installIndex = 0;
    this.installTerm = 0;
    this.messages.clear();
    this.afterPersist.clear();
    this.committedTo = 0;
    this.proposedFirst = 0;
    this.refusal = null;
    this.readToken = 0;
    if (this.reads.length > 0) this.reads.length = 0;
    this.readsVoid = false;
    this.stateChanged = false;
    this.configurationChanged = false;
    this.removed = false;
    if (this.snapshotsNeeded.length > 0) this.snapshotsNeeded.length = 0;
    this.logReverted = false;
  }
}
