// The I/O thread: writes what the event loop submits, one request after the other, with calls that block. It looks for
// the next request for a while before it sleeps, since waking a thread takes as long as a fast disk's write.

import * as fs from 'node:fs';
import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { alignedMemory } from './aligned-memory.ts';
import { fields, IoRing, type IoThreadNote, words } from './io-thread-ring.ts';

export interface IoThreadStart {
  readonly ring: SharedArrayBuffer;
  /** Notes come here, and an empty message goes back for each completion that a sleeping event loop waits for. */
  readonly port: MessagePort;
  readonly spinMs: number;
}

const looksBetweenClocks = 200;
const unknownErrno = -5;

const { ring: shared, port, spinMs } = workerData as IoThreadStart;
const ring = new IoRing(shared);
/** With a weight each, as on the other side (io-thread.ts): the collector of garbage is this thread's own. */
const memories = new Map<number, { bytes: Uint8Array; weight: Uint8Array | null }>();
let completed = 0;

for (;;) {
  const isAsked = hasRequest();
  if (Atomics.load(ring.words, words.isEnding) === 1) break;
  if (!isAsked) {
    takeNotes();
    sleep();
    continue;
  }
  ring.set(completed, fields.result, write(completed));
  completed = (completed + 1) | 0;
  Atomics.store(ring.words, words.completed, completed);
  if (Atomics.load(ring.words, words.loopSleeps) === 1) port.postMessage(null);
}
port.close();

/** Whether there is one, now or within the time that is worth looking for it. */
function hasRequest(): boolean {
  let untilMs = 0;
  for (;;) {
    for (let i = 0; i < looksBetweenClocks; i++) {
      if (Atomics.load(ring.words, words.submitted) !== completed) return true;
    }
    const nowMs = performance.now();
    if (untilMs === 0) untilMs = nowMs + spinMs;
    else if (nowMs >= untilMs) return false;
  }
}

function sleep(): void {
  Atomics.store(ring.words, words.threadSleeps, 1);
  Atomics.wait(ring.words, words.submitted, completed);
  Atomics.store(ring.words, words.threadSleeps, 0);
}

function write(request: number): number {
  const views: Uint8Array[] = [];
  const count = ring.get(request, fields.rangeCount);
  for (let i = 0; i < count; i++) {
    const { memory, offset, length } = ring.range(request, i);
    views.push(memoryOf(memory).subarray(offset, offset + length));
  }
  const fd = ring.get(request, fields.fd);
  const offset = ring.get(request, fields.offset);
  const [only] = views;
  try {
    if (views.length === 1 && only !== undefined)
      return fs.writeSync(fd, only, 0, only.length, offset);
    return fs.writevSync(fd, views, offset);
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno ?? unknownErrno;
  }
}

function memoryOf(id: number): Uint8Array {
  if (!memories.has(id)) takeNotes();
  const memory = memories.get(id);
  if (memory === undefined) throw new Error(`a request names memory ${id}, which is not known`);
  return memory.bytes;
}

function takeNotes(): void {
  for (;;) {
    const received = receiveMessageOnPort(port) as { message: IoThreadNote } | undefined;
    if (received === undefined) return;
    const { id, memory } = received.message;
    if (memory === null) memories.delete(id);
    else
      memories.set(id, {
        bytes: new Uint8Array(memory),
        weight: alignedMemory(memory.byteLength)?.bytes ?? null,
      });
  }
}
