// Lays the records of a group's state and remembers commit indexes that moved without anything else to write. The index is
// the caller's to change; these are its bytes. What introduces a group (GROUP_OPEN, GROUP_STATE, GROUP_REMOVE) answers
// its length.

import { recordHeadBytes } from '@flotilla/codec';
import type { SnapshotInfo, VoteIdentity } from './api.ts';
import { CommitQueue } from './commit-queue.ts';
import {
  compactRecordBytes,
  groupRemoveRecordBytes,
  groupStateRecordBytes,
  putCompact,
  putGroupRemove,
  putGroupState,
  putSnapshot,
  snapshotRecordBytes,
} from './group-records.ts';
import type { LogIndex } from './log-index.ts';
import {
  groupOpenRecordBytes,
  hardStateRecordBytes,
  putGroupOpen,
  putHardState,
  putPad,
  putTruncate,
  truncateRecordBytes,
} from './records.ts';
import type { Stager } from './stager.ts';

export class StateRecords {
  readonly #index: LogIndex;
  readonly #stager: Stager;
  readonly #laid: (recLen: number) => void;
  readonly #commits: CommitQueue = new CommitQueue();

  /** `laid` is called for each record that stands in the memory reserved last. */
  constructor(index: LogIndex, stager: Stager, laid: (recLen: number) => void) {
    this.#index = index;
    this.#stager = stager;
    this.#laid = laid;
  }

  get commitsWaiting(): number {
    return this.#commits.length;
  }

  layOpen(groupId: number, generation: number, replicaId: number, config: Uint8Array): number {
    const recLen = groupOpenRecordBytes(config.length);
    this.#stager.reserve(recLen);
    const { bytes, at } = this.#stager;
    putGroupOpen(bytes, at, { groupId, generation }, replicaId, config);
    this.#laid(recLen);
    return recLen;
  }

  /** How long the group's GROUP_STATE is. */
  stateBytes(slot: number): number {
    const { groups } = this.#index;
    const config = groups.config[slot] as Uint8Array;
    return groupStateRecordBytes({ config, snapshot: groups.snapshot[slot] ?? null });
  }

  /** Lays GROUP_STATE: everything that the table has of the group. */
  layState(slot: number): number {
    const { groups } = this.#index;
    const last = groups.last[slot] as number;
    const body = {
      generation: groups.generation[slot] as number,
      replicaId: groups.replicaId[slot] as number,
      term: groups.term[slot] as number,
      vote: this.voteOf(slot),
      commit: Math.min(groups.commit[slot] as number, last),
      firstIndex: groups.first[slot] as number,
      prevTerm: groups.prevTerm[slot] as number,
      lastIndex: last,
      config: groups.config[slot] as Uint8Array,
      snapshot: groups.snapshot[slot] ?? null,
    };
    const recLen = groupStateRecordBytes(body);
    this.#stager.reserve(recLen);
    const { bytes, at } = this.#stager;
    putGroupState(bytes, at, groups.groupId[slot] as number, body);
    this.#laid(recLen);
    return recLen;
  }

  /** Lays GROUP_REMOVE with the generation, term and vote that the table has. */
  layRemove(slot: number): number {
    const { groups } = this.#index;
    this.#stager.reserve(groupRemoveRecordBytes);
    const { bytes, at } = this.#stager;
    putGroupRemove(bytes, at, groups.groupId[slot] as number, {
      generation: groups.generation[slot] as number,
      term: groups.term[slot] as number,
      vote: this.voteOf(slot),
    });
    this.#laid(groupRemoveRecordBytes);
    return groupRemoveRecordBytes;
  }

  /** Lays a filler that says nothing. */
  layPad(): void {
    this.#stager.reserve(recordHeadBytes);
    putPad(this.#stager.bytes, this.#stager.at, recordHeadBytes);
    this.#laid(recordHeadBytes);
  }

  layCompact(slot: number, firstIndex: number, prevTerm: number, config: Uint8Array | null): void {
    const recLen = compactRecordBytes(config);
    this.#stager.reserve(recLen);
    const { bytes, at } = this.#stager;
    putCompact(bytes, at, this.#identityOf(slot), { firstIndex, prevTerm, config });
    this.#laid(recLen);
  }

  laySnapshot(slot: number, snapshot: SnapshotInfo, resetsLog: boolean): void {
    const recLen = snapshotRecordBytes(snapshot);
    this.#stager.reserve(recLen);
    const { bytes, at } = this.#stager;
    putSnapshot(bytes, at, this.#identityOf(slot), snapshot, resetsLog);
    this.#laid(recLen);
  }

  layTruncate(slot: number, from: number): void {
    this.#stager.reserve(truncateRecordBytes);
    putTruncate(this.#stager.bytes, this.#stager.at, this.#identityOf(slot), from);
    this.#laid(truncateRecordBytes);
  }

  /** Lays the group's hard state as the table has it; the commit never points behind the log as laid so far. */
  layHardState(slot: number, vote: VoteIdentity, nowMs: number): void {
    const { groups } = this.#index;
    const commit = groups.commit[slot] as number;
    const laid = Math.min(commit, groups.last[slot] as number);
    const term = groups.term[slot] as number;
    this.#stager.reserve(hardStateRecordBytes);
    const { bytes, at } = this.#stager;
    putHardState(bytes, at, this.#identityOf(slot), term, vote, laid);
    this.#laid(hardStateRecordBytes);
    groups.commitDirty[slot] = 0;
    if (laid < commit) this.markCommit(slot, nowMs);
  }

  /** The commit column of the group is ahead of what is laid. */
  markCommit(slot: number, nowMs: number): void {
    const { groups } = this.#index;
    groups.commitDirty[slot] = 1;
    if (groups.commitQueued[slot] === 1) return;
    groups.commitQueued[slot] = 1;
    this.#commits.push(slot, nowMs);
  }

  /** Lays up to `countMax` commits that became dirty at `sinceMs` or before. */
  layCommits(sinceMs: number, countMax: number, nowMs: number): void {
    const { groups } = this.#index;
    // Those laid again while this runs wait for the next time.
    for (let left = Math.min(countMax, this.#commits.length); left > 0; left--) {
      if (this.#commits.oldestMs > sinceMs) break;
      const slot = this.#commits.shift();
      groups.commitQueued[slot] = 0;
      if (groups.commitDirty[slot] === 0) continue;
      this.layHardState(slot, this.voteOf(slot), nowMs);
    }
  }

  voteOf(slot: number): VoteIdentity {
    const { groups } = this.#index;
    return {
      nodeId: groups.voteNode[slot] as number,
      generation: groups.voteGeneration[slot] as number,
      instance: groups.voteInstance[slot] as number,
    };
  }

  #identityOf(slot: number): { readonly groupId: number; readonly generation: number } {
    const { groups } = this.#index;
    return {
      groupId: groups.groupId[slot] as number,
      generation: groups.generation[slot] as number,
    };
  }
}
