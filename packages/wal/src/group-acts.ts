// What happens to a group as a whole: it begins, begins again, is compacted, gets a snapshot, is removed. Checks what is
// asked, lays the record and changes the index; the caller has checked that the log is open and the slot exists.

import { blockBytesMax } from '@flotilla/codec';
import { assert, FlotillaError } from '@flotilla/io';
import type { SnapshotInfo } from './api.ts';
import { checkUint, checkUint32 } from './check.ts';
import type { GroupLimits } from './group-limits.ts';
import { snapshotIdBytes } from './group-records.ts';
import type { LogIndex } from './log-index.ts';
import { groupOpenFixedBytes } from './records.ts';
import type { Stager } from './stager.ts';
import type { StateRecords } from './state-records.ts';

/** Longest configuration of a group; less where segments are small: two of them stand in one GROUP_STATE. */
const configBytesMax: number = blockBytesMax - groupOpenFixedBytes;
/** What GROUP_STATE holds beside the two, generously. */
const stateFixedBytesMax = 256;

export class GroupActs {
  readonly #index: LogIndex;
  readonly #states: StateRecords;
  readonly #stager: Stager;
  readonly #limits: GroupLimits;
  readonly #configBytesMax: number;

  constructor(
    index: LogIndex,
    states: StateRecords,
    stager: Stager,
    limits: GroupLimits,
    recordBytesMax: number,
  ) {
    this.#index = index;
    this.#states = states;
    this.#stager = stager;
    this.#limits = limits;
    const each = Math.floor((recordBytesMax - stateFixedBytesMax) / 2);
    this.#configBytesMax = Math.min(configBytesMax, each);
  }

  /** The group's slot. Throws GROUP_EXISTS. */
  open(groupId: number, generation: number, replicaId: number, config: Uint8Array): number {
    checkUint('groupId', groupId);
    checkUint('generation', generation);
    checkUint('replicaId', replicaId);
    this.#checkConfig(config);
    const { groups } = this.#index;
    const known = groups.slotOf(groupId);
    if (known >= 0 && groups.isRemoved(known)) {
      return this.#reopen(known, generation, replicaId, config.slice());
    }
    if (known >= 0) {
      throw new FlotillaError('GROUP_EXISTS', `the log has group ${groupId} already`, { groupId });
    }
    const recLen = this.#states.layOpen(groupId, generation, replicaId, config);
    const slot = groups.add(groupId, generation, replicaId, config.slice());
    this.#index.introduce(slot, this.#stager.segment.slot, recLen);
    return slot;
  }

  /** In one record: the tombstone's term and vote must never be without one. */
  #reopen(slot: number, generation: number, replicaId: number, config: Uint8Array): number {
    const { groups } = this.#index;
    const before = groups.generation[slot] as number;
    if (generation <= before) {
      throw new FlotillaError(
        'GROUP_EXISTS',
        `group ${groups.groupId[slot]} was removed as generation ${before}; it begins again with a higher one`,
        { groupId: groups.groupId[slot], generation: before },
      );
    }
    this.#index.reopen(slot, generation, replicaId, config);
    this.#index.introduce(slot, this.#stager.segment.slot, this.#states.layState(slot));
    return slot;
  }

  remove(slot: number): void {
    const { groups } = this.#index;
    const term = groups.term[slot] as number;
    const vote = this.#states.voteOf(slot);
    this.#index.remove(slot, { term, vote });
    const recLen = this.#states.layRemove(slot);
    this.#index.introduce(slot, this.#stager.segment.slot, recLen);
    this.#limits.recheck(slot);
  }

  compact(slot: number, upTo: number, config?: Uint8Array): void {
    const { groups } = this.#index;
    const first = groups.first[slot] as number;
    if (!(Number.isSafeInteger(upTo) && upTo >= first && upTo <= (groups.last[slot] as number))) {
      throw new RangeError(`upTo must be an index of the log, not ${upTo}`);
    }
    this.#checkConfig(config);
    assert(upTo <= (groups.commit[slot] as number), 'a compaction of uncommitted entries');
    const prevTerm = this.#index.termOf(slot, upTo);
    this.#states.layCompact(slot, upTo + 1, prevTerm, config ?? null);
    this.#index.compact(slot, upTo + 1, prevTerm);
    if (config !== undefined) groups.config[slot] = config.slice();
    this.#limits.recheck(slot);
  }

  snapshot(slot: number, snapshot: SnapshotInfo, resetsLog: boolean): void {
    const { groups } = this.#index;
    const { index, term } = snapshot;
    checkUint('snapshot.bytes', snapshot.bytes);
    checkUint32('snapshot.crc', snapshot.crc);
    this.#checkConfig(snapshot.config);
    if (!(Number.isSafeInteger(index) && index >= 1 && Number.isSafeInteger(term) && term >= 1)) {
      throw new RangeError(`not a snapshot's index and term: ${index}, ${term}`);
    }
    if (snapshot.id.length !== snapshotIdBytes) {
      throw new RangeError(
        `a snapshot's id has ${snapshotIdBytes} bytes, not ${snapshot.id.length}`,
      );
    }
    const before = groups.snapshot[slot];
    assert(before === null || before === undefined || index >= before.index, 'an older snapshot');
    const commit = groups.commit[slot] as number;
    assert(
      resetsLog ? index >= commit : index <= commit,
      'a snapshot that does not fit the commit',
    );
    assert(term <= (groups.term[slot] as number), 'a snapshot of a term that is not laid yet');
    const kept = { ...snapshot, id: snapshot.id.slice(), config: snapshot.config.slice() };
    this.#states.laySnapshot(slot, kept, resetsLog);
    if (resetsLog) {
      this.#index.reset(slot, index, term);
      groups.commit[slot] = index;
      groups.config[slot] = kept.config;
    }
    this.#index.noteSnapshot(slot, kept);
    this.#limits.recheck(slot);
  }

  #checkConfig(config: Uint8Array | undefined): void {
    if (config !== undefined && config.length > this.#configBytesMax) {
      throw new RangeError(
        `config must have at most ${this.#configBytesMax} bytes, not ${config.length}`,
      );
    }
  }
}
