// A world in memory for these tests: a clock that moves only when told, and a Net whose connections deliver bytes in
// pieces of any size, so that every split of a stream can be tried. Events run in the order of their due time, then of
// their making; nothing is called from inside the call that asked for it.

import type {
  Callback,
  Clock,
  Conn,
  ConnHandlers,
  Done,
  Listener,
  Net,
  Rng,
  Timer,
} from '@flotilla/io';
import type { TransportWorld } from '../src/api.ts';

interface Entry {
  readonly dueMs: number;
  callback: (() => void) | null;
}

export class VirtualClock implements Clock {
  #nowMs = 1000;
  /** By due time, and in the order of their making where that is equal. */
  readonly #entries: Entry[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  at(dueMs: number, callback: () => void): Timer {
    const entry: Entry = { dueMs: Math.max(dueMs, this.#nowMs), callback };
    let place = this.#entries.length;
    while (place > 0 && (this.#entries[place - 1] as Entry).dueMs > entry.dueMs) place -= 1;
    this.#entries.splice(place, 0, entry);
    return {
      cancel: () => {
        entry.callback = null;
      },
    };
  }

  nextTurn(callback: () => void): void {
    this.at(this.#nowMs, callback);
  }

  /** Timers and turns that have not been cancelled or run. */
  get armed(): number {
    return this.#entries.filter((entry) => entry.callback !== null).length;
  }

  /** Runs everything due within the next `ms`. */
  run(ms = 0): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const next = this.#entries[0];
      if (next === undefined || next.dueMs > endMs) break;
      this.#entries.shift();
      if (next.callback === null) continue;
      this.#nowMs = next.dueMs;
      next.callback();
    }
    this.#nowMs = endMs;
  }
}

/** Cuts `bytes` into the pieces that a receiver sees. */
export type Split = (bytes: Uint8Array) => Uint8Array[];
const whole: Split = (bytes) => [bytes];
export const byteByByte: Split = (bytes) => Array.from(bytes, (_, i) => bytes.slice(i, i + 1));

export class MemoryConn implements Conn {
  readonly remote: string;
  handlers: ConnHandlers;
  other: MemoryConn | null = null;
  pendingBytes = 0;
  /** While set, nothing that is written here leaves. */
  isStuck = false;
  isClosed = false;
  readonly #net: MemoryNet;
  #isOverMark = false;
  #queue: { bytes: Uint8Array; written: Done | undefined }[] = [];
  #isEnding = false;

  constructor(net: MemoryNet, remote: string, handlers: ConnHandlers) {
    this.#net = net;
    this.remote = remote;
    this.handlers = handlers;
  }

  write(buffers: readonly Uint8Array[], written?: Done): boolean {
    const bytes = Buffer.concat(buffers);
    this.pendingBytes += bytes.length;
    this.#queue.push({ bytes, written });
    if (this.pendingBytes >= this.#net.markBytes) this.#isOverMark = true;
    this.#net.clock.nextTurn(() => this.flush());
    return !this.#isOverMark;
  }

  flush(): void {
    if (this.isStuck) return;
    const queue = this.#queue;
    this.#queue = [];
    for (const { bytes, written } of queue) {
      this.pendingBytes -= bytes.length;
      const isLost = this.isClosed || this.other === null;
      written?.(isLost ? new Error('the connection is closed') : null);
      if (isLost) continue;
      for (const piece of this.#net.split(bytes)) {
        this.#net.clock.nextTurn(() => {
          if (this.other?.isClosed === false) this.other.handlers.onData(piece);
        });
      }
    }
    if (this.#isOverMark && !this.isClosed && this.pendingBytes === 0) {
      this.#isOverMark = false;
      this.#net.clock.nextTurn(() => this.isClosed || this.handlers.onDrain());
    }
    if (this.#isEnding) this.destroy();
  }

  pauseReading(): void {}
  resumeReading(): void {}

  end(): void {
    this.#isEnding = true;
    this.#net.clock.nextTurn(() => this.flush());
  }

  destroy(): void {
    if (this.isClosed) return;
    const { clock } = this.#net;
    clock.nextTurn(() => {
      this.close();
      // After what is in flight: a close is not seen before the bytes that left in front of it.
      clock.nextTurn(() => this.other?.close());
    });
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.isStuck = false;
    this.flush();
    this.handlers.onClose(null);
  }
}

export class MemoryNet implements Net {
  readonly clock: VirtualClock;
  split: Split = whole;
  markBytes = 2 ** 20;
  /** Every connection ever made: the dialling end, the accepting end. */
  readonly pairs: { dialled: MemoryConn; accepted: MemoryConn }[] = [];
  dials = 0;
  readonly #listeners: Map<string, (conn: Conn) => ConnHandlers | null> = new Map();

  constructor(clock: VirtualClock) {
    this.clock = clock;
  }

  listen(
    address: string,
    accept: (conn: Conn) => ConnHandlers | null,
    callback: Callback<Listener>,
  ): void {
    this.#listeners.set(address, accept);
    const close = (done: () => void): void => {
      if (this.#listeners.get(address) === accept) this.#listeners.delete(address);
      this.clock.nextTurn(done);
    };
    this.clock.nextTurn(() => callback(null, { address, close }));
  }

  dial(address: string, handlers: ConnHandlers): MemoryConn {
    this.dials += 1;
    const silent: ConnHandlers = { onData() {}, onDrain() {}, onClose() {} };
    const dialled = new MemoryConn(this, address, handlers);
    const accepted = new MemoryConn(this, `127.0.0.1:${40_000 + this.dials}`, silent);
    this.clock.nextTurn(() => {
      if (dialled.isClosed) return;
      const accept = this.#listeners.get(address);
      const answer = accept === undefined ? null : accept(accepted);
      if (answer === null) {
        dialled.close();
        return;
      }
      accepted.handlers = answer;
      accepted.other = dialled;
      dialled.other = accepted;
      this.pairs.push({ dialled, accepted });
      handlers.onOpen?.();
    });
    return dialled;
  }
}

/** A generator that is good enough to make tests reproducible. */
export class CountingRng implements Rng {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  u32(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#state;
  }

  fork(label: string): Rng {
    return new CountingRng(this.u32() + label.length);
  }
}

export class MemoryWorld implements TransportWorld {
  readonly clock: VirtualClock = new VirtualClock();
  readonly net: MemoryNet = new MemoryNet(this.clock);
  readonly rng: Rng = new CountingRng(1);
}
