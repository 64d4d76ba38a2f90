// What a leader knows about one follower, and the window of append messages that are under way to it.
//
// Three states. *Probing*: where the logs agree is not known; one append is under way at a time (`probeSent`), and it is
// sent again only when an answer to a later heartbeat shows that the peer lives. *Awaiting a snapshot*: a probing peer
// that misses what is compacted here; no append is sent before it has installed a snapshot, or that failed.
// *Replicating*: the logs agree up to `match`; `next` runs ahead of the answers, and the window bounds how far.
//
// A stream is a run of appends that build on each other. A refusal, a lost connection and a new term begin a new one;
// answers that name an older stream are ignored, so that one refusal is acted upon once, however many appends were
// pipelined behind the refused one.
//
// Invariants:
// 1. match < next <= lastIndex + 1.
// 2. Replicating and the window not full: next = lastIndex + 1 after every step (nothing waits for a timer).
// 3. The window holds last indexes in ascending order, all above match, and is empty while probing.
// 4. Awaiting a snapshot is probing with the probe sent.

import { assert } from './assert.ts';
import type { Member } from './configuration.ts';

/** What bounds every window of a core; not kept in each. */
export interface WindowLimits {
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
}

const noRing: number[] = [];

/**
 * A ring of {last index, bytes} per append message. It grows by need and can be let go; a message that is alone under
 * way, as it is where many groups have little to say each, stands in a field and needs no ring.
 */
export class InflightWindow {
  count = 0;
  bytes = 0;
  /** Last index of the message that is alone, 0 = there is none or they stand in the ring. Its bytes are `bytes`. */
  #aloneLast = 0;
  #head = 0;
  /** Slot i is at [2i] and [2i+1]; plain numbers, because a typed array's header outweighs a short ring. */
  #ring: number[] = noRing;

  /** Full by either measure. The last message may pass `bytesMax`, so that one larger entry can travel at all. */
  isFull({ inflightMessagesMax, inflightBytesMax }: WindowLimits): boolean {
    return this.count >= inflightMessagesMax || this.bytes >= inflightBytesMax;
  }

  add(lastIndex: number, bytes: number, limits: WindowLimits): void {
    assert(!this.isFull(limits), 'no append leaves over a full window');
    if (this.count === 0) {
      this.#aloneLast = lastIndex;
      this.count = 1;
      this.bytes = bytes;
      return;
    }
    if (this.#aloneLast > 0) {
      const aloneLast = this.#aloneLast;
      this.#aloneLast = 0;
      this.count = 0;
      const aloneBytes = this.bytes;
      this.bytes = 0;
      this.#push(aloneLast, aloneBytes, limits);
    }
    this.#push(lastIndex, bytes, limits);
  }

  #push(lastIndex: number, bytes: number, { inflightMessagesMax }: WindowLimits): void {
    if (this.count * 2 === this.#ring.length) this.#grow(inflightMessagesMax);
    const slots = this.#ring.length / 2;
    let slot = this.#head + this.count;
    if (slot >= slots) slot -= slots;
    this.#ring[slot * 2] = lastIndex;
    this.#ring[slot * 2 + 1] = bytes;
    this.count++;
    this.bytes += bytes;
  }

  /** Frees all messages that end at or before `index`. */
  freeTo(index: number): void {
    if (this.#aloneLast > 0) {
      if (this.#aloneLast <= index) this.clear();
      return;
    }
    const slots = this.#ring.length / 2;
    while (this.count > 0 && (this.#ring[this.#head * 2] as number) <= index) {
      this.bytes -= this.#ring[this.#head * 2 + 1] as number;
      this.count--;
      this.#head++;
      if (this.#head === slots) this.#head = 0;
    }
  }

  clear(): void {
    this.#aloneLast = 0;
    this.count = 0;
    this.bytes = 0;
    this.#head = 0;
  }

  /** Lets the ring's memory go; only while it is empty. */
  release(): void {
    assert(this.count === 0, 'only an empty window is released');
    this.#head = 0;
    this.#ring = noRing;
  }

  /** Last index of the message `position`, 0 = the oldest. */
  lastIndexOf(position: number): number {
    if (this.#aloneLast > 0) return this.#aloneLast;
    const slots = this.#ring.length / 2;
    return this.#ring[((this.#head + position) % slots) * 2] as number;
  }

  /** Bytes of the message `position`. */
  bytesOf(position: number): number {
    if (this.#aloneLast > 0) return this.bytes;
    const slots = this.#ring.length / 2;
    return this.#ring[((this.#head + position) % slots) * 2 + 1] as number;
  }

  #grow(slotsMax: number): void {
    const slots = this.#ring.length / 2;
    const grown: number[] = [];
    for (let i = 0; i < slots; i++) {
      const slot = (this.#head + i) % slots;
      grown.push(this.#ring[slot * 2] as number, this.#ring[slot * 2 + 1] as number);
    }
    const target = Math.min(slotsMax, Math.max(4, slots * 2));
    while (grown.length < target * 2) grown.push(0);
    this.#ring = grown;
    this.#head = 0;
  }
}

/** What a follower's answers make of a lease: kept only where the group has lease reads. */
export interface LeaseClock {
  /** The question whose answer is awaited, 0 = none, and when it was sent. */
  askedToken: number;
  askedMs: number;
  /** When the newest question was sent that it answered. */
  answeredMs: number;
}

export class Progress {
  readonly nodeId: number;
  readonly generation: number;
  /** Position among the voters; -1 for a learner, and for one that the configuration has left out. */
  position = -1;
  /** Left out by a configuration that is not committed yet: it still gets the entries that say so. */
  isDeparting = false;
  /** The follower's durable log agrees with ours up to here. */
  match = 0;
  /** First entry of the next append. */
  next: number;
  isProbing = true;
  probeSent = false;
  awaitsSnapshot = false;
  /** An operator allows it to have lost what it acknowledged, once. */
  mayRevert = false;
  stream: number;
  /** When the last append or heartbeat, the last append, and the last answer of this term came to pass. */
  lastSentMs: number;
  lastAppendMs: number;
  lastAnswerMs: number;
  /** Newest read round that this peer has answered. */
  readToken = 0;
  lease: LeaseClock | null = null;
  readonly window: InflightWindow = new InflightWindow();

  constructor(member: Member, next: number, stream: number, nowMs: number) {
    this.nodeId = member.nodeId;
    this.generation = member.generation;
    this.next = next;
    this.stream = stream;
    this.lastSentMs = nowMs;
    this.lastAppendMs = nowMs;
    this.lastAnswerMs = nowMs;
  }

  /** A new stream that begins with a probe for entry `next`. */
  startProbe(next: number, stream: number): void {
    assert(next > this.match, 'a probe begins above what is known to match');
    this.next = next;
    this.isProbing = true;
    this.probeSent = false;
    this.awaitsSnapshot = false;
    this.stream = stream;
    this.window.clear();
  }

  /** What it misses next is compacted. */
  startAwaitingSnapshot(): void {
    this.isProbing = true;
    this.probeSent = true;
    this.awaitsSnapshot = true;
    this.window.clear();
  }

  startReplicating(): void {
    this.isProbing = false;
    this.probeSent = false;
    this.awaitsSnapshot = false;
    this.next = this.match + 1;
    this.window.clear();
  }
}
