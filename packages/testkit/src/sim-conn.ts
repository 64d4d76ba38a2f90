// One end of a simulated connection. It behaves as a Node.js socket does that does not allow half-open streams: after
// the other side's end it flushes and closes. A bounded window stands for the buffers of the two systems; what does
// not fit waits here, and write() answers false over a mark. Each buffer is compared, when the system takes it, with
// what it was when it was written: one that changed meanwhile ends the run.

import { crc32 } from '@flotilla/codec';
import {
  AssertionFailure,
  type Conn,
  type ConnHandlers,
  type Done,
  type IoError,
} from '@flotilla/io';
import { assertUnchanged, concatenate } from './byte-runs.ts';
import { ioError } from './disk-tree.ts';
import type { SimEvent, SimKernel, SimOwner } from './sim-kernel.ts';
import type { Packet, Pipe, SimMachine } from './sim-link.ts';
import type { SimRng } from './sim-rng.ts';

export interface ConnWorld {
  readonly kernel: SimKernel;
  readonly owner: SimOwner;
  readonly rng: SimRng;
  /** `frame`: every write arrives whole, alone. `byte`: as a stream does, split and merged anywhere. */
  readonly mode: 'frame' | 'byte';
  readonly windowBytes: number;
  readonly sendMarkBytes: number;
  /** Overwrites a chunk once the event that delivered it is over: finds those who keep what they should copy. */
  readonly poisonReceived: boolean;
  /** Called once, when this end is closed. */
  forget(conn: SimConn): void;
}

interface QueuedWrite {
  readonly bytes: Uint8Array;
  readonly sources: readonly Uint8Array[];
  readonly written: Done | undefined;
  at: number;
}

const silent: ConnHandlers = { onData() {}, onDrain() {}, onClose() {} };

export class SimConn implements Conn {
  readonly remote: string;
  readonly machine: SimMachine;
  readonly owner: SimOwner;
  /** The other end, once it exists. */
  peer: SimConn | null = null;
  #world: ConnWorld;
  #out: Pipe | null = null;
  #handlers: ConnHandlers = silent;
  #state: 'connecting' | 'open' | 'closed' = 'connecting';
  /** The process has been told that the connection stands. */
  #isAttached = false;
  readonly #queue: QueuedWrite[] = [];
  #queuedBytes = 0;
  #unacknowledgedBytes = 0;
  #isOverMark = false;
  #endAsked = false;
  #finSent = false;
  #finReceived = false;
  /** Arrived and not yet read; null is the other side's end. */
  readonly #received: (Uint8Array | null)[] = [];
  #receivedBytes = 0;
  #uncreditedBytes = 0;
  #readingPaused = false;
  #readScheduled = false;
  #callbacks: Done[] = [];
  #drainDue = false;
  #sentScheduled = false;

  constructor(world: ConnWorld, machine: SimMachine, owner: SimOwner, remote: string) {
    this.#world = world;
    this.machine = machine;
    this.owner = owner;
    this.remote = remote;
  }

  // --- what the process calls -----------------------------------------------------------------------------------

  get pendingBytes(): number {
    return this.#queuedBytes;
  }

  write(buffers: readonly Uint8Array[], written?: Done): boolean {
    if (!this.owner.alive) return true;
    if (this.#endAsked && !this.#finReceived) throw new AssertionFailure('write() after end()');
    if (this.#state === 'closed' || this.#endAsked) {
      if (written !== undefined) {
        this.#later('write failed', () => written(ioError('EPIPE', `write to ${this.remote}`)));
      }
      return true;
    }
    const bytes = concatenate(buffers);
    this.#queue.push({ bytes, sources: buffers.slice(), written, at: 0 });
    this.#queuedBytes += bytes.length;
    this.#pump();
    if (this.#queuedBytes < this.#world.sendMarkBytes) return true;
    this.#isOverMark = true;
    return false;
  }

  pauseReading(): void {
    this.#readingPaused = true;
  }

  resumeReading(): void {
    this.#readingPaused = false;
    this.#readLater();
  }

  end(): void {
    if (this.#state === 'closed' || this.#endAsked) return;
    this.#endAsked = true;
    this.#pump();
  }

  destroy(): void {
    if (this.#state === 'closed' || !this.owner.alive) return;
    this.hangUp();
    this.#close(null);
  }

  // --- what the network calls -----------------------------------------------------------------------------------

  /** Ends a dial that takes too long; cancelled as soon as it has another end. */
  dialTimeout: SimEvent | null = null;

  connect(out: Pipe): void {
    this.#out = out;
  }

  setHandlers(handlers: ConnHandlers): void {
    this.#handlers = handlers;
  }

  /** The connection stands for the system; the process learns of it by attach(). */
  stand(): void {
    this.#state = 'open';
  }

  /** The process knows the connection and is told of everything from now on. */
  attach(): void {
    if (this.#state === 'closed') return;
    this.#isAttached = true;
    this.#pump();
    this.#readLater();
  }

  /** Tells the other side that this end is gone, as a system does when a process closes or dies. */
  hangUp(): void {
    if (this.#state !== 'open' || this.#out === null) return;
    if (this.#receivedBytes > 0) this.#out.send({ kind: 'reset' });
    else if (!this.#finSent) this.#out.send({ kind: 'fin' });
    this.#finSent = true;
  }

  /** Breaks this end with an error; the other end is not told. */
  fail(code: string): void {
    if (this.#state !== 'closed') this.#close(ioError(code, `connection with ${this.remote}`));
  }

  /** The process is dead: this end vanishes without a word to it. */
  vanish(): void {
    this.#state = 'closed';
    this.dialTimeout?.cancel();
    this.#handlers = silent;
    this.#world.forget(this);
  }

  arrive(packet: Packet): void {
    if (this.#state === 'closed') {
      // Whoever writes to a connection that is gone learns it now.
      const { kind } = packet;
      const isUnexpected =
        kind === 'data' || kind === 'synack' || (kind === 'fin' && !this.#finSent);
      if (isUnexpected) this.#out?.send({ kind: 'reset' });
      return;
    }
    switch (packet.kind) {
      case 'synack':
        this.#state = 'open';
        this.dialTimeout?.cancel();
        return this.#later('open', () => this.#opened());
      case 'data':
        return this.#receive(packet.bytes);
      case 'credit':
        this.#unacknowledgedBytes -= packet.bytes;
        return this.#pump();
      case 'fin':
        this.#received.push(null);
        return this.#readLater();
      default:
        return this.fail(this.#state === 'connecting' ? 'ECONNREFUSED' : 'ECONNRESET');
    }
  }

  #opened(): void {
    if (this.#state !== 'open') return;
    this.#handlers.onOpen?.();
    this.attach();
  }

  // --- sending --------------------------------------------------------------------------------------------------

  #pump(): void {
    if (this.#state !== 'open' || !this.#isAttached) return;
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      if (!this.#takeSome(first)) break;
    }
    if (this.#hasEnded) return;
    if (this.#queue.length > 0) return this.peer?.creditAll();
    if (this.#isOverMark) {
      this.#isOverMark = false;
      this.#drainDue = true;
      this.#sentLater();
    }
    if (this.#endAsked && !this.#finSent) {
      this.#finSent = true;
      this.#out?.send({ kind: 'fin' });
    }
    if (this.#finSent && this.#finReceived) this.#close(null);
  }

  /** Asked after calls that may have closed this end. */
  get #hasEnded(): boolean {
    return this.#state === 'closed';
  }

  /** Hands as much of a write to the system as it takes; false where the rest must wait. */
  #takeSome(write: QueuedWrite): boolean {
    const { mode, windowBytes, rng } = this.#world;
    const room = windowBytes - this.#unacknowledgedBytes;
    const left = write.bytes.length - write.at;
    let count = left;
    if (mode === 'byte') {
      if (room <= 0 && left > 0) return false;
      count = Math.min(left, room);
      if (count > 1 && rng.chance(0.5)) count = rng.between(1, count);
    } else if (left > room && this.#unacknowledgedBytes > 0) {
      return false;
    }
    assertUnchanged(
      write.sources,
      write.bytes,
      `a buffer on its way to ${this.remote} changed before it was written`,
    );
    this.#sendData(mode === 'frame' ? write.bytes : write.bytes.slice(write.at, write.at + count));
    if (this.#hasEnded) return false; // it broke on the way, and this write was answered with the others
    write.at += count;
    this.#queuedBytes -= count;
    if (write.at < write.bytes.length) return true;
    this.#queue.shift();
    if (write.written !== undefined) {
      this.#callbacks.push(write.written);
      this.#sentLater();
    }
    return true;
  }

  #sendData(bytes: Uint8Array): void {
    const out = this.#out;
    if (out === null || bytes.length === 0) return;
    this.#unacknowledgedBytes += bytes.length;
    const { resetChance } = out.link.options;
    if (resetChance > 0 && out.link.rng.chance(resetChance)) {
      // The connection breaks on the way, perhaps in the middle of these bytes.
      const part = this.#world.mode === 'byte' ? out.link.rng.below(bytes.length) : 0;
      if (part > 0) out.send({ kind: 'data', bytes: bytes.slice(0, part) });
      out.send({ kind: 'reset' });
      return this.fail('ECONNRESET');
    }
    out.send({ kind: 'data', bytes });
  }

  #sentLater(): void {
    if (this.#sentScheduled) return;
    this.#sentScheduled = true;
    this.#later('written', () => {
      this.#sentScheduled = false;
      for (const written of this.#callbacks.splice(0)) written(null);
      if (!this.#drainDue || this.#state !== 'open') return;
      this.#drainDue = false;
      this.#handlers.onDrain();
    });
  }

  // --- receiving ------------------------------------------------------------------------------------------------

  #receive(bytes: Uint8Array): void {
    this.#received.push(bytes);
    this.#receivedBytes += bytes.length;
    if (this.#world.mode === 'frame' && !this.owner.paused && !this.#readScheduled) {
      return this.#readAll();
    }
    this.#readLater();
  }

  #readLater(): void {
    if (this.#readScheduled || this.#received.length === 0) return;
    this.#readScheduled = true;
    this.#later('read', () => {
      this.#readScheduled = false;
      if (this.#world.mode === 'frame') return this.#readAll();
      this.#readSome();
      if (this.#canRead) this.#readLater();
    });
  }

  get #canRead(): boolean {
    return this.#isAttached && !this.#readingPaused && this.#state === 'open' && this.owner.alive;
  }

  #readAll(): void {
    while (this.#canRead && this.#received.length > 0) {
      const chunk = this.#received.shift() as Uint8Array | null;
      if (chunk === null) this.#ended();
      else this.#deliver(chunk);
    }
  }

  /** Any number of the bytes that are there, at least one, in memory of their own. */
  #readSome(): void {
    if (!this.#canRead || this.#received.length === 0) return;
    if (this.#received[0] === null) {
      this.#received.shift();
      return this.#ended();
    }
    const rng = this.#world.rng;
    const wanted = rng.chance(0.5) ? this.#receivedBytes : rng.logBetween(1, this.#receivedBytes);
    const chunk = new Uint8Array(wanted);
    let at = 0;
    while (at < wanted) {
      const first = this.#received[0] as Uint8Array;
      const count = Math.min(first.length, wanted - at);
      chunk.set(first.subarray(0, count), at);
      at += count;
      if (count === first.length) this.#received.shift();
      else this.#received[0] = first.subarray(count);
    }
    this.#deliver(chunk);
  }

  #deliver(chunk: Uint8Array): void {
    const { kernel, owner, poisonReceived, windowBytes } = this.#world;
    this.#receivedBytes -= chunk.length;
    this.#uncreditedBytes += chunk.length;
    if (this.#uncreditedBytes >= windowBytes / 4 || this.peer?.isStarved === true) this.creditAll();
    kernel.fold(crc32(chunk, 0, chunk.length));
    this.#handlers.onData(chunk);
    if (poisonReceived) kernel.schedule(0, owner, 'poison', () => chunk.fill(0xdb));
  }

  #ended(): void {
    this.#finReceived = true;
    this.#endAsked = true;
    this.#pump();
  }

  /** Writes wait for room in the window. */
  get isStarved(): boolean {
    return this.#queue.length > 0;
  }

  /** Gives the sender back the room of what was read; it asks for it when it is short. */
  creditAll(): void {
    if (this.#uncreditedBytes === 0 || this.#out === null || this.#state === 'closed') return;
    this.#out.send({ kind: 'credit', bytes: this.#uncreditedBytes });
    this.#uncreditedBytes = 0;
  }

  // --- the end --------------------------------------------------------------------------------------------------

  #close(error: IoError | null): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.dialTimeout?.cancel();
    this.#world.forget(this);
    const handlers = this.#handlers;
    const sent = this.#callbacks.splice(0);
    const unsent = this.#queue.splice(0);
    this.#handlers = silent;
    this.#queuedBytes = 0;
    this.#later('close', () => {
      for (const written of sent) written(null);
      for (const write of unsent)
        write.written?.(error ?? ioError('ECANCELED', `write to ${this.remote}`));
      handlers.onClose(error);
    });
  }

  #later(label: string, run: () => void): void {
    this.#world.kernel.schedule(0, this.owner, label, run);
  }
}
