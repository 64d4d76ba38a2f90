// One peer: its two links and what is known and proven of its identity.

import { frameHeaderBytes, frameKinds } from '@flotilla/codec';
import type { Done } from '@flotilla/io';
import type { Lane, Peer, PeerOptions } from './api.ts';
import type { Connection } from './connection.ts';
import type { Context } from './context.ts';
import { appendPrefixBytes } from './frame-reader.ts';
import type { Hello } from './handshake.ts';
import type { KnownPeer } from './judge.ts';
import { Link } from './link.ts';

/** Records of a frame are counted in 16 bits. */
const recordsMax = 0xffff;

export class PeerState implements Peer, KnownPeer {
  readonly nodeId: number;
  readonly control: Link;
  readonly append: Link;
  readonly #context: Context;
  #address: string;
  #instance = 0;
  #epoch = 0;
  #knownInstance: number;
  #knownStore: Uint8Array | null = null;
  #knownEpoch = -1;

  constructor(context: Context, options: PeerOptions) {
    this.nodeId = options.nodeId;
    this.#context = context;
    this.#address = options.address;
    this.#knownInstance = options.instance;
    this.control = new Link(context, this, 'control');
    this.append = new Link(context, this, 'append');
    this.control.start();
    this.append.start();
  }

  get address(): string {
    return this.#address;
  }
  get instance(): number {
    return this.#instance;
  }
  get epoch(): number {
    return this.#epoch;
  }
  get knownInstance(): number {
    return this.#knownInstance;
  }
  get knownStore(): Uint8Array | null {
    return this.#knownStore;
  }
  get knownEpoch(): number {
    return this.#knownEpoch;
  }
  get appendConnection(): number {
    return this.append.connections;
  }
  get canSendAppend(): boolean {
    return this.append.isUp && !this.append.isOverMark;
  }
  get pendingBytes(): number {
    return this.control.pendingBytes + this.append.pendingBytes;
  }
  get frameBytesMax(): number {
    const own = this.#context.settings.frameBytesMax;
    const control = this.control.living?.hello?.frameBytesMax ?? own;
    const append = this.append.living?.hello?.frameBytesMax ?? own;
    return Math.min(own, control, append);
  }

  isUp(lane: Lane): boolean {
    return this.linkOf(lane).isUp;
  }

  linkOf(lane: Lane): Link {
    return lane === 'control' ? this.control : this.append;
  }

  /** The membership changed what is known of this peer, or where it is. */
  update(options: PeerOptions): void {
    if (options.address !== this.#address) {
      this.#address = options.address;
      this.control.dialNow();
      this.append.dialNow();
    }
    if (options.instance === 0 || options.instance === this.#knownInstance) return;
    const wasBound = this.#knownInstance !== 0;
    this.#knownInstance = options.instance;
    if (!wasBound) return;
    this.#knownStore = null;
    this.#knownEpoch = -1;
    for (const link of [this.control, this.append]) link.close('the peer has another instance now');
  }

  /** Takes a judged HELLO or WELCOME as proof. Answers whether it bound the instance. */
  prove(hello: Hello): boolean {
    const isBound = this.#knownInstance === 0;
    this.#knownInstance = hello.instance;
    this.#knownStore = hello.storeUuid;
    this.#instance = hello.instance;
    this.#epoch = hello.epoch;
    if (hello.epoch > this.#knownEpoch) {
      this.#knownEpoch = hello.epoch;
      // Whatever an earlier opening of that directory left behind on the other lane is dead.
      for (const link of [this.control, this.append]) {
        if ((link.living?.hello?.epoch ?? hello.epoch) < hello.epoch) {
          link.close('the peer was started again');
        }
      }
    }
    return isBound;
  }

  /** The lane's connection is gone, and the other side may not know: it learns of the other lane's end. */
  laneLost(lane: Lane, reason: string): void {
    const other = lane === 'control' ? this.append : this.control;
    other.living?.close(reason);
  }

  /** Tells the host about a connection that was adopted. */
  announce(connection: Connection, link: Link, isBound: boolean): void {
    const { events } = this.#context;
    if (isBound && !this.#context.closed) events.onPeerIdentity(this, this.#knownInstance);
    link.announce(connection);
  }

  sendRecords(kind: number, records: number, bytes: Uint8Array, length: number): boolean {
    if (kind !== frameKinds.control && kind !== frameKinds.appendAnswer) {
      throw new RangeError(`kind must be control or appendAnswer, not ${kind}`);
    }
    if (!(Number.isInteger(length) && length >= 1 && length <= bytes.length)) {
      throw new RangeError(`length must be an integer in [1, ${bytes.length}], not ${length}`);
    }
    this.#checkFrame(records, length);
    const link = kind === frameKinds.control ? this.control : this.append;
    return link.sendRecords(kind, records, bytes, length);
  }

  sendAppend(
    records: number,
    heads: Uint8Array,
    headsLength: number,
    ranges: readonly Uint8Array[],
    written: Done,
  ): boolean {
    if (!(Number.isInteger(headsLength) && headsLength >= 0 && headsLength <= heads.length)) {
      throw new RangeError(`headsLength must be in [0, ${heads.length}], not ${headsLength}`);
    }
    let rangesBytes = 0;
    for (let i = 0; i < ranges.length; i++) rangesBytes += (ranges[i] as Uint8Array).length;
    this.#checkFrame(records, appendPrefixBytes + headsLength + rangesBytes);
    return this.append.sendAppend(records, heads, headsLength, ranges, rangesBytes, written);
  }

  reject(reason: string): void {
    if (!this.control.isUp && !this.append.isUp) return;
    this.#context.counters.protocolViolations += 1;
    this.#context.problems.report('PROTOCOL_VIOLATION', `node ${this.nodeId}: ${reason}`, {
      reason,
      nodeId: this.nodeId,
    });
    for (const link of [this.control, this.append]) link.living?.close(reason);
  }

  #checkFrame(records: number, bodyBytes: number): void {
    if (!(Number.isInteger(records) && records >= 0 && records <= recordsMax)) {
      throw new RangeError(`records must be an integer in [0, ${recordsMax}], not ${records}`);
    }
    if (bodyBytes > this.frameBytesMax) {
      throw new RangeError(
        `a body of ${bodyBytes} bytes exceeds the ${this.frameBytesMax} that the peer accepts`,
      );
    }
    if (frameHeaderBytes + bodyBytes > this.#context.settings.pendingBytesMax) {
      throw new RangeError('a frame exceeds pendingBytesMax by itself');
    }
  }
}
