// One RaftCore with what a transcript's node has around it: a log, a state machine that only counts, work that is handed
// out as a "Ready" and carried out as one. What the core asks for gathers until the Ready is processed, as in the
// reference implementation; the core itself is the one of packages/core, and nothing of Raft is decided here.
//
// `shown` is the state as of the last Ready that was processed: what the transcript's own lines tell of.

import {
  Configuration,
  type ConfigurationAt,
  type CoreConfig,
  type CoreEvent,
  Effects,
  emptyConfiguration,
  firstReplica,
  Message,
  type MessageList,
  messageKinds,
  RaftCore,
  type Refusal,
  type Role,
} from '@flotilla/core';
import { commandText, type LoggedEntry } from './entry-text.ts';

export const tickMs = 100;

/** A message under way, with the entries that it names. `local` is the storage's word to its own replica. */
export interface Parcel {
  readonly message: Message;
  readonly entries: readonly LoggedEntry[];
  /** Answers a message of a lower term: it tells the term and nothing else. */
  readonly isTermAnswer: boolean;
}

export interface Persisted {
  readonly to: number;
  readonly event: CoreEvent;
}

export interface NodeOptions {
  readonly voters: readonly number[];
  readonly learners: readonly number[];
  readonly index: number;
  readonly inflight: number;
  readonly isAsync: boolean;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  readonly stepDownOnRemoval: boolean;
}

export interface Shown {
  term: number;
  vote: number;
  commit: number;
  role: Role;
  lead: number;
  applied: number;
}

type Operation =
  | { readonly kind: 'truncate'; readonly from: number }
  | { readonly kind: 'append'; readonly entries: readonly LoggedEntry[] }
  | { readonly kind: 'install'; readonly index: number };

/** What one Ready hands over. */
interface Work {
  isChanged: boolean;
  readonly operations: Operation[];
  readonly now: Parcel[];
  readonly later: Parcel[];
  isPersistent: boolean;
}

/** What the append thread still has to carry out (asynchronous storage). */
interface Write {
  readonly operations: readonly Operation[];
  readonly later: readonly Parcel[];
  readonly event: CoreEvent | null;
}

export class Replica {
  readonly id: number;
  readonly core: RaftCore;
  readonly shown: Shown;
  nowMs = 0;
  /** In the order of the log; those behind `firstShown` were in a Ready. */
  readonly entries: LoggedEntry[] = [];
  /** The last entry that was handed over in a Ready. */
  lastShown: number;
  readonly writes: Write[] = [];
  /** Term and vote, role and leader: before this command, then as each Ready showed them. */
  readonly ballots: string[] = [];
  readonly roles: string[] = [];
  readonly #options: NodeOptions;
  readonly #out: Effects = new Effects();
  #work: Work = newWork();
  #stableTo: number;
  #configurations: ConfigurationAt[];

  constructor(id: number, options: NodeOptions) {
    this.id = id;
    this.#options = options;
    const { index, voters, learners } = options;
    const isEmpty = voters.length === 0;
    const configuration = isEmpty
      ? emptyConfiguration
      : new Configuration({
          voters: voters.map(firstReplica),
          learners: learners.map(firstReplica),
        });
    const base = isEmpty ? 0 : index;
    // etcd's check-quorum looks at whole intervals, so that an answer counts for up to two of them.
    const electionMsMin = (options.checkQuorum ? 6 : 3) * tickMs - 5;
    const config: CoreConfig = {
      nodeId: id,
      electionMsMin,
      electionMsMax: electionMsMin + 4,
      heartbeatMs: tickMs,
      preVote: options.preVote,
      checkQuorum: options.checkQuorum,
      inflightMessagesMax: options.inflight,
      inflightBytesMax: Number.MAX_SAFE_INTEGER,
      appendBytesMax: Number.MAX_SAFE_INTEGER,
      stepDownOnRemoval: options.stepDownOnRemoval,
    };
    const boot = {
      term: 1,
      votedFor: 0,
      commit: base,
      firstIndex: base + 1,
      prevTerm: isEmpty ? 0 : 1,
      termEnds: [],
      log: { lastIndexWithin: lastOf, bytesBetween: countOf },
      configuration,
      seed: id,
    };
    this.core = new RaftCore(config, boot, 0);
    this.#stableTo = base;
    this.lastShown = base;
    this.#configurations = [{ index: base, configuration }];
    const { role } = this.core;
    this.shown = { term: 1, vote: 0, commit: base, role, lead: 0, applied: base };
  }

  /** Why the core refused, or null. `text` is that of the entry it may append. */
  step(
    event: CoreEvent,
    text: string = commandText(''),
    received: Parcel | null = null,
  ): Refusal | null {
    this.core.step(event, this.nowMs, this.#out);
    this.core.checkInvariants();
    const { refusal } = this.#out;
    this.#gather(text, received);
    return refusal;
  }

  receive(parcel: Parcel): void {
    const message = Object.assign(new Message(), parcel.message);
    if (message.kind === messageKinds.append) {
      message.configurations = parcel.entries.flatMap(({ index, configuration }) =>
        configuration === null ? [] : [{ index, configuration }],
      );
    }
    this.step({ kind: 'message', message }, undefined, { ...parcel, message });
  }

  tick(): void {
    this.nowMs += tickMs;
    this.step({ kind: 'tick' });
  }

  get preVote(): boolean {
    return this.#options.preVote;
  }

  get hasReady(): boolean {
    const { isChanged, now, later } = this.#work;
    return isChanged || now.length > 0 || later.length > 0;
  }

  /** The configuration that an applied index stands under, and the index that brought it. */
  configurationAt(index: number): ConfigurationAt {
    return this.#configurations.findLast((each) => each.index <= index) as ConfigurationAt;
  }

  beginCommand(): void {
    this.ballots.length = 0;
    this.roles.length = 0;
    this.#noteShown();
  }

  #noteShown(): void {
    const { term, vote, role, lead } = this.shown;
    this.ballots.push(`${term}/${vote}`);
    this.roles.push(`${role}/${lead}`);
  }

  /** Processes one Ready and answers the messages that leave now. */
  processReady(): Parcel[] {
    const work = this.#work;
    this.#work = newWork();
    for (const operation of work.operations) {
      if (operation.kind === 'truncate') this.lastShown = operation.from - 1;
      if (operation.kind === 'install') this.lastShown = operation.index;
      if (operation.kind === 'append') this.lastShown = operation.entries.at(-1)?.index ?? 0;
    }
    const { core, shown } = this;
    shown.term = core.term;
    shown.vote = core.votedFor;
    shown.commit = core.commitIndex;
    shown.role = core.role;
    shown.lead = core.leader;
    this.#noteShown();
    const write = this.#writeOf(work);
    if (this.#options.isAsync) {
      if (work.isPersistent || work.later.length > 0) this.writes.push(write);
      this.#apply();
      return work.now;
    }
    const sent = [...work.now, ...work.later];
    this.#carryOut(write);
    this.#apply();
    if (write.event !== null) this.step(write.event);
    return sent;
  }

  /** One piece of work of the append thread: what leaves then, and what the core is to hear. */
  processWrite(): { readonly sent: readonly Parcel[]; readonly persisted: Persisted | null } {
    const write = this.writes.shift() as Write;
    this.#carryOut(write);
    const persisted = write.event === null ? null : { to: this.id, event: write.event };
    return { sent: write.later, persisted };
  }

  /** The latest applied state as a message to `to`; null where this replica does not lead it. */
  snapshotFor(to: number): Parcel | null {
    const stream = this.core.progress(to)?.stream;
    if (stream === undefined) return null;
    const index = this.shown.applied;
    const message = new Message();
    message.kind = messageKinds.snapshot;
    message.from = this.id;
    message.to = to;
    message.term = this.core.term;
    message.index = index;
    message.logTerm = this.core.termAt(index);
    message.stream = stream;
    message.configurations = [this.configurationAt(index)];
    return { message, entries: [], isTermAnswer: false };
  }

  #writeOf(work: Work): Write {
    const { term, votedFor, lastIndex } = this.core;
    const indexTerm = this.core.termAt(lastIndex);
    const event = { kind: 'persisted', term, votedFor, index: lastIndex, indexTerm } as const;
    const { operations, later, isPersistent } = work;
    return { operations, later, event: isPersistent ? event : null };
  }

  #carryOut(write: Write): void {
    for (const operation of write.operations) {
      if (operation.kind === 'truncate')
        this.#stableTo = Math.min(this.#stableTo, operation.from - 1);
      else if (operation.kind === 'install') this.#stableTo = operation.index;
      else this.#stableTo = operation.entries.at(-1)?.index ?? this.#stableTo;
    }
  }

  /** With asynchronous storage only what is on the disk is applied. */
  #apply(): void {
    const limit = this.#options.isAsync ? this.#stableTo : this.core.lastIndex;
    this.shown.applied = Math.max(this.shown.applied, Math.min(this.shown.commit, limit));
    if (this.#options.isAsync && this.shown.applied < this.shown.commit)
      this.#work.isChanged = false;
  }

  /** Takes over what a step asked for. */
  #gather(text: string, received: Parcel | null): void {
    const out = this.#out;
    const work = this.#work;
    if (
      out.hardStateChanged ||
      out.appendLast > 0 ||
      out.truncateFrom > 0 ||
      out.installIndex > 0
    ) {
      work.isPersistent = true;
      work.isChanged = true;
    }
    if (out.committedTo > 0 || out.stateChanged) work.isChanged = true;
    if (this.#options.isAsync) {
      const appliable = Math.min(this.core.commitIndex, this.#stableTo);
      if (appliable > this.shown.applied) work.isChanged = true;
    }
    if (out.truncateFrom > 0) this.#truncate(out.truncateFrom);
    if (out.installIndex > 0) this.#install(out.installIndex, received);
    if (out.appendLast > 0) this.#append(text, received);
    this.#collect(out.messages, work.now, received);
    this.#collect(out.afterPersist, work.later, received);
    for (const to of out.snapshotsNeeded) {
      const parcel = this.snapshotFor(to);
      if (parcel !== null) work.now.push(parcel);
    }
    out.clear();
  }

  #truncate(from: number): void {
    const at = this.entries.findIndex(({ index }) => index >= from);
    if (at >= 0) this.entries.length = at;
    this.#configurations = this.#configurations.filter(({ index }) => index < from);
    this.#work.operations.push({ kind: 'truncate', from });
  }

  #install(index: number, received: Parcel | null): void {
    this.entries.length = 0;
    this.#configurations = [...(received?.message.configurations ?? [])];
    this.shown.applied = index;
    this.#work.operations.push({ kind: 'install', index });
  }

  #append(text: string, received: Parcel | null): void {
    const { appendFirst, appendLast, appendConfiguration: configuration } = this.#out;
    const isFollowers = received?.message.kind === messageKinds.append;
    const own = { index: appendFirst, term: this.core.term, configuration };
    // A configuration without a proposal is the leader's own way out of a joint one.
    const ownText = configuration !== null && text === commandText('') ? 'EntryConfChangeV2' : text;
    const entries = isFollowers
      ? received.entries.filter(({ index }) => index >= appendFirst && index <= appendLast)
      : [{ ...own, text: ownText }];
    for (const entry of entries) {
      this.entries.push(entry);
      const { index } = entry;
      if (entry.configuration !== null) {
        this.#configurations.push({ index, configuration: entry.configuration });
      }
    }
    this.#work.operations.push({ kind: 'append', entries });
  }

  #collect(list: MessageList, into: Parcel[], received: Parcel | null): void {
    for (let i = 0; i < list.count; i++) {
      const message = Object.assign(new Message(), list.at(i));
      const { prevIndex, lastIndex, kind } = message;
      const entries =
        kind === messageKinds.append
          ? this.entries.filter(({ index }) => index > prevIndex && index <= lastIndex)
          : [];
      const asked = received?.message.term ?? message.term;
      const isAnswer = kind === messageKinds.heartbeatAnswer || kind === messageKinds.appendAnswer;
      into.push({ message, entries, isTermAnswer: isAnswer && message.term > asked });
    }
  }
}

function newWork(): Work {
  return { isChanged: false, operations: [], now: [], later: [], isPersistent: false };
}

function lastOf(_first: number, last: number): number {
  return last;
}

function countOf(first: number, last: number): number {
  return last - first + 1;
}
