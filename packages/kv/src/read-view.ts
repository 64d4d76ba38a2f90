// The keyspace as one read sees it at one moment: expired keys are absent, and noted so that the caller can have them
// removed for good before the answer leaves.

import type { ReadView } from './command-spec.ts';
import { type Entry, isExpired, type Keyspace } from './keyspace.ts';

const purgeBytesMax = 65_536;

export class LocalReadView implements ReadView {
  readonly nowMs: number;
  readonly #keyspace: Keyspace;
  readonly #slot: number;
  #expired: string[] | null = null;
  #expiredBytes = 0;

  constructor(keyspace: Keyspace, slot: number, nowMs: number) {
    this.nowMs = nowMs;
    this.#keyspace = keyspace;
    this.#slot = slot;
  }

  /** Expired keys that were met. */
  get expired(): readonly string[] {
    return this.#expired ?? [];
  }

  find(key: string): Entry | undefined {
    const entry = this.#keyspace.get(this.#slot, key);
    if (entry === undefined || !isExpired(entry, this.nowMs)) return entry;
    this.#note(key);
    return undefined;
  }

  *keysOf(slot: number): Iterable<string> {
    for (const [key, entry] of this.#keyspace.slotEntries(slot)) {
      if (isExpired(entry, this.nowMs)) this.#note(key);
      else yield key;
    }
  }

  #note(key: string): void {
    // One entry of the log removes them; what is left over is met again by the next look.
    if (this.#expiredBytes > purgeBytesMax) return;
    this.#expired ??= [];
    this.#expired.push(key);
    this.#expiredBytes += key.length + 4;
  }
}
