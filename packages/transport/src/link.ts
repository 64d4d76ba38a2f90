// One lane to one peer: at most one living connection, whoever dialled it, and on the dialling side the next attempt.
//
// 1. At most one connection lives and at most one is being dialled, never both.
// 2. isUp follows the living connection at once; the events follow in order: what this host's own call brought down is told
//    one turn later, never from inside the call, and always before the lane is told to be up again.
// 3. A failed or lost connection is dialled again after the backoff's next value, a rejected one after refusedMs at least;
//    the backoff starts anew after each handshake that succeeded.
// 4. A lane that breaks takes the other one with it: the side that accepted it cannot dial, and the side that dialled it
//    may never write on it again, and so never learn that it is gone. Of the other lane's end it learns.

import { crc32, frameHeaderBytes, frameKinds, putFrameHeader, putU32 } from '@flotilla/codec';
import type { Done, IoError, Timer } from '@flotilla/io';
import type { Lane, ReceivedFrame } from './api.ts';
import { type ClosedBy, Connection, type ConnectionOwner } from './connection.ts';
import { type Context, ourHello } from './context.ts';
import { appendPrefixBytes, kindSet } from './frame-reader.ts';
import { decodeHello, decodeReject, encodeHello, type Hello, laneNumbers } from './handshake.ts';
import { judgePeer, judgeStranger } from './judge.ts';
import type { PeerState } from './peer.ts';

/** A dial that was refused is not repeated sooner: only a person, or a new epoch, changes the answer. */
export const refusedMs = 5000;
/** A backoff that gives something else than a pause gets this one. */
const fallbackPauseMs = 500;

const kindsOf: Readonly<Record<Lane, number>> = {
  control: kindSet(frameKinds.control, frameKinds.reject),
  append: kindSet(frameKinds.append, frameKinds.appendAnswer, frameKinds.reject),
};

export class Link implements ConnectionOwner {
  readonly lane: Lane;
  readonly #context: Context;
  readonly #peer: PeerState;
  readonly #isDialler: boolean;
  #living: Connection | null = null;
  #candidate: Connection | null = null;
  #redial: Timer | null = null;
  #backoff: Iterator<number, never> | null = null;
  /** The next attempt follows a refusal. */
  #wasRefused = false;
  /** A write answered false and the drain has not come yet. */
  #isOverMark = false;
  #connections = 0;
  /** A newer connection is taking the place of the living one: the lane is not lost. */
  #isReplacing = false;
  /** The lane went down and the host has not been told. */
  #untoldReason: string | null = null;
  /** The last refusal that was reported, so that a repeated one is not. */
  #reportedRefusal = '';

  constructor(context: Context, peer: PeerState, lane: Lane) {
    this.#context = context;
    this.#peer = peer;
    this.lane = lane;
    this.#isDialler = context.settings.nodeId < peer.nodeId;
  }

  get isUp(): boolean {
    return this.#living !== null;
  }

  get living(): Connection | null {
    return this.#living;
  }

  get isOverMark(): boolean {
    return this.#isOverMark;
  }

  get pendingBytes(): number {
    return this.#living?.pendingBytes ?? 0;
  }

  /** Handshakes that succeeded. */
  get connections(): number {
    return this.#connections;
  }

  /** Dials, if dialling is ours, no sooner than the next turn. */
  start(): void {
    if (this.#isDialler) this.#context.world.clock.nextTurn(() => this.#dial());
  }

  /** The peer may be elsewhere now: no reason to wait out an old failure. */
  dialNow(): void {
    if (this.#redial === null) return;
    this.#redial.cancel();
    this.#redial = null;
    this.start();
  }

  /** Closes what lives or is being dialled; the dialling side will try again. */
  close(reason: string): void {
    this.#living?.close(reason);
    this.#candidate?.close(reason);
  }

  /** For good. */
  stop(): void {
    this.#redial?.cancel();
    this.#redial = null;
    this.close('the transport is closed');
  }

  /** Takes over a connection whose handshake is done; the one that lived, if any, makes room. */
  adopt(connection: Connection, hello: Hello): void {
    const replaced = this.#living;
    if (replaced !== null) {
      this.#isReplacing = true;
      this.#replace(replaced, hello);
      this.#isReplacing = false;
    }
    connection.promote(this, hello, kindsOf[this.lane]);
    this.#living = connection;
    this.#connections += 1;
    if (this.#connections > 1) this.#context.counters.reconnects += 1;
    this.#backoff = null;
    this.#reportedRefusal = '';
    this.#isOverMark = false;
  }

  /** Tells the host what adopt() did. */
  announce(connection: Connection): void {
    this.#tellDown();
    if (this.#living !== connection || this.#context.closed) return;
    this.#context.events.onLaneUp(this.#peer, this.lane);
  }

  /** One frame of records; false where it was dropped. */
  sendRecords(kind: number, records: number, bytes: Uint8Array, length: number): boolean {
    const frameBytes = frameHeaderBytes + length;
    const connection = this.#takingConnection(frameBytes);
    if (connection === null) return false;
    const memory = this.#context.frameMemory.take(frameBytes);
    memory.set(length === bytes.length ? bytes : bytes.subarray(0, length), frameHeaderBytes);
    const bodyCrc = crc32(memory, frameHeaderBytes, frameBytes);
    putFrameHeader(memory, 0, { bodyBytes: length, kind, flags: 0, records, bodyCrc });
    this.#write(connection, memory, frameBytes, [], 0);
    return true;
  }

  /** One append frame; false where nothing was taken. */
  sendAppend(
    records: number,
    heads: Uint8Array,
    headsLength: number,
    ranges: readonly Uint8Array[],
    rangesBytes: number,
    written: Done,
  ): boolean {
    const headsBytes = appendPrefixBytes + headsLength;
    const connection = this.#takingConnection(frameHeaderBytes + headsBytes + rangesBytes);
    if (connection === null) return false;
    const startBytes = frameHeaderBytes + headsBytes;
    const start = this.#context.frameMemory.take(startBytes);
    putU32(start, frameHeaderBytes, headsBytes);
    putU32(start, frameHeaderBytes + 4, 0);
    start.set(
      headsLength === heads.length ? heads : heads.subarray(0, headsLength),
      frameHeaderBytes + appendPrefixBytes,
    );
    putFrameHeader(start, 0, {
      bodyBytes: headsBytes + rangesBytes,
      kind: frameKinds.append,
      flags: 0,
      records,
      bodyCrc: crc32(start, frameHeaderBytes, startBytes),
    });
    this.#write(connection, start, startBytes, ranges, rangesBytes, written);
    return true;
  }

  onOpen(connection: Connection): void {
    const frame = encodeHello('hello', ourHello(this.#context, this.#peer.nodeId, this.lane));
    connection.write([frame], frame.length);
  }

  onFrame(connection: Connection, frame: ReceivedFrame): void {
    if (frame.kind === frameKinds.reject) {
      this.#onReject(connection, frame);
    } else if (frame.kind === frameKinds.welcome) {
      this.#onWelcome(connection, frame);
    } else {
      this.#context.counters.framesReceived += 1;
      this.#context.events.onFrame(this.#peer, frame);
    }
  }

  onDrain(connection: Connection): void {
    if (connection !== this.#living || !this.#isOverMark) return;
    this.#isOverMark = false;
    if (this.lane === 'append' && !this.#context.closed) this.#context.events.onDrain(this.#peer);
  }

  onClosed(connection: Connection, reason: string, by: ClosedBy): void {
    if (connection === this.#candidate) {
      this.#candidate = null;
      this.#dialLater();
      return;
    }
    if (connection !== this.#living) return;
    this.#living = null;
    this.#untoldReason = reason;
    this.#context.world.clock.nextTurn(() => this.#tellDown());
    this.#dialLater();
    // Whoever dials knows of what it closed itself, and of what the other side closed behind its back it does not.
    const isKnown = by === (this.#isDialler ? 'us' : 'them');
    if (!isKnown && !this.#isReplacing) this.#peer.laneLost(this.lane, reason);
  }

  #dial(): void {
    if (this.#context.closed || this.#living !== null || this.#candidate !== null) return;
    if (this.#redial !== null) return;
    const connection = new Connection(this.#context, this, [frameKinds.welcome, frameKinds.reject]);
    this.#candidate = connection;
    connection.attach(this.#context.world.net.dial(this.#peer.address, connection));
  }

  /** Arms the next attempt. */
  #dialLater(): void {
    if (!this.#isDialler || this.#context.closed) return;
    const { clock } = this.#context.world;
    this.#redial?.cancel();
    const pauseMsMin = this.#wasRefused ? refusedMs : 0;
    this.#wasRefused = false;
    this.#backoff ??= this.#context.settings.backoff();
    const value: unknown = this.#backoff.next().value;
    const pauseMs =
      typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER
        ? value
        : fallbackPauseMs;
    this.#redial = clock.at(clock.monotonicMs() + Math.max(pauseMs, pauseMsMin), () => {
      this.#redial = null;
      this.#dial();
    });
  }

  #onWelcome(connection: Connection, frame: ReceivedFrame): void {
    const welcome = decodeHello(frame.bytes, frame.at, frame.end);
    if (welcome === null || welcome.lane !== laneNumbers[this.lane]) {
      connection.onViolation('handshake');
      return;
    }
    const { settings } = this.#context;
    const refusal = judgeStranger(welcome, settings) ?? judgePeer(welcome, settings, this.#peer);
    if (refusal !== null) {
      this.#refused(connection, refusal, 'refused here', () => connection.reject(refusal));
      return;
    }
    this.#candidate = null;
    const isBound = this.#peer.prove(welcome);
    this.adopt(connection, welcome);
    this.#peer.announce(connection, this, isBound);
  }

  #onReject(connection: Connection, frame: ReceivedFrame): void {
    const rejection = decodeReject(frame.bytes, frame.at, frame.end);
    if (rejection === null) {
      connection.onViolation('handshake');
      return;
    }
    this.#refused(connection, rejection.reason, 'refused by it', () =>
      connection.close(`rejected by the other side: ${rejection.reason}`),
    );
  }

  #refused(connection: Connection, reason: string, by: string, close: () => void): void {
    const { counters, problems } = this.#context;
    const nodeId = this.#peer.nodeId;
    counters.handshakesRejected += 1;
    // `busy` passes by itself within milliseconds; everything else stays until somebody acts.
    this.#wasRefused = reason !== 'busy';
    close();
    const refusal = `${by}: ${reason}`;
    if (refusal === this.#reportedRefusal) return;
    this.#reportedRefusal = refusal;
    problems.report(
      'HANDSHAKE_REJECTED',
      `${this.lane} lane to node ${nodeId} at ${connection.remote} was ${refusal}`,
      { reason, nodeId, lane: this.lane, remote: connection.remote },
    );
  }

  /** A newer connection takes the place of `replaced`. */
  #replace(replaced: Connection, hello: Hello): void {
    const before = replaced.hello;
    if (before === null || before.process === hello.process) {
      replaced.close('replaced by a newer connection');
      return;
    }
    // Another process under the same identity: the one before is dead, or should know of the other.
    if (before.epoch === hello.epoch) {
      this.#context.problems.report(
        'HANDSHAKE_REJECTED',
        `two living processes are node ${hello.nodeId}: a copied data directory?`,
        { reason: 'duplicate', nodeId: hello.nodeId, remote: replaced.remote },
      );
    }
    replaced.reject('duplicate');
  }

  /** The living connection, unless `frameBytes` more would go over the cap. */
  #takingConnection(frameBytes: number): Connection | null {
    const connection = this.#living;
    if (connection === null) return null;
    if (connection.pendingBytes + frameBytes <= this.#context.settings.pendingBytesMax) {
      return connection;
    }
    // What is missing from an append stream stops it for good, so it is better begun anew; control messages are repeated.
    if (this.lane === 'append') connection.close('too many unsent bytes');
    return null;
  }

  /** Writes memory[0, bytes), whose memory is then free again, and `ranges`. */
  #write(
    connection: Connection,
    memory: Uint8Array,
    bytes: number,
    ranges: readonly Uint8Array[],
    rangesBytes: number,
    written?: Done,
  ): void {
    const { counters, frameMemory } = this.#context;
    counters.framesSent += 1;
    const start = bytes === memory.length ? memory : memory.subarray(0, bytes);
    const done = (error: IoError | null): void => {
      // Of a connection that died nobody says when the last byte was read.
      if (error === null) frameMemory.give(memory);
      written?.(error);
    };
    if (!connection.write([start, ...ranges], bytes + rangesBytes, done)) this.#isOverMark = true;
  }

  #tellDown(): void {
    const reason = this.#untoldReason;
    this.#untoldReason = null;
    if (reason === null || this.#context.closed) return;
    this.#context.events.onLaneDown(this.#peer, this.lane, reason);
  }
}
