// One socket from its first byte to its last: cuts frames, keeps the deadlines, closes. Whose it is (the acceptor's until
// its HELLO was believed, then a link's) is a field; what its frames mean is the owner's business.
//
// 1. After close() or reject() the owner hears nothing more but the one onClosed that either makes, before it returns.
// 2. A connection that has not finished its handshake after handshakeMs is closed, and so is one whose frame, once begun,
//    is not complete after frameMs: whoever sends a byte a second holds nothing for long.
// 3. A violation is counted, reported at a limited rate, and closes this connection only.

import type { Conn, ConnHandlers, Done, IoError, Timer } from '@flotilla/io';
import type { ReceivedFrame } from './api.ts';
import type { Context } from './context.ts';
import { FrameReader, type FrameSink, kindSet, type Violation } from './frame-reader.ts';
import { encodeReject, handshakeBytesMax, type Hello, type RejectReason } from './handshake.ts';
import { hostOf, type Lodger } from './lobby.ts';

/** A frame that has begun must have ended after this long. */
export const frameMs = 10_000;
/** So long a refused connection may take to read why. */
const lingerMs = 1000;

/** `them`: in good order; `nobody`: it broke. */
export type ClosedBy = 'us' | 'them' | 'nobody';

export interface ConnectionOwner {
  /** A dialled connection stands. */
  onOpen(connection: Connection): void;
  onFrame(connection: Connection, frame: ReceivedFrame): void;
  onDrain(connection: Connection): void;
  onClosed(connection: Connection, reason: string, by: ClosedBy): void;
}

export class Connection implements ConnHandlers, FrameSink, Lodger {
  /** The other side's HELLO or WELCOME, once it was believed. */
  hello: Hello | null = null;
  readonly #context: Context;
  readonly #reader: FrameReader;
  #owner: ConnectionOwner;
  #conn: Conn | null = null;
  #closed = false;
  #handshakeTimer: Timer | null = null;
  #frameTimer: Timer | null = null;
  #frameBegunMs = 0;
  #framesReadBefore = 0;

  constructor(context: Context, owner: ConnectionOwner, handshakeKinds: readonly number[]) {
    this.#context = context;
    this.#owner = owner;
    this.#reader = new FrameReader(this, kindSet(...handshakeKinds), handshakeBytesMax);
    const { clock } = context.world;
    this.#handshakeTimer = clock.at(clock.monotonicMs() + context.settings.handshakeMs, () => {
      this.#handshakeTimer = null;
      this.close('the handshake took too long');
    });
  }

  /** Must follow the constructor at once. */
  attach(conn: Conn): void {
    this.#conn = conn;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  get remote(): string {
    return this.#conn?.remote ?? '?';
  }

  get address(): string {
    return hostOf(this.remote);
  }

  get pendingBytes(): number {
    return this.#conn?.pendingBytes ?? 0;
  }

  /** The handshake is done: frames of `kinds` go to `owner` from the next one on. */
  promote(owner: ConnectionOwner, hello: Hello, kinds: number): void {
    this.#owner = owner;
    this.hello = hello;
    this.#reader.setLimits(kinds, this.#context.settings.frameBytesMax);
    this.#cancelHandshakeTimer();
    this.#context.lobby.leave(this);
  }

  /** Conn.write, with `bytes` counted. */
  write(buffers: readonly Uint8Array[], bytes: number, written?: Done): boolean {
    this.#context.counters.bytesSent += bytes;
    return this.#conn === null ? false : this.#conn.write(buffers, written);
  }

  /** Closes at once. */
  close(reason: string): void {
    if (this.#closed) return;
    this.#finish(reason);
    this.#gone();
    this.#conn?.destroy();
  }

  /** Tells the other side why it is refused, then closes. */
  reject(reason: RejectReason): void {
    if (this.#closed) return;
    const frame = encodeReject(reason);
    this.write([frame], frame.length);
    this.#conn?.end();
    this.#finish(`rejected: ${reason}`);
    this.#context.lobby.enter(this);
    const { clock } = this.#context.world;
    this.#handshakeTimer = clock.at(clock.monotonicMs() + lingerMs, () => {
      this.#gone();
      this.#conn?.destroy();
    });
  }

  /** The lobby needs the place. */
  evict(): void {
    if (!this.#closed) {
      const frame = encodeReject('busy');
      this.write([frame], frame.length);
      this.#finish('too many connections without a handshake');
    }
    this.#gone();
    this.#conn?.destroy();
  }

  onOpen(): void {
    if (!this.#closed) this.#owner.onOpen(this);
  }

  onData(chunk: Uint8Array): void {
    if (this.#closed) return;
    this.#context.counters.bytesReceived += chunk.length;
    this.#reader.push(chunk);
    if (!this.#closed) this.#watchFrame();
  }

  onDrain(): void {
    if (!this.#closed) this.#owner.onDrain(this);
  }

  onClose(error: IoError | null): void {
    this.#gone();
    if (this.#closed) return;
    if (error === null) this.#finish('closed by the other side', 'them');
    else this.#finish(error.message, 'nobody');
  }

  onFrame(frame: ReceivedFrame): void {
    this.#owner.onFrame(this, frame);
  }

  onViolation(violation: Violation): void {
    const { counters, problems } = this.#context;
    counters.protocolViolations += 1;
    const nodeId = this.hello?.nodeId ?? 0;
    const who = nodeId === 0 ? this.remote : `node ${nodeId} at ${this.remote}`;
    problems.report('PROTOCOL_VIOLATION', `${who} broke the frame protocol: ${violation}`, {
      reason: violation,
      remote: this.remote,
      nodeId,
    });
    this.close(`protocol violation: ${violation}`);
  }

  /**
   * One timer at most, armed when a frame straddles chunks and looked at when it is due: at full speed nearly every chunk
   * ends inside a frame, and a timer for each would cost more than the frames.
   */
  #watchFrame(): void {
    const framesRead = this.#reader.framesRead;
    if (!this.#reader.isInsideFrame) return;
    const { clock } = this.#context.world;
    if (this.#frameTimer === null || framesRead !== this.#framesReadBefore) {
      this.#frameBegunMs = clock.monotonicMs();
      this.#framesReadBefore = framesRead;
    }
    this.#frameTimer ??= clock.at(this.#frameBegunMs + frameMs, () => this.#onFrameDue());
  }

  #onFrameDue(): void {
    this.#frameTimer = null;
    if (this.#closed || !this.#reader.isInsideFrame) return;
    const { clock } = this.#context.world;
    const isSameFrame = this.#reader.framesRead === this.#framesReadBefore;
    if (isSameFrame && clock.monotonicMs() >= this.#frameBegunMs + frameMs) {
      this.onViolation('deadline');
      return;
    }
    this.#frameTimer = clock.at(this.#frameBegunMs + frameMs, () => this.#onFrameDue());
  }

  #finish(reason: string, by: ClosedBy = 'us'): void {
    this.#closed = true;
    this.#reader.stop();
    this.#cancelHandshakeTimer();
    this.#frameTimer?.cancel();
    this.#frameTimer = null;
    this.#owner.onClosed(this, reason, by);
  }

  /** The socket stands no longer, or is about to. */
  #gone(): void {
    this.#context.lobby.leave(this);
    this.#cancelHandshakeTimer();
  }

  #cancelHandshakeTimer(): void {
    this.#handshakeTimer?.cancel();
    this.#handshakeTimer = null;
  }
}
