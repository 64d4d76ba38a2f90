// What the engine gathers for one peer during a turn, and what waits for it longer.
//
//   live      append messages whose bytes are this turn's part of the log, sent as they stand in the slab
//   gathered  append messages whose bytes are copied together from the log: catch-up, probes, resends
//   queue     append messages that cannot leave now: the peer's socket is full, or a record must be read from disk first.
//             First in, first out; a group with something here sends nothing past it.
//   control   heartbeats, votes and their answers that may leave at once
//   held      answers that may leave only when a position of the log is durable
//
// A frame that cannot be sent is dropped: the protocol repairs it. What waits is bounded by the append windows of the
// cores and by queueLengthMax.

import { alignUp, frameKinds, recordAlignment } from '@flotilla/codec';
import type { Message } from '@flotilla/core';
import type { Peer } from '@flotilla/transport';
import { RecordRef, type Wal } from '@flotilla/wal';
import { beatRecord } from './member-wire.ts';
import type { EngineCounters } from './metrics.ts';
import type { Replica } from './replica.ts';
import { messageBytesMax, putMessage } from './wire.ts';

/** A little below what the frame's u16 can say: one group may add a few before the frame is sent. */
const recordsPerFrameMax = 60_000;
/** A frame under construction is sent when it reaches this. */
export const frameBytesTarget: number = 1 << 20;
/** Appends being read from disk at a time for one peer. */
const queueLoadsMax = 64;
/** Bytes of appends read from disk, or being read, that have not been sent to one peer (one larger append aside). */
const queueLoadBytesMax = 16 << 20;
const queueLengthMax = 65_536;
/** What a frame holds besides one message's records. */
const frameSlackBytes = 1024;

export interface PeerLinkEvents {
  /** Something was loaded: a turn should come. */
  wake(): void;
  /** A record that a follower needs cannot be read. */
  failReplica(replica: Replica, cause: unknown): void;
  onInfo(line: string): void;
}

/** Records of one frame under construction. */
class RecordBuffer {
  bytes: Uint8Array = new Uint8Array(1024);
  /** The same memory. */
  #words: Int32Array = new Int32Array(this.bytes.buffer);
  used = 0;
  records = 0;

  add(message: Message, groupId: number, sharedAt: number): void {
    if (this.used + messageBytesMax > this.bytes.length) this.#grow(0);
    this.used += putMessage(this.#words, this.used, message, groupId, sharedAt);
    this.records++;
  }

  /** Adds a record as it stands. */
  addBytes(record: Uint8Array): void {
    if (this.used + record.length > this.bytes.length) this.#grow(record.length);
    this.bytes.set(record, this.used);
    this.used += record.length;
    this.records++;
  }

  #grow(bytes: number): void {
    const grown = new Uint8Array(alignUp(this.bytes.length * 2 + bytes, recordAlignment));
    grown.set(this.bytes.subarray(0, this.used));
    this.bytes = grown;
    this.#words = new Int32Array(grown.buffer);
  }

  get isFull(): boolean {
    return this.records >= recordsPerFrameMax || this.used >= frameBytesTarget;
  }

  clear(): void {
    this.used = 0;
    this.records = 0;
  }
}

/** Answers that wait for a position of the log. */
class HeldFrame {
  position = 0;
  kind = 0;
  /** Connection they were made for; answers to another one must not leave. */
  connection = 0;
  instance = 0;
  readonly buffer: RecordBuffer = new RecordBuffer();
}

/** An append message that could not leave at once. */
class QueuedAppend {
  readonly replica: Replica;
  readonly prevIndex: number;
  readonly prevTerm: number;
  readonly lastIndex: number;
  readonly entriesTerm: number;
  readonly term: number;
  readonly commit: number;
  readonly stream: number;
  readonly toGeneration: number;
  /** Records that were read from disk, in order; null until the first one had to be. */
  loaded: RecordRef[] | null = null;
  /** Bytes of its records, and what of them is counted against queueLoadBytesMax. */
  readonly bytes: number;
  charged = 0;
  isLoading = false;
  isDead = false;

  constructor(replica: Replica, message: Message, bytes: number) {
    this.replica = replica;
    this.bytes = bytes;
    this.prevIndex = message.prevIndex;
    this.prevTerm = message.prevTerm;
    this.lastIndex = message.lastIndex;
    this.entriesTerm = message.entriesTerm;
    this.term = message.term;
    this.commit = message.commit;
    this.stream = message.stream;
    this.toGeneration = message.toGeneration;
  }

  fill(message: Message): void {
    message.prevIndex = this.prevIndex;
    message.prevTerm = this.prevTerm;
    message.lastIndex = this.lastIndex;
    message.entriesTerm = this.entriesTerm;
    message.term = this.term;
    message.commit = this.commit;
    message.stream = this.stream;
    message.fromGeneration = this.replica.generation;
    message.toGeneration = this.toGeneration;
  }
}

export class PeerLink {
  readonly peer: Peer;
  /** Its place among the links of this host. */
  readonly place: number;
  readonly #wal: Wal;
  readonly #counters: EngineCounters;
  readonly #ref: RecordRef = new RecordRef();
  readonly #live: RecordBuffer = new RecordBuffer();
  readonly #gathered: RecordBuffer = new RecordBuffer();
  #gatheredBytes: Uint8Array = new Uint8Array(0);
  #gatheredUsed = 0;
  readonly #control: RecordBuffer = new RecordBuffer();
  #heldControl: HeldFrame | null = null;
  #heldAnswers: HeldFrame | null = null;
  /** In order of position. */
  #held: HeldFrame[] = [];
  #heldAt = 0;
  readonly #spareHeld: HeldFrame[] = [];
  #queue: QueuedAppend[] = [];
  /** Appends being read from disk now. */
  #loads = 0;
  #loadBytes = 0;
  readonly #events: PeerLinkEvents;
  /** Something here is to be sent at the end of this turn. */
  hasWork = false;

  constructor(
    peer: Peer,
    place: number,
    wal: Wal,
    counters: EngineCounters,
    events: PeerLinkEvents,
  ) {
    this.peer = peer;
    this.place = place;
    this.#wal = wal;
    this.#counters = counters;
    this.#events = events;
  }

  /** Whether a live append of this replica may leave in this turn's frame. */
  #canSendLive(replica: Replica): boolean {
    return replica.queuedAppends === 0 && this.peer.canSendAppend;
  }

  get isLiveFull(): boolean {
    return this.#live.isFull;
  }

  /** Sends the live frame: its shared part is the stream from `from` to `to`, whose memory is `ranges`. */
  sendLive(from: number, to: number, ranges: readonly Uint8Array[]): void {
    const live = this.#live;
    if (live.records === 0) return;
    this.#flushGathered(); // older entries of the same groups go first
    const { records, used } = live;
    live.clear();
    const wal = this.#wal;
    wal.pin(from, to);
    const taken = this.peer.sendAppend(records, live.bytes, used, ranges, () =>
      wal.unpin(from, to),
    );
    if (!taken) wal.unpin(from, to);
  }

  /** Takes an append whose entries, where `sharedAt` is not below 0, stand there in this turn's part of the log. */
  addNew(replica: Replica, message: Message, sharedAt: number): void {
    if (sharedAt >= 0 && this.#canSendLive(replica)) {
      this.#live.add(message, replica.groupId, sharedAt);
      this.#counters.appendsLive++;
    } else {
      this.addAppend(replica, message);
    }
  }

  /** Takes an append whose bytes are not this turn's, or that may not leave now. */
  addAppend(replica: Replica, message: Message): void {
    if (!this.peer.isUp('append')) return;
    if (replica.queuedAppends > 0 || !this.peer.canSendAppend || !this.#gather(message, replica)) {
      this.#enqueue(replica, message);
    }
    this.hasWork = true;
  }

  addControl(message: Message, groupId: number): void {
    this.#control.add(message, groupId, 0);
    this.hasWork = true;
    if (this.#control.isFull) this.#flushControl();
  }

  /** Takes a record that is no Raft message. */
  addRecord(record: Uint8Array): void {
    this.#control.addBytes(record);
    this.hasWork = true;
    if (this.#control.isFull) this.#flushControl();
  }

  /** Says something on each connection, which tells whether it is dead. */
  beat(): void {
    if (this.peer.isUp('control')) this.addRecord(beatRecord);
    if (!this.peer.isUp('append')) return;
    this.peer.sendRecords(frameKinds.appendAnswer, 1, beatRecord, beatRecord.length);
  }

  /** Takes an answer that leaves when this turn's end is durable. */
  hold(message: Message, groupId: number, kind: number): void {
    let frame = kind === frameKinds.appendAnswer ? this.#heldAnswers : this.#heldControl;
    if (
      frame === null ||
      frame.buffer.isFull ||
      frame.connection !== this.peer.appendConnection ||
      frame.instance !== this.peer.instance
    ) {
      frame = this.#spareHeld.pop() ?? new HeldFrame();
      frame.kind = kind;
      frame.position = Infinity;
      frame.connection = this.peer.appendConnection;
      frame.instance = this.peer.instance;
      this.#held.push(frame);
      if (kind === frameKinds.appendAnswer) this.#heldAnswers = frame;
      else this.#heldControl = frame;
    }
    frame.buffer.add(message, groupId, 0);
  }

  /** The turn ended at `position`: what it held waits for that. */
  endTurn(position: number): void {
    if (this.#heldControl === null && this.#heldAnswers === null) return;
    this.#heldControl = null;
    this.#heldAnswers = null;
    for (let i = this.#held.length - 1; i >= this.#heldAt; i--) {
      const frame = this.#held[i] as HeldFrame;
      if (frame.position !== Infinity) break;
      frame.position = position;
    }
  }

  /** Sends the answers that waited for a position up to `durable`. */
  release(durable: number): void {
    while (this.#heldAt < this.#held.length) {
      const frame = this.#held[this.#heldAt] as HeldFrame;
      if (frame.position > durable) break;
      this.#heldAt++;
      const peer = this.peer;
      const isSameAddressee =
        frame.instance === peer.instance &&
        (frame.kind === frameKinds.control || frame.connection === peer.appendConnection);
      if (isSameAddressee) {
        peer.sendRecords(frame.kind, frame.buffer.records, frame.buffer.bytes, frame.buffer.used);
      }
      frame.buffer.clear();
      if (this.#spareHeld.length < 8) this.#spareHeld.push(frame);
    }
    if (this.#heldAt === this.#held.length) {
      this.#held.length = 0;
      this.#heldAt = 0;
    } else if (this.#heldAt >= 64) {
      this.#held = this.#held.slice(this.#heldAt);
      this.#heldAt = 0;
    }
  }

  /** Sends what gathered in this turn, the live frame aside. */
  flush(message: Message): void {
    this.#flushControl();
    this.#flushGathered();
    if (this.#queue.length > 0) this.#drainQueue(message);
    this.hasWork = this.#queue.length > 0 && this.peer.canSendAppend && this.#loads === 0;
  }

  /** The append connection is gone: what was meant for it is too. */
  dropAppends(): void {
    for (const item of this.#queue) {
      item.isDead = true;
      item.replica.queuedAppends--;
      if (!item.isLoading) this.#discharge(item);
    }
    this.#queue = [];
    this.#live.clear();
    this.#gathered.clear();
    this.#gatheredUsed = 0;
  }

  /** Bytes read back from the log, or being read, that have not been sent. */
  get loadBytes(): number {
    return this.#loadBytes;
  }

  get queuedAppends(): number {
    return this.#queue.length;
  }

  #flushControl(): void {
    const control = this.#control;
    if (control.records === 0) return;
    this.peer.sendRecords(frameKinds.control, control.records, control.bytes, control.used);
    control.clear();
  }

  #flushGathered(): void {
    const gathered = this.#gathered;
    if (gathered.records === 0) return;
    const bytes = this.#gatheredBytes.subarray(0, this.#gatheredUsed);
    const ranges = bytes.length === 0 ? [] : [bytes];
    this.peer.sendAppend(gathered.records, gathered.bytes, gathered.used, ranges, () => {});
    gathered.clear();
    // The socket may still hold these bytes: the next frame gets memory of its own.
    this.#gatheredBytes = new Uint8Array(0);
    this.#gatheredUsed = 0;
  }

  /** Copies the records of `message` into the gathered frame. False where one of them is not in memory. */
  #gather(message: Message, replica: Replica): boolean {
    const ref = this.#ref;
    const { prevIndex, lastIndex } = message;
    if (lastIndex > prevIndex) {
      const bytes = this.#wal.bytesBetween(replica.slot, prevIndex + 1, lastIndex);
      if (!this.#makeRoom(bytes, replica)) return true;
    }
    const sharedStart = this.#gatheredUsed;
    let index = message.prevIndex + 1;
    while (index <= message.lastIndex) {
      if (!this.#wal.lookup(replica.slot, index, ref)) {
        this.#gatheredUsed = sharedStart;
        return false;
      }
      this.#copyRecord(ref);
      index = ref.lastIndex + 1;
    }
    this.#addGathered(message, replica.groupId, sharedStart);
    return true;
  }

  /**
   * Sends what is gathered where `bytes` more would make the frame larger than frames should be. False where no frame
   * that this peer takes can hold them: the message is dropped, and somebody is told.
   */
  #makeRoom(bytes: number, replica: Replica): boolean {
    if (bytes + frameSlackBytes > this.peer.frameBytesMax) {
      if (replica.isTooLargeTold) return false;
      replica.isTooLargeTold = true;
      this.#events.onInfo(
        `group ${replica.groupId} has an entry of ${bytes} bytes that host ${this.peer.nodeId} takes no frame for: raise entryBytesMax on all hosts`,
      );
      return false;
    }
    if (this.#gatheredUsed > 0 && this.#gatheredUsed + bytes > frameBytesTarget)
      this.#flushGathered();
    return true;
  }

  #addGathered(message: Message, groupId: number, sharedStart: number): void {
    this.#gathered.add(message, groupId, sharedStart);
    this.#counters.appendsGathered++;
    if (this.#gathered.isFull) this.#flushGathered();
  }

  #copyRecord(ref: RecordRef): void {
    const used = this.#gatheredUsed;
    const needed = used + ref.recLen;
    if (needed > this.#gatheredBytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#gatheredBytes.length * 2, 16_384));
      grown.set(this.#gatheredBytes.subarray(0, used));
      this.#gatheredBytes = grown;
    }
    this.#gatheredBytes.set(ref.bytes.subarray(ref.at, ref.at + ref.recLen), used);
    this.#gatheredUsed = needed;
  }

  #enqueue(replica: Replica, message: Message): void {
    if (this.#queue.length >= queueLengthMax) return;
    const { prevIndex, lastIndex } = message;
    const bytes =
      lastIndex > prevIndex ? this.#wal.bytesBetween(replica.slot, prevIndex + 1, lastIndex) : 0;
    this.#queue.push(new QueuedAppend(replica, message, bytes));
    replica.queuedAppends++;
    this.#counters.appendsQueued++;
  }

  #drainQueue(message: Message): void {
    let done = 0;
    while (done < this.#queue.length && this.peer.canSendAppend) {
      const item = this.#queue[done] as QueuedAppend;
      if (item.isLoading) break;
      if (!this.#sendQueued(item, message)) break;
      item.replica.queuedAppends--;
      this.#discharge(item);
      done++;
    }
    if (done > 0) this.#queue = this.#queue.slice(done);
    this.#flushGathered();
    for (const item of this.#queue) {
      if (this.#loads >= queueLoadsMax || this.#loadBytes >= queueLoadBytesMax) break;
      if (!this.peer.canSendAppend) break;
      // Of a replica that has ended nothing can be read any more; its items are dropped in their turn.
      if (item.isLoading || item.loaded !== null || item.replica.isEnded) continue;
      item.charged = item.bytes;
      this.#loadBytes += item.charged;
      this.#load(item, item.prevIndex + 1);
    }
  }

  #discharge(item: QueuedAppend): void {
    this.#loadBytes -= item.charged;
    item.charged = 0;
  }

  /** Puts a queued append into the gathered frame; false where its records must be loaded first. */
  #sendQueued(item: QueuedAppend, message: Message): boolean {
    const { replica, loaded } = item;
    const core = replica.core;
    // A term or a suffix that is gone makes the message meaningless: drop it.
    if (replica.isFailed || core.term !== item.term || core.role !== 'leader') return true;
    message.clear();
    item.fill(message);
    if (loaded === null) return this.#gather(message, replica);
    if (
      !this.#makeRoom(
        loaded.reduce((bytes, ref) => bytes + ref.recLen, 0),
        replica,
      )
    )
      return true;
    const sharedStart = this.#gatheredUsed;
    for (const ref of loaded) this.#copyRecord(ref);
    this.#addGathered(message, replica.groupId, sharedStart);
    return true;
  }

  /** Reads the records of a queued append, one after the other, from `index` on. */
  #load(item: QueuedAppend, index: number): void {
    if (index > item.replica.core.lastIndex) {
      item.loaded ??= [];
      return;
    }
    item.isLoading = true;
    this.#loads++;
    this.#wal.load(item.replica.slot, index, (error, ref) => {
      item.isLoading = false;
      this.#loads--;
      if (item.isDead) return this.#discharge(item);
      item.loaded ??= [];
      if (error !== null || ref.lastIndex < index) {
        item.isDead = true;
        item.replica.queuedAppends--;
        this.#discharge(item);
        this.#queue = this.#queue.filter((other) => other !== item);
        this.hasWork = true;
        if (error !== null && !item.replica.isEnded) this.#events.failReplica(item.replica, error);
        this.#events.wake();
        return;
      }
      item.loaded.push(ref);
      if (item.replica.isEnded) {
        // Its log may be gone by now; the item is dropped in its turn.
        this.hasWork = true;
        this.#events.wake();
        return;
      }
      if (ref.lastIndex < item.lastIndex) this.#load(item, ref.lastIndex + 1);
      else {
        this.hasWork = true;
        this.#events.wake();
      }
    });
  }
}
