// The simplest log that commits groups: what arrives while a write is under way leaves with the next one. The file is
// written once in full beforehand, so that a sync never has to store a new size, and is used as a ring: nothing is read
// back.

import * as fs from 'node:fs';

const fileBytes = 256 * 2 ** 20;

export class CeilingLog {
  readonly #fd: number;
  readonly #sync: boolean;
  #at = 0;
  #busy = false;
  #queue: Uint8Array[] = [];
  #waiting: (() => void)[] = [];
  /** Writes made durable so far. */
  flushes = 0;

  constructor(path: string, sync: boolean) {
    this.#fd = fs.openSync(path, 'wx');
    this.#sync = sync;
    const zeros = new Uint8Array(4 * 2 ** 20);
    for (let at = 0; at < fileBytes; at += zeros.length) fs.writeSync(this.#fd, zeros);
    fs.fsyncSync(this.#fd);
  }

  /** `done` is called when the bytes are durable; they must not change until then. */
  append(bytes: Uint8Array, done: () => void): void {
    this.#queue.push(bytes);
    this.#waiting.push(done);
    if (!this.#busy) this.#flush();
  }

  #flush(): void {
    const queue = this.#queue;
    const waiting = this.#waiting;
    this.#queue = [];
    this.#waiting = [];
    this.#busy = true;
    let bytes = 0;
    for (const part of queue) bytes += part.length;
    if (this.#at + bytes > fileBytes) this.#at = 0;
    const at = this.#at;
    this.#at += bytes;
    fs.writev(this.#fd, queue, at, (error) => {
      if (error !== null) throw error;
      if (this.#sync) fs.fdatasync(this.#fd, (syncError) => this.#durable(syncError, waiting));
      else this.#durable(null, waiting);
    });
  }

  #durable(error: Error | null, waiting: readonly (() => void)[]): void {
    if (error !== null) throw error;
    this.#busy = false;
    this.flushes++;
    for (const done of waiting) done();
    if (!this.#busy && this.#queue.length > 0) this.#flush();
  }
}
