// RaftNode: one member of one Raft group that is stepped by hand. An event goes in, the actions that follow from it come
// out, in order; between two steps nothing happens. It is the very core of the engine (RaftCore) with a synchronous log
// around it: for tests, for teaching, for programs that bring their own log, network and clock.
//
// What it guarantees:
// 1. The same options, log and events give the same actions. It knows no clock, no randomness but its seed, no I/O but
//    the log.
// 2. Persist before send: every action of a step rests on state that the log has synced before `step` returned.
// 3. Commands are applied once each in the life of a node, in order of index. Blank entries and changes of the membership
//    are not given to the application.
// 4. An event that is refused (an error is thrown) has changed nothing.
// 5. A log that throws, or a broken invariant, stops the node for good: this step and all later ones throw GROUP_FATAL.
//
// What it does not do: reads (use the state machine on a leader after a no-op of your own, or the engine's ReadIndex),
// learners, changes of several members at once. Steps must not be nested.

import { Effects, Message, type MessageList, messageKinds, RaftCore } from '@flotilla/core';
import { FlotillaError } from '@flotilla/io';
import { configurationOf, fromCore, toCore } from './core-messages.ts';
import type { Action, Event, RaftMessage } from './events.ts';
import {
  checkCount,
  type MembersAt,
  type RaftNodeOptions,
  recover,
  type Settings,
  settingsOf,
} from './options.ts';
import { type LogEntry, MemoryLog, type StoredSnapshot, type SyncLog } from './sync-log.ts';

export type { RaftNodeOptions } from './options.ts';

/** A learner is a node that the members do not name: it follows, and never campaigns. */
export type RaftNodeRole = 'learner' | 'follower' | 'candidate' | 'leader';

/** What a step brought along that the core names only by index. */
type Carried = { readonly command: Uint8Array } | { readonly message: RaftMessage } | null;

export class RaftNode {
  readonly id: number;
  readonly #log: SyncLog;
  readonly #core: RaftCore;
  readonly #settings: Settings;
  readonly #out: Effects = new Effects();
  readonly #received: Message = new Message();
  #ticks = 0;
  #lastApplied: number;
  /** Ascending; the first one is as of the snapshot or the beginning. */
  #memberships: MembersAt[];
  /** The threshold is counted from here: the snapshot, or the hint that was given last. */
  #hintBase: number;
  /** Tick at which a node was sent a snapshot that it has not acknowledged. */
  readonly #snapshotSentAt: Map<number, number> = new Map();
  #fatal: FlotillaError | null = null;

  /** Takes the log up where it ends. Throws RangeError where an option, or the log, makes no sense. */
  constructor(options: RaftNodeOptions) {
    this.id = options.id;
    this.#settings = settingsOf(options);
    this.#log = options.log ?? new MemoryLog();
    const { boot, memberships } = recover(options, this.#settings, this.#log);
    this.#memberships = [...memberships];
    this.#lastApplied = boot.firstIndex - 1;
    this.#hintBase = this.#lastApplied;
    this.#core = new RaftCore(this.#settings.config, boot, 0);
  }

  get role(): RaftNodeRole {
    const { role, isVoter } = this.#core;
    if (role === 'follower' && !isVoter) return 'learner';
    return role === 'preCandidate' ? 'candidate' : role;
  }
  get isLeader(): boolean {
    return this.#core.role === 'leader';
  }
  get term(): number {
    return this.#core.term;
  }
  /** Null where it is not known. */
  get leader(): number | null {
    return this.#core.leader === 0 ? null : this.#core.leader;
  }
  get commitIndex(): number {
    return this.#core.commitIndex;
  }
  get lastApplied(): number {
    return this.#lastApplied;
  }
  get lastIndex(): number {
    return this.#core.lastIndex;
  }
  /** The first index that is not compacted. */
  get firstIndex(): number {
    return this.#core.firstIndex;
  }
  /** The voters that count: those of the last change in the log, committed or not. */
  get members(): readonly number[] {
    return this.#core.configuration.votingIds;
  }
  /** Undefined where it is not known: beyond the log, or compacted. */
  termAt(index: number): number | undefined {
    const term = this.#core.termAt(index);
    return term > 0 || index === 0 ? term : undefined;
  }

  /**
   * Carries out one event. Throws FlotillaError: NOT_LEADER (`details.leaderHint`: who leads, or null),
   * CONFIG_IN_PROGRESS, MEMBERSHIP_INVALID and GROUP_FATAL; TypeError or RangeError for an event that is none.
   */
  step(event: Event): readonly Action[] {
    if (this.#fatal !== null) throw this.#fatal;
    checkEvent(event);
    try {
      return this.#step(event);
    } catch (error) {
      if (error instanceof FlotillaError) throw error;
      // The core's own assertion, or an error of ours: this replica must not be stepped again.
      throw this.#stop('panicked', error);
    } finally {
      this.#out.clear();
    }
  }

  #step(event: Event): readonly Action[] {
    switch (event.type) {
      case 'tick':
        return this.#tick();
      case 'message':
        return this.#receive(event.message);
      case 'propose':
        return this.#propose(event.command);
      case 'snapshot':
        return this.#takeSnapshot(event.index, event.data);
      case 'addServer':
      case 'removeServer':
        return this.#changeMembers(event);
      case 'transferLeadership':
        this.#core.step({ kind: 'transfer', nodeId: event.target }, this.#ticks, this.#out);
        return this.#settle(null);
      default:
        return unreachable(event);
    }
  }

  #tick(): readonly Action[] {
    this.#ticks++;
    const now = this.#ticks;
    for (const [nodeId, sentAt] of this.#snapshotSentAt) {
      if (this.#core.progress(nodeId)?.awaitsSnapshot !== true) {
        this.#snapshotSentAt.delete(nodeId);
      } else if (now - sentAt >= this.#settings.electionTicksMin) {
        // Lost, as any message may be. It is sent again when the node shows that it lives.
        this.#snapshotSentAt.delete(nodeId);
        this.#core.step({ kind: 'snapshotFailed', nodeId }, now, this.#out);
      }
    }
    this.#core.step({ kind: 'tick' }, now, this.#out);
    return this.#settle(null);
  }

  #receive(message: RaftMessage): readonly Action[] {
    const received = this.#received;
    received.clear();
    // Unknown types come from newer nodes: they are dropped, as is whatever no node says.
    if (message.to !== this.id || !toCore(message, received)) return [];
    this.#core.step({ kind: 'message', message: received }, this.#ticks, this.#out);
    return this.#settle({ message });
  }

  #propose(command: Uint8Array): readonly Action[] {
    this.#core.step({ kind: 'propose', count: 1, bytes: 1 }, this.#ticks, this.#out);
    if (this.#out.refusal !== null) throw this.#notLeader();
    return this.#settle({ command: command.slice() });
  }

  #changeMembers(event: Event & { type: 'addServer' | 'removeServer' }): readonly Action[] {
    if (!this.isLeader || this.#core.transferTo !== 0) throw this.#notLeader();
    const { nodeId } = event;
    const isAdded = event.type === 'addServer';
    if (this.members.includes(nodeId) === isAdded) return [];
    const members = isAdded
      ? [...this.members, nodeId]
      : this.members.filter((each) => each !== nodeId);
    const configuration = configurationOf(members);
    if (configuration === null) {
      const kind = members.length === 0 ? 'empty' : 'tooMany';
      throw new FlotillaError('MEMBERSHIP_INVALID', `no group of ${members.length} voters`, {
        kind,
      });
    }
    const member = configuration.memberOf(nodeId);
    const change =
      member === null
        ? ({ kind: 'remove', nodeId } as const)
        : ({ kind: 'voter', member } as const);
    this.#core.step(
      { kind: 'configure', transition: 'simple', changes: [change] },
      this.#ticks,
      this.#out,
    );
    const { refusal } = this.#out;
    if (refusal === 'changeInProgress' || refusal === 'noOwnCommit') {
      const message =
        refusal === 'noOwnCommit'
          ? 'this leader has not committed an entry of its own term yet'
          : 'the change of members before is not committed yet';
      throw new FlotillaError('CONFIG_IN_PROGRESS', message, { reason: refusal });
    }
    if (refusal !== null) {
      throw new FlotillaError('MEMBERSHIP_INVALID', `refused: ${refusal}`, { kind: refusal });
    }
    return this.#settle(null);
  }

  #takeSnapshot(index: number, data: Uint8Array): readonly Action[] {
    if (index > this.#lastApplied || index < this.#core.firstIndex) return [];
    const membersAt = this.#memberships.findLast((each) => each.index <= index) as MembersAt;
    const { members } = membersAt;
    const snapshot = { index, term: this.#core.termAt(index), members, data: data.slice() };
    this.#write(() => {
      this.#log.saveSnapshot(snapshot, false);
      this.#log.sync();
    });
    const later = this.#memberships.filter((each) => each.index > index);
    this.#memberships = [{ index, members }, ...later];
    if (index > this.#hintBase) this.#hintBase = index;
    this.#core.step({ kind: 'compact', index }, this.#ticks, this.#out);
    return this.#settle(null);
  }

  /** Carries out what the core asked for, and what follows when that is durable, until nothing follows any more. */
  #settle(carried: Carried): readonly Action[] {
    const actions: Action[] = [];
    for (;;) {
      const isWritten = this.#persist(carried, actions);
      this.#announce(actions);
      this.#collectSends(this.#out.messages, actions);
      this.#collectSends(this.#out.afterPersist, actions);
      this.#collectSnapshots(actions);
      this.#apply(actions);
      if (this.#out.logReverted) {
        throw this.#stop(
          'logReverted',
          new Error('entries that were acknowledged are not in the log'),
        );
      }
      this.#out.clear();
      if (!isWritten) return actions;
      carried = null;
      const { term, votedFor, lastIndex } = this.#core;
      const indexTerm = this.#core.termAt(lastIndex);
      const persisted = { kind: 'persisted', term, votedFor, index: lastIndex, indexTerm } as const;
      this.#core.step(persisted, this.#ticks, this.#out);
    }
  }

  /** Whether anything was written. All of it is durable on return. */
  #persist(carried: Carried, actions: Action[]): boolean {
    const { hardStateChanged, term, votedFor, truncateFrom, installIndex } = this.#out;
    const { appendFirst, appendLast } = this.#out;
    if (!hardStateChanged && truncateFrom === 0 && installIndex === 0 && appendLast === 0)
      return false;
    this.#write(() => {
      if (hardStateChanged) this.#log.saveHardState({ term, votedFor });
      if (truncateFrom > 0) {
        this.#log.truncateFrom(truncateFrom);
        this.#memberships = this.#memberships.filter(({ index }) => index < truncateFrom);
      }
      if (installIndex > 0) this.#install(carried, actions);
      if (appendLast > 0) {
        const entries = this.#entriesOf(carried, appendFirst, appendLast);
        this.#log.append(entries);
        for (const entry of entries) if (entry.kind === 'members') this.#memberships.push(entry);
      }
      this.#log.sync();
    });
    return true;
  }

  #install(carried: Carried, actions: Action[]): void {
    const message = carried !== null && 'message' in carried ? carried.message : null;
    if (message?.type !== 'installSnapshot') throw new TypeError('a snapshot came from nowhere');
    const { index, term, members } = message.snapshot;
    const data = message.snapshot.data.slice();
    const snapshot: StoredSnapshot = { index, term, members, data };
    this.#log.saveSnapshot(snapshot, true);
    this.#memberships = [{ index, members }];
    this.#lastApplied = index;
    this.#hintBase = index;
    actions.push({ type: 'restoreSnapshot', index, term, data });
  }

  /** What the core calls first..last, with its bytes. */
  #entriesOf(carried: Carried, first: number, last: number): readonly LogEntry[] {
    if (carried !== null && 'message' in carried && carried.message.type === 'appendEntries') {
      const { entries, prevLogIndex } = carried.message;
      return entries.slice(first - prevLogIndex - 1, last - prevLogIndex).map(copyOf);
    }
    const { term } = this.#core;
    const configuration = this.#out.appendConfiguration;
    if (configuration !== null) {
      return [{ kind: 'members', index: first, term, members: configuration.votingIds }];
    }
    const command = carried !== null && 'command' in carried ? carried.command : null;
    if (command === null) return [{ kind: 'blank', index: first, term }];
    return [{ kind: 'command', index: first, term, command }];
  }

  #announce(actions: Action[]): void {
    if (!this.#out.configurationChanged) return;
    const committed = this.#core.configurationIndex <= this.#lastApplied;
    actions.push({ type: 'membershipChanged', members: this.members, committed });
  }

  #collectSends(list: MessageList, actions: Action[]): void {
    for (let i = 0; i < list.count; i++) {
      const m = list.at(i);
      const isAppend = m.kind === messageKinds.append && m.lastIndex > m.prevIndex;
      const entries = isAppend
        ? this.#write(() => this.#log.entries(m.prevIndex + 1, m.lastIndex))
        : [];
      const message = fromCore(m, entries.map(copyOf));
      if (message !== null) actions.push({ type: 'send', to: m.to, message });
    }
  }

  #collectSnapshots(actions: Action[]): void {
    for (const to of this.#out.snapshotsNeeded) {
      const snapshot = this.#write(() => this.#log.snapshot());
      const stream = this.#core.progress(to)?.stream;
      if (snapshot === null || stream === undefined) continue;
      this.#snapshotSentAt.set(to, this.#ticks);
      const { term } = this.#core;
      const copy = { ...snapshot, data: snapshot.data.slice() };
      const message = {
        type: 'installSnapshot',
        from: this.id,
        to,
        term,
        snapshot: copy,
        stream,
      } as const;
      actions.push({ type: 'send', to, message });
    }
  }

  #apply(actions: Action[]): void {
    const { snapshotThreshold, maxBatch } = this.#settings;
    const { commitIndex } = this.#core;
    while (this.#lastApplied < commitIndex) {
      const first = this.#lastApplied + 1;
      const last = Math.min(commitIndex, this.#lastApplied + maxBatch);
      for (const entry of this.#write(() => this.#log.entries(first, last))) {
        const { index, term } = entry;
        this.#lastApplied = index;
        if (entry.kind === 'command') {
          actions.push({ type: 'apply', index, term, command: entry.command.slice() });
        } else if (entry.kind === 'members') {
          actions.push({ type: 'membershipChanged', members: entry.members, committed: true });
        }
        if (snapshotThreshold === 0 || index - this.#hintBase < snapshotThreshold) continue;
        this.#hintBase = index;
        actions.push({ type: 'snapshot', index, term });
      }
    }
  }

  /** Every call of the log passes here: one that throws stops this node. */
  #write<Result>(call: () => Result): Result {
    try {
      return call();
    } catch (error) {
      throw this.#stop('storage', error);
    }
  }

  #stop(reason: 'storage' | 'panicked' | 'logReverted', cause: unknown): FlotillaError {
    const why = cause instanceof Error ? cause.message : String(cause);
    this.#fatal = new FlotillaError(
      'GROUP_FATAL',
      `node ${this.id} stopped for good (${reason}): ${why}`,
      { reason },
      cause,
    );
    return this.#fatal;
  }

  #notLeader(): FlotillaError {
    const { transferTo } = this.#core;
    const leaderHint = transferTo === 0 ? this.leader : transferTo;
    const who = leaderHint === null ? 'nobody that it knows of does' : `node ${leaderHint} does`;
    return new FlotillaError('NOT_LEADER', `node ${this.id} does not lead: ${who}`, { leaderHint });
  }
}

function checkEvent(event: Event): void {
  switch (event.type) {
    case 'propose':
      if (!(event.command instanceof Uint8Array)) throw new TypeError('command is not bytes');
      return;
    case 'snapshot':
      checkCount('index', event.index, 0);
      if (!(event.data instanceof Uint8Array)) throw new TypeError('data is not bytes');
      return;
    case 'addServer':
    case 'removeServer':
      checkCount('nodeId', event.nodeId, 1, 0xffff_ffff);
      return;
    case 'transferLeadership':
      checkCount('target', event.target, 1, 0xffff_ffff);
      return;
    case 'message':
      if (typeof event.message !== 'object' || event.message === null) {
        throw new TypeError('message is not an object');
      }
      return;
    case 'tick':
      return;
    default:
      unreachable(event);
  }
}

/** Bytes that come from outside, or go there, are not shared with the log. */
function copyOf(entry: LogEntry): LogEntry {
  return entry.kind === 'command' ? { ...entry, command: entry.command.slice() } : entry;
}

function unreachable(event: never): never {
  throw new TypeError(`not an event: ${String((event as { type: unknown }).type)}`);
}
