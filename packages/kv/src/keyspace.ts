// The keys and values of one data group, in memory. Keys are latin-1 strings of the key's bytes (one character a byte, so
// any bytes are a key), grouped by hash slot: counting and scanning a slot cost what the slot holds.
//
// Invariants:
// 1. `hash` is a function of the set of (key, value, expiry) alone, not of the order in which they came about; it is kept
//    up to date at a cost of the change, not of the state.
// 2. An entry's value bytes never change once they can be seen: replies in flight may hold them.

import { crc32 } from '@flotilla/codec';
import { assert } from '@flotilla/io';
import { keySlot } from '@flotilla/sharding';
import { copyOf } from './bytes.ts';

/** Longest value. Part of what the log means: the same on every host. */
export const valueBytesMax: number = 16 * 1024 * 1024;

export class Entry {
  value: Uint8Array;
  /** 0 = never. */
  expireAtMs: number;
  /** CRC-32 of key and value, and the key's length: what the entry adds to the state's hash is made of these. */
  crc: number;
  readonly keyBytes: number;

  constructor(value: Uint8Array, expireAtMs: number, crc: number, keyBytes: number) {
    this.value = value;
    this.expireAtMs = expireAtMs;
    this.crc = crc;
    this.keyBytes = keyBytes;
  }
}

export class Keyspace {
  readonly #slots: Map<number, Map<string, Entry>> = new Map();
  /** Keys with an expiry, and their slots. */
  readonly #expiring: Map<string, number> = new Map();
  #sweep: IterableIterator<[string, number]> | null = null;
  #size = 0;
  #hash = 0;

  get size(): number {
    return this.#size;
  }

  get expiringCount(): number {
    return this.#expiring.size;
  }

  /** Hash of the whole content; 0 when empty. */
  get hash(): number {
    return this.#hash >>> 0;
  }

  get(slot: number, key: string): Entry | undefined {
    return this.#slots.get(slot)?.get(key);
  }

  slotSize(slot: number): number {
    return this.#slots.get(slot)?.size ?? 0;
  }

  /** Keys and entries of a slot, expired ones among them. */
  slotEntries(slot: number): Iterable<[string, Entry]> {
    return this.#slots.get(slot) ?? [];
  }

  /** Stores a copy of `bytes[valueStart, valueEnd)` under the key whose bytes are `bytes[keyStart, keyEnd)`. */
  put(
    slot: number,
    key: string,
    bytes: Uint8Array,
    at: { keyStart: number; keyEnd: number; valueStart: number; valueEnd: number },
    expireAtMs: number,
  ): void {
    const keyCrc = crc32(bytes, at.keyStart, at.keyEnd);
    const value = copyOf(bytes, at.valueStart, at.valueEnd);
    this.#store(slot, key, value, crc32(bytes, at.valueStart, at.valueEnd, keyCrc), expireAtMs);
  }

  /** As put(), with a value that is the keyspace's from now on. */
  putOwned(
    slot: number,
    key: string,
    keyAt: { bytes: Uint8Array; start: number; end: number },
    value: Uint8Array,
    expireAtMs: number,
  ): void {
    const keyCrc = crc32(keyAt.bytes, keyAt.start, keyAt.end);
    this.#store(slot, key, value, crc32(value, 0, value.length, keyCrc), expireAtMs);
  }

  /** Appends to an existing value; amortised, its buffer doubles. */
  append(entry: Entry, bytes: Uint8Array, start: number, end: number): void {
    const before = entry.value;
    const length = before.length + (end - start);
    assert(length <= valueBytesMax, 'the caller checked the length');
    this.#hash = (this.#hash - shareOf(entry)) | 0;
    // Room behind the value belongs to this entry alone, and nobody looks behind their view's end.
    let room = before.buffer;
    if (before.byteOffset + length > room.byteLength) {
      room = new ArrayBuffer(Math.max(length, Math.min(valueBytesMax, length * 2)));
      new Uint8Array(room).set(before);
    }
    const value = new Uint8Array(room, 0, length);
    value.set(bytes.subarray(start, end), before.length);
    entry.value = value;
    entry.crc = crc32(bytes, start, end, entry.crc);
    this.#hash = (this.#hash + shareOf(entry)) | 0;
  }

  setExpiry(slot: number, key: string, entry: Entry, expireAtMs: number): void {
    if (entry.expireAtMs === expireAtMs) return;
    this.#hash = (this.#hash - shareOf(entry)) | 0;
    this.#noteExpiry(slot, key, entry.expireAtMs, expireAtMs);
    entry.expireAtMs = expireAtMs;
    this.#hash = (this.#hash + shareOf(entry)) | 0;
  }

  delete(slot: number, key: string): boolean {
    const table = this.#slots.get(slot);
    const entry = table?.get(key);
    if (table === undefined || entry === undefined) return false;
    table.delete(key);
    if (table.size === 0) this.#slots.delete(slot);
    if (entry.expireAtMs !== 0) this.#expiring.delete(key);
    this.#hash = (this.#hash - shareOf(entry)) | 0;
    this.#size--;
    return true;
  }

  /**
   * Looks at the next `looksMax` keys that have an expiry, in turn over many calls, and answers at most `keysMax` of them
   * that are due at `nowMs`.
   */
  dueKeys(nowMs: number, looksMax: number, keysMax: number): string[] {
    const due: string[] = [];
    for (let looks = 0; looks < looksMax && due.length < keysMax; looks++) {
      this.#sweep ??= this.#expiring.entries();
      const step = this.#sweep.next();
      if (step.done === true) {
        this.#sweep = null;
        break;
      }
      const [key, slot] = step.value;
      const entry = this.get(slot, key);
      if (entry !== undefined && isExpired(entry, nowMs)) due.push(key);
    }
    return due;
  }

  #store(slot: number, key: string, value: Uint8Array, crc: number, expireAtMs: number): void {
    let table = this.#slots.get(slot);
    if (table === undefined) {
      table = new Map();
      this.#slots.set(slot, table);
    }
    let entry = table.get(key);
    if (entry === undefined) {
      entry = new Entry(value, expireAtMs, crc, key.length);
      table.set(key, entry);
      this.#size++;
      this.#noteExpiry(slot, key, 0, expireAtMs);
    } else {
      this.#hash = (this.#hash - shareOf(entry)) | 0;
      this.#noteExpiry(slot, key, entry.expireAtMs, expireAtMs);
      entry.value = value;
      entry.expireAtMs = expireAtMs;
      entry.crc = crc;
    }
    this.#hash = (this.#hash + shareOf(entry)) | 0;
  }

  #noteExpiry(slot: number, key: string, beforeMs: number, afterMs: number): void {
    if (afterMs !== 0) {
      if (beforeMs === 0) this.#expiring.set(key, slot);
    } else if (beforeMs !== 0) {
      this.#expiring.delete(key);
    }
  }
}

export function isExpired(entry: Entry, nowMs: number): boolean {
  return entry.expireAtMs !== 0 && entry.expireAtMs <= nowMs;
}

/** Slot of a key given as latin-1 text. */
export function slotOfKey(key: string): number {
  const bytes = Buffer.from(key, 'latin1');
  return keySlot(bytes, 0, bytes.length);
}

/**
 * What an entry adds to the sum over all entries. A CRC is linear, and a sum of linear things hides differences that
 * cancel out, so it is stirred together with the lengths and the expiry.
 */
function shareOf(entry: Entry): number {
  let h = entry.crc ^ Math.imul(entry.keyBytes + 1, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h ^= Math.imul(entry.value.length + 1, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 13), 0x27d4eb2f);
  h ^= (entry.expireAtMs % 4_294_967_296) | 0;
  h = Math.imul(h ^ (h >>> 15), 0x165667b1);
  h ^= Math.floor(entry.expireAtMs / 4_294_967_296);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return h ^ (h >>> 13);
}
