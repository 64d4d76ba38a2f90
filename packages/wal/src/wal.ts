// The open log: checks what a host asks, lays records, keeps the index, answers lookups, and tells when what was laid is
// durable. The parts it steers: stager (memory), flusher (disk), index, spare maker, STORE and its lazy witness; ending.ts
// stops them all.
//
// Invariants:
// 1. What is published in the index stands in the stream before anything that refers to it.
// 2. A batch is sealed only between turns, unless the turn itself overran a batch or a segment.
// 3. After a failed write or sync nothing is laid, written or marked any more; what is in memory or durable stays readable.

import {
  type BlockCrc,
  blockBytesMax,
  blockHeaderBytes,
  blockTableSlotBytes,
  recordHeadBytes,
} from '@flotilla/codec';
import {
  assert,
  type Clock,
  type Done,
  type FileLock,
  type FlotillaError,
  type IoError,
} from '@flotilla/io';
import type {
  RecordRef,
  RecoveredGroup,
  RecoveryReport,
  SnapshotInfo,
  VoteIdentity,
  Wal,
  WalCounters,
  WalEvents,
} from './api.ts';
import { checkUint, checkUint32 } from './check.ts';
import { manifestOf, writeCheckpoint } from './checkpoint.ts';
import type { CheckpointManifest } from './checkpoint-format.ts';
import { Cleaner } from './cleaner.ts';
import { commitDelayMs, commitsPerTurn } from './commit-queue.ts';
import { Ending } from './ending.ts';
import { Flusher, type LogEnd } from './flusher.ts';
import { batchBodyBytesMax, batchHeaderBytes, pageBytes } from './format.ts';
import type { LogIndex } from './log-index.ts';
import { LogReader } from './log-reader.ts';
import type { WalSettings } from './options.ts';
import { recoveredGroupsOf } from './recovered-groups.ts';
import { entriesRecordBytes, putEntriesHead } from './records.ts';
import type { SegmentSet, SegmentState } from './segment-set.ts';
import { SlabRing } from './slab-ring.ts';
import { SpaceKeeper } from './space.ts';
import { GroupActs } from './group-acts.ts';
import { GroupLimits } from './group-limits.ts';
import type { SpareMaker } from './spare-maker.ts';
import { StateRecords } from './state-records.ts';
import { type Batch, Stager } from './stager.ts';
import type { StoreFile } from './store-file.ts';
import type { TrackedDisk } from './tracked-disk.ts';
import { LazyWitness } from './witness.ts';

/** What opening hands over: a store that is locked, recovered and marked open. */
export interface OpenedStore {
  readonly lock: FileLock;
  readonly store: StoreFile;
  readonly segments: SegmentSet;
  readonly spares: SpareMaker;
  readonly index: LogIndex;
  readonly end: LogEnd;
  readonly report: RecoveryReport;
  /** Kind of the file system, 0 = not known. */
  readonly volumeType: number;
}

export interface OpenWorld {
  readonly clock: Clock;
  readonly disk: TrackedDisk;
  readonly salt: () => number;
  /** A random identity of a directory. */
  readonly drawInstance: () => number;
}

export class WalLog implements Wal {
  readonly report: RecoveryReport;
  readonly counters: WalCounters = {
    batches: 0,
    syncs: 0,
    batchBytes: 0,
    recordBytes: 0,
    readsFromDisk: 0,
    rotations: 0,
    segmentsFreed: 0,
    segmentsRecycled: 0,
    rewrittenBytes: 0,
    restatedGroups: 0,
  };
  durablePosition: number;
  entriesAt = 0;
  entriesPosition = 0;

  readonly #clock: Clock;
  readonly #disk: TrackedDisk;
  readonly #settings: WalSettings;
  readonly #events: WalEvents;
  readonly #store: StoreFile;
  readonly #segments: SegmentSet;
  readonly #spares: SpareMaker;
  readonly #index: LogIndex;
  readonly #ring: SlabRing;
  readonly #stager: Stager;
  readonly #flusher: Flusher;
  readonly #witness: LazyWitness;
  readonly #states: StateRecords;
  readonly #reader: LogReader;
  readonly #space: SpaceKeeper;
  readonly #limits: GroupLimits;
  readonly #groupActs: GroupActs;
  readonly #ending: Ending;
  readonly #drawInstance: () => number;
  /** What the log itself wants to lay and could not while the host's turn was under way. */
  readonly #afterTurn: (() => void)[] = [];
  /** Checkpoints under way: what to call where the log fails. */
  readonly #checkpoints: Set<(error: FlotillaError) => void> = new Set();
  /** Waits of the log itself for positions, in order. */
  readonly #durableWaits: { readonly position: number; readonly callback: () => void }[] = [];
  /** Longest record that any segment of this log can hold. */
  readonly recordBytesMax: number;

  /** Records were laid since the last endTurn: the turn that laid them closes its batch itself. */
  #isInTurn = false;
  #turnMs: number;

  // The record begun by beginEntries; #pendingLen is 0 where there is none.
  #pendingLen = 0;
  #pendingSlot = 0;
  #pendingFirst = 0;
  #pendingCount = 0;
  #pendingTerm = 0;
  #pendingBlockBytes = 0;

  constructor(world: OpenWorld, settings: WalSettings, events: WalEvents, opened: OpenedStore) {
    this.#clock = world.clock;
    this.#drawInstance = world.drawInstance;
    this.#disk = world.disk;
    this.#settings = settings;
    this.#events = events;
    this.#store = opened.store;
    this.#segments = opened.segments;
    this.#spares = opened.spares;
    this.#index = opened.index;
    this.report = opened.report;
    this.#ring = new SlabRing(
      settings.slabBytes,
      settings.cacheBytes,
      settings.syncMethod === 'direct' ? world.disk : null,
    );
    this.#stager = new Stager(this.#ring, this.#segments.newest, opened.end.offset, (position) =>
      this.#stageNext(world.salt(), position),
    );
    this.#flusher = new Flusher(
      world,
      {
        directory: settings.directory,
        stager: this.#stager,
        segments: this.#segments,
        spares: this.#spares,
        store: this.#store,
        syncMethod: settings.syncMethod,
        counters: this.counters,
      },
      opened.end,
      {
        onBatchDurable: (batch, seq) => this.#onBatchDurable(batch, seq),
        onFailure: (what, error, place) => this.#ending.fail(what, error, place),
        waitsForSpace: (error) => this.#ending.waitsForSpace(error),
        onRotation: () => {
          this.#limits.refresh();
          this.#space.consider();
        },
        isLockIntact: () => opened.lock.isIntact(),
        onInfo: settings.onInfo,
      },
    );
    this.recordBytesMax = Math.min(
      batchBodyBytesMax,
      settings.segmentBytes - 2 * pageBytes - batchHeaderBytes,
    );
    this.#states = new StateRecords(this.#index, this.#stager, (recLen) => this.#commit(recLen));
    this.#reader = new LogReader(
      world,
      settings.directory,
      this.#index,
      this.#segments,
      this.counters,
    );
    this.#witness = new LazyWitness(world.clock, this.#store, opened.end.lastSeq, (error) =>
      this.#ending.fail('write the witness', error),
    );
    const cleaner = new Cleaner(
      world,
      {
        directory: settings.directory,
        index: this.#index,
        stager: this.#stager,
        states: this.#states,
        counters: this.counters,
        recordBytesMax: this.recordBytesMax,
      },
      {
        betweenTurns: (lay) => this.#betweenTurns(lay),
        whenDurable: (callback) => this.#whenDurable(callback),
        laid: (recLen) => this.#commit(recLen),
        onGroupDamaged: (slot, error) => events.onGroupDamaged?.(slot, error),
      },
    );
    this.#space = new SpaceKeeper(
      world,
      {
        directory: settings.directory,
        segmentBytes: settings.segmentBytes,
        index: this.#index,
        segments: this.#segments,
        spares: this.#spares,
        store: this.#store,
        cleaner,
        counters: this.counters,
        volumeType: opened.volumeType,
      },
      {
        fail: (what, error) => this.#ending.fail(what, error),
        onCompactHint: (slots) => events.onCompactHint?.(slots),
        onFreed: () => this.#ending.closeWhenIdle(),
        laidPosition: () => this.#stager.end,
        durablePosition: () => this.durablePosition,
      },
    );
    this.#limits = new GroupLimits(world.clock, this.#index, settings.groupBytesMax);
    this.#groupActs = new GroupActs(
      this.#index,
      this.#states,
      this.#stager,
      this.#limits,
      this.recordBytesMax,
    );
    this.#ending = new Ending(
      {
        disk: world.disk,
        lock: opened.lock,
        store: this.#store,
        segments: this.#segments,
        spares: this.#spares,
        flusher: this.#flusher,
        witness: this.#witness,
        space: this.#space,
      },
      {
        layLast: () => {
          this.#states.layCommits(Number.MAX_VALUE, Number.MAX_SAFE_INTEGER, this.#turnMs);
          this.endTurn();
        },
        isAllDurable: () => this.durablePosition === this.#stager.end,
        onPoisoned: (error) => {
          for (const giveUp of this.#checkpoints) giveUp(error);
          events.onPoisoned(error);
        },
      },
    );
    for (const segment of this.#segments.all) this.#index.use.reach(segment.slot);
    this.durablePosition = this.#stager.end;
    this.#turnMs = world.clock.monotonicMs();
    this.#spares.want();
  }

  /** Failures outside a batch (spare, witness) end here too. */
  fail(what: string, error: IoError): void {
    this.#ending.fail(what, error);
  }

  get poisoned(): FlotillaError | null {
    return this.#ending.poisoned;
  }

  get storeUuid(): Uint8Array {
    return this.#store.slot.uuid;
  }
  get instance(): number {
    return this.#store.slot.instance;
  }
  get epoch(): number {
    return this.#store.slot.epoch;
  }
  get walBytes(): number {
    return this.#segments.sealedBytes + this.#segments.newest.capacityBytes;
  }
  get liveBytes(): number {
    return this.#index.use.totalBytes;
  }
  get isOutOfSpace(): boolean {
    return this.#spares.isOutOfSpace;
  }
  get fullGroups(): number {
    return this.#limits.count;
  }
  isGroupFull(slot: number): boolean {
    return this.#limits.isFull(slot);
  }
  get isFull(): boolean {
    // One segment stays for hard states and the like.
    const used = this.#segments.sealedBytes + this.#stager.tail;
    return (
      this.#spares.isOutOfSpace || used >= this.#settings.walBytesMax - this.#settings.segmentBytes
    );
  }
  get pendingBytes(): number {
    return this.#stager.end - this.durablePosition;
  }

  // --- Groups --------------------------------------------------------------------------------------------------------

  recoveredGroups(): readonly RecoveredGroup[] {
    return recoveredGroupsOf(this.#index);
  }

  openGroup(groupId: number, generation: number, replicaId: number, config: Uint8Array): number {
    this.#checkOpen();
    return this.#groupActs.open(groupId, generation, replicaId, config);
  }

  removeGroup(slot: number): void {
    this.#checkOpen();
    this.#checkSlot(slot);
    this.#groupActs.remove(slot);
  }

  layCompact(slot: number, upTo: number, config?: Uint8Array): void {
    this.#checkOpen();
    this.#checkSlot(slot);
    this.#groupActs.compact(slot, upTo, config);
  }

  laySnapshot(slot: number, snapshot: SnapshotInfo, resetsLog: boolean): void {
    this.#checkOpen();
    this.#checkSlot(slot);
    this.#groupActs.snapshot(slot, snapshot, resetsLog);
  }

  // --- State records -------------------------------------------------------------------------------------------------

  layHardState(slot: number, term: number, vote: VoteIdentity, commit: number): void {
    this.#checkOpen();
    const { groups } = this.#index;
    this.#checkSlot(slot);
    checkUint('term', term);
    checkUint('commit', commit);
    checkUint('vote.instance', vote.instance);
    checkUint32('vote.nodeId', vote.nodeId);
    checkUint32('vote.generation', vote.generation);
    assert(term >= (groups.term[slot] as number), 'a term that goes back');
    this.#index.setHardState(slot, term, vote, commit);
    this.#states.layHardState(slot, vote, this.#turnMs);
  }

  noteCommit(slot: number, commit: number): void {
    this.#checkSlot(slot);
    checkUint('commit', commit);
    const { groups } = this.#index;
    if (commit <= (groups.commit[slot] as number)) return;
    groups.commit[slot] = commit;
    this.#states.markCommit(slot, this.#turnMs);
  }

  layTruncate(slot: number, from: number): void {
    this.#checkOpen();
    this.#checkSlot(slot);
    const { groups } = this.#index;
    const first = groups.first[slot] as number;
    if (!(Number.isSafeInteger(from) && from >= first && from <= (groups.last[slot] as number))) {
      throw new RangeError(`from must be an index of the log, not ${from}`);
    }
    assert(from > (groups.commit[slot] as number), 'a truncation of committed entries');
    this.#states.layTruncate(slot, from);
    this.#index.truncate(slot, from);
  }

  // --- Entries -------------------------------------------------------------------------------------------------------

  get entriesBytes(): Uint8Array {
    return this.#stager.bytes;
  }
  get entriesWords(): Int32Array {
    return this.#stager.words;
  }
  get entriesBlockCrc(): BlockCrc | null {
    return this.#stager.blockCrc;
  }

  beginEntries(
    slot: number,
    firstIndex: number,
    count: number,
    term: number,
    blockBytes: number,
  ): void {
    this.#checkOpen();
    this.#checkSlot(slot);
    const { groups } = this.#index;
    const last = groups.last[slot] as number;
    const lastIndex = firstIndex + count - 1;
    if (
      !(
        Number.isSafeInteger(lastIndex) &&
        count >= 1 &&
        firstIndex >= (groups.first[slot] as number)
      )
    ) {
      throw new RangeError(`not a range of indexes: ${firstIndex}, ${count} entries`);
    }
    if (firstIndex > last + 1)
      throw new RangeError(`index ${firstIndex} leaves a hole after ${last}`);
    if (!(blockBytes >= blockHeaderBytes + blockTableSlotBytes * count)) {
      throw new RangeError(`a block of ${count} entries cannot have ${blockBytes} bytes`);
    }
    const recLen = entriesRecordBytes(blockBytes);
    if (recLen > this.recordBytesMax || (count > 1 && blockBytes > blockBytesMax)) {
      throw new RangeError(`a block of ${count} entries and ${blockBytes} bytes is too large`);
    }
    if (firstIndex === last + 1) {
      assert(term >= (groups.lastTerm[slot] as number), 'terms along the log must not decrease');
    } else {
      assert(firstIndex > (groups.commit[slot] as number), 'an overwrite of committed entries');
      assert(
        term >= this.#index.termOf(slot, firstIndex - 1),
        'terms along the log must not decrease',
      );
    }
    assert(term <= (groups.term[slot] as number), 'entries of a term that is not laid yet');
    const stager = this.#stager;
    stager.reserve(recLen);
    putEntriesHead(
      stager.words,
      stager.at,
      recLen,
      groups.generation[slot] as number,
      groups.groupId[slot] as number,
    );
    this.entriesAt = stager.at + recordHeadBytes;
    this.entriesPosition = stager.end;
    this.#pendingLen = recLen;
    this.#pendingSlot = slot;
    this.#pendingFirst = firstIndex;
    this.#pendingCount = count;
    this.#pendingTerm = term;
    this.#pendingBlockBytes = blockBytes;
  }

  finishEntries(): void {
    const recLen = this.#pendingLen;
    assert(recLen > 0, 'finishEntries without beginEntries');
    const slot = this.#pendingSlot;
    const first = this.#pendingFirst;
    const bytes = this.entriesBytes;
    const end = this.entriesAt + recLen - recordHeadBytes;
    // Up to seven zeros, the last four of them as a word.
    let zero = this.entriesAt + this.#pendingBlockBytes;
    while ((zero & 3) !== 0) bytes[zero++] = 0;
    if (zero < end) this.entriesWords[zero >>> 2] = 0;
    if (first <= (this.#index.groups.last[slot] as number)) this.#index.truncate(slot, first);
    this.#index.append(
      slot,
      first,
      this.#pendingCount,
      this.#pendingTerm,
      this.#stager.segment.slot,
      this.#stager.tail,
      recLen,
    );
    this.#commit(recLen);
  }

  // --- Turns and durability ------------------------------------------------------------------------------------------

  get position(): number {
    return this.#stager.end;
  }

  endTurn(): number {
    this.#pendingLen = 0;
    if (this.poisoned !== null || this.#ending.isClosed) return this.#stager.end;
    if (this.#afterTurn.length > 0) for (const lay of this.#afterTurn.splice(0)) lay();
    if (this.#isInTurn) {
      this.#turnMs = this.#clock.monotonicMs();
      if (this.#states.commitsWaiting > 0) {
        this.#states.layCommits(this.#turnMs - commitDelayMs, commitsPerTurn, this.#turnMs);
      }
      this.#isInTurn = false;
    }
    const end = this.#stager.end;
    if (this.#stager.openBytes >= this.#settings.batchBytesSoft) this.#stager.closeOpen();
    this.#flush();
    return end;
  }

  /** Starts the next batch where none is in flight and one may be sealed. */
  #flush(): void {
    if (this.poisoned !== null) return;
    const { open } = this.#stager;
    if (this.#flusher.isBusy) {
      if (open !== null) this.#flusher.prepare(open, this.#stager.tail);
      return;
    }
    if (!this.#stager.hasClosed && !this.#isInTurn) this.#stager.closeOpen();
    const batch = this.#stager.takeClosed();
    if (batch !== null) this.#flusher.start(batch);
  }

  /** Lets the log itself lay records: now where no turn of the host is under way, else at the end of that turn. */
  #betweenTurns(lay: () => void): void {
    if (this.poisoned !== null || this.#ending.isClosing) return;
    this.#afterTurn.push(lay);
    if (!this.#isInTurn) this.endTurn();
  }

  #whenDurable(callback: () => void): void {
    const position = this.#stager.end;
    if (position <= this.durablePosition) this.#clock.nextTurn(callback);
    else this.#durableWaits.push({ position, callback });
  }

  #onBatchDurable(batch: Batch, seq: number): void {
    const position = batch.streamEnd;
    assert(position > this.durablePosition, 'durability that goes back');
    this.durablePosition = position;
    this.#ring.trim(position);
    this.#witness.note(seq);
    this.#flush();
    this.#events.onDurable(position);
    while (this.#durableWaits.length > 0 && (this.#durableWaits[0]?.position ?? 0) <= position) {
      this.#durableWaits.shift()?.callback();
    }
    this.#space.poke();
    this.#ending.closeWhenIdle();
  }

  /** Publishes the bytes reserved last. */
  #commit(recLen: number): void {
    this.#pendingLen = 0;
    this.#isInTurn = true;
    this.#stager.commit(recLen);
    this.counters.recordBytes += recLen;
  }

  #stageNext(salt: number, position: number): SegmentState {
    const { newest } = this.#segments;
    const added = this.#segments.add({
      segId: newest.segId + 1,
      salt,
      capacityBytes: this.#settings.segmentBytes,
      streamBase: position - pageBytes,
      isOnDisk: false,
    });
    this.#index.use.reach(added.slot);
    return added;
  }

  // --- Memory of the stream ------------------------------------------------------------------------------------------

  rangesBetween(from: number, to: number, ranges: Uint8Array[]): boolean {
    if (!(from <= to && to <= this.#stager.end)) {
      throw new RangeError(`not a part of the stream: ${from}..${to}`);
    }
    return this.#ring.ranges(from, to, ranges);
  }

  pin(from: number, to: number): void {
    if (from < to) this.#ring.addPins(from, to, 1);
  }

  unpin(from: number, to: number): void {
    if (from < to) this.#ring.addPins(from, to, -1);
  }

  // --- Reading -------------------------------------------------------------------------------------------------------

  touch(slots: readonly number[], count: number, withRecords: boolean): number {
    return this.#reader.touch(slots, count, withRecords);
  }

  lookup(slot: number, index: number, ref: RecordRef): boolean {
    return this.#reader.lookup(slot, index, ref);
  }

  load(
    slot: number,
    index: number,
    callback: (error: FlotillaError | null, ref: RecordRef) => void,
  ): void {
    this.#checkSlot(slot);
    this.#reader.load(slot, index, callback);
  }

  lastIndexWithin(slot: number, first: number, last: number, bytesMax: number): number {
    return this.#reader.lastIndexWithin(slot, first, last, bytesMax);
  }

  bytesBetween(slot: number, first: number, last: number): number {
    return this.#reader.bytesBetween(slot, first, last);
  }

  // --- Checkpoint ----------------------------------------------------------------------------------------------------

  checkpoint(
    target: string,
    callback: (error: FlotillaError | null, manifest: CheckpointManifest | null) => void,
  ): void {
    this.#checkOpen();
    // Nothing is given up before the links stand.
    this.#space.pause();
    const finish = (error: FlotillaError | null, manifest: CheckpointManifest | null): void => {
      if (!this.#checkpoints.delete(giveUp)) return;
      this.#space.resume();
      callback(error, manifest);
    };
    const giveUp = (error: FlotillaError): void => finish(error, null);
    this.#checkpoints.add(giveUp);
    this.#betweenTurns(() => {
      // The segments so far are sealed by one batch in the next.
      this.#stager.endSegment();
      const { newest } = this.#segments;
      this.#states.layPad();
      this.#whenDurable(() => {
        const manifest = manifestOf(this.#store.slot, this.#segments, newest, {
          instance: this.#drawInstance(),
          wallMs: this.#clock.wallMs(),
        });
        writeCheckpoint(this.#disk, this.#settings.directory, target, manifest, (error) =>
          finish(error, error === null ? manifest : null),
        );
      });
    });
  }

  // --- The end -------------------------------------------------------------------------------------------------------

  close(done: Done): void {
    this.#ending.close(done);
  }

  #checkOpen(): void {
    this.#ending.checkOpen();
    this.#pendingLen = 0;
  }

  #checkSlot(slot: number): void {
    if (!(slot >= 0 && slot < this.#index.groups.size))
      throw new RangeError(`no group in slot ${slot}`);
    if (this.#index.groups.isRemoved(slot))
      throw new RangeError(`the group in slot ${slot} is removed`);
  }
}
