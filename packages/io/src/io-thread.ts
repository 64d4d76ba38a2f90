// A thread that writes for the event loop, and the event loop's side of it.
//
// Node's own way to another thread and back costs two wake-ups, which on a fast disk take as long as a third of the
// write. Here both sides look for each other before they sleep: the thread for the next request, for `spinMs`; the event
// loop for the completion, with setImmediate, for `pollMs`, so that sockets and timers go on meanwhile. That is worth its
// price where there is a processor for the thread and one for the event loop, and nothing else.
//
// Requests are completed in order. Callbacks are called once each, never from inside write(), whatever another one threw.
// What is written is held until it is answered. If the thread ends before it was told to, what is in flight fails with
// EIO, and so does everything later: nobody knows what was written.

import { getSystemErrorName } from 'node:util';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { alignedMemory } from './aligned-memory.ts';
import type { IoThreadStart } from './io-thread-entry.ts';
import {
  fields,
  IoRing,
  type IoThreadNote,
  rangesMax,
  ringSlots,
  words,
} from './io-thread-ring.ts';
import type { AlignedMemory, Callback, IoError } from './world.ts';

/** The thread is compiled: sources are run through a loader only in tests. */
const ownEntry: URL = new URL(
  import.meta.url.endsWith('.ts') ? '../dist/io-thread-entry.js' : './io-thread-entry.js',
  import.meta.url,
);
/** The thread's heap holds a few views at a time. */
const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 32, stackSizeMb: 1 };

export interface IoThreadOptions {
  /** How long the thread looks for the next request before it sleeps. */
  readonly spinMs?: number;
  /** How long the event loop looks for a completion before it waits to be told. */
  readonly pollMs?: number;
  /** Another module for the thread, a URL. */
  readonly entry?: URL;
}

interface ThreadMemory {
  readonly id: number;
  /**
   * As much memory, never touched. To the collector of garbage shared memory weighs nothing, so that what nobody uses any
   * more would pile up until something else makes it run; this is what it sees instead.
   */
  readonly weight: Uint8Array | null;
}

export class IoThread {
  readonly #pollMs: number;
  readonly #ring: IoRing = new IoRing();
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #known: WeakMap<ArrayBufferLike, ThreadMemory> = new WeakMap();
  readonly #dropped: FinalizationRegistry<number>;
  #memories = 0;
  /** In the order of their requests. */
  readonly #callbacks: Callback<number>[] = [];
  /** Theirs: memory that a request names must not be taken for dropped. */
  readonly #buffers: (readonly Uint8Array[])[] = [];
  #submitted = 0;
  #completed = 0;
  #isPolling = false;
  #progressMs = 0;
  #ended: IoError | null = null;

  constructor({ spinMs = 0.1, pollMs = 1, entry = ownEntry }: IoThreadOptions = {}) {
    const { port1, port2 } = new MessageChannel();
    this.#pollMs = pollMs;
    this.#port = port1;
    const start: IoThreadStart = { ring: this.#ring.shared, port: port2, spinMs };
    this.#worker = new Worker(entry, {
      workerData: start,
      transferList: [port2],
      execArgv: [],
      resourceLimits,
    });
    this.#worker.on('error', (error) => this.#onEnd(error.message));
    this.#worker.on('exit', (code) => this.#onEnd(`it ended with code ${code}`));
    this.#port.on('message', () => this.#wake());
    this.#worker.unref();
    this.#port.unref();
    this.#dropped = new FinalizationRegistry((id) => this.#note({ id, memory: null }));
  }

  /** Zeroed memory that begins at a page and that the thread can write from; null where there is none to be had. */
  memory(bytes: number): AlignedMemory | null {
    const memory = alignedMemory(bytes, true);
    if (memory === null) return null;
    const { buffer } = memory.bytes;
    const id = this.#memories++;
    this.#known.set(buffer, { id, weight: alignedMemory(bytes)?.bytes ?? null });
    this.#dropped.register(buffer, id);
    this.#note({ id, memory: buffer as SharedArrayBuffer });
    return memory;
  }

  /** Writes the buffers back to back at `offset`, or answers false: they are not its memory, or too many. */
  write(
    fd: number,
    buffers: readonly Uint8Array[],
    offset: number,
    callback: Callback<number>,
  ): boolean {
    if (buffers.length > rangesMax || this.#callbacks.length === ringSlots) return false;
    if (this.#ended !== null) {
      setImmediate(callback, this.#ended, 0);
      return true;
    }
    const request = this.#submitted;
    for (let i = 0; i < buffers.length; i++) {
      const { buffer, byteOffset, length } = buffers[i] as Uint8Array;
      const known = this.#known.get(buffer);
      if (known === undefined) return false;
      this.#ring.setRange(request, i, known.id, byteOffset, length);
    }
    this.#ring.set(request, fields.fd, fd);
    this.#ring.set(request, fields.offset, offset);
    this.#ring.set(request, fields.rangeCount, buffers.length);
    this.#callbacks.push(callback);
    this.#buffers.push(buffers);
    this.#submitted = (request + 1) | 0;
    Atomics.store(this.#ring.words, words.submitted, this.#submitted);
    if (Atomics.load(this.#ring.words, words.threadSleeps) === 1) {
      Atomics.notify(this.#ring.words, words.submitted);
    }
    this.#poll();
    return true;
  }

  /** Ends the thread; nothing may be in flight. */
  end(): void {
    this.#ended = threadEnded('it was told to end');
    Atomics.store(this.#ring.words, words.isEnding, 1);
    // It sleeps on this word.
    Atomics.add(this.#ring.words, words.submitted, 1);
    Atomics.notify(this.#ring.words, words.submitted);
    this.#port.close();
  }

  #note(note: IoThreadNote): void {
    if (this.#ended === null) this.#port.postMessage(note);
  }

  #poll(): void {
    if (this.#isPolling) return;
    this.#isPolling = true;
    this.#progressMs = performance.now();
    setImmediate(this.#look);
  }

  readonly #look = (): void => {
    this.#isPolling = false;
    try {
      this.#answer();
    } finally {
      this.#lookOn();
    }
  };

  /** Looks again, or sleeps, where something is in flight. */
  #lookOn(): void {
    if (this.#callbacks.length === 0 || this.#isPolling) return;
    if (performance.now() - this.#progressMs < this.#pollMs) {
      this.#isPolling = true;
      setImmediate(this.#look);
      return;
    }
    // It keeps the process alive, rather than the port does: a thread that ends closes the port before it is said to end.
    this.#worker.ref();
    Atomics.store(this.#ring.words, words.loopSleeps, 1);
    // What was completed before the thread could know of it.
    if (Atomics.load(this.#ring.words, words.completed) !== this.#completed) this.#wake();
  }

  #wake(): void {
    this.#worker.unref();
    Atomics.store(this.#ring.words, words.loopSleeps, 0);
    if (this.#callbacks.length > 0) this.#poll();
  }

  /** Calls back what is complete. */
  #answer(): void {
    const until = Atomics.load(this.#ring.words, words.completed);
    while (this.#completed !== until) {
      const result = this.#takeResult();
      this.#progressMs = performance.now();
      this.#takeCallback()(errorOf(result), Math.max(result, 0));
    }
  }

  #takeResult(): number {
    const result = this.#ring.get(this.#completed, fields.result);
    this.#completed = (this.#completed + 1) | 0;
    return result;
  }

  #takeCallback(): Callback<number> {
    this.#buffers.shift();
    return this.#callbacks.shift() as Callback<number>;
  }

  /** What was done is answered, the rest fails; each in a turn of its own, as one may throw. */
  #onEnd(why: string): void {
    this.#ended ??= threadEnded(why);
    const until = Atomics.load(this.#ring.words, words.completed);
    while (this.#callbacks.length > 0) {
      const isDone = this.#completed !== until;
      const result = isDone ? this.#takeResult() : 0;
      const error = isDone ? errorOf(result) : this.#ended;
      setImmediate(this.#takeCallback(), error, Math.max(result, 0));
    }
  }
}

function threadEnded(why: string): IoError {
  return Object.assign(new Error(`the I/O thread is gone: ${why}`), { code: 'EIO' });
}

function errorOf(result: number): IoError | null {
  if (result >= 0) return null;
  const code = getSystemErrorName(result);
  return Object.assign(new Error(`${code}: write by the I/O thread`), { code });
}
