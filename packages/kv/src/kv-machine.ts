// The state machine of a data group: applies the entries of entry.ts to a keyspace. It reads no clock and no randomness:
// time is the highest stamp of the entries applied so far, so that all replicas agree on what has expired.
//
// What a caller gets back: a number (an integer reply, or 0 for OK), null for nil, or bytes whose first byte says what
// follows (resultTags). An entry that is malformed changes nothing and answers an error on every replica.

import type { ApplyBatch, CommandResult, StateMachine } from '@flotilla/host';
import { crc32, putU64 } from '@flotilla/codec';
import { keySlot } from '@flotilla/sharding';
import { latin1At, latin1Bytes } from './bytes.ts';
import { EntryReader, expireFlags, operations, setFlags } from './entry.ts';
import { int64At, int64Max, int64Min, smallIntegerAt } from './integer-text.ts';
import { type Entry, isExpired, Keyspace, valueBytesMax } from './keyspace.ts';

/** First byte of a result that is bytes: a value, the text of an error, an integer's digits. */
export const resultTags = { bulk: 0x24, error: 0x2d, integer: 0x3a } as const;

export const errorTexts = {
  malformed: 'ERR malformed entry',
  notInteger: 'ERR value is not an integer or out of range',
  overflow: 'ERR increment or decrement would overflow',
  tooLong: 'ERR string exceeds maximum allowed size',
} as const;

const ok = 0;

export class KvMachine implements StateMachine {
  readonly keyspace: Keyspace = new Keyspace();
  readonly #reader: EntryReader = new EntryReader();
  #stampMs = 0;
  #applied = 0;
  /** Whether the result of the entry under way will be seen: if not, values are not copied for it. */
  #isAwaited = false;

  /** Highest stamp applied: the time of this group, as its log tells it. */
  get stampMs(): number {
    return this.#stampMs;
  }

  /** Entries applied since this replica was opened. */
  get appliedCount(): number {
    return this.#applied;
  }

  apply(batch: ApplyBatch): void {
    const reader = this.#reader;
    for (let i = 0; i < batch.count; i++) {
      this.#isAwaited = batch.isAwaited(i);
      const isSound = reader.read(batch.bytesOf(i), batch.startOf(i), batch.endOf(i));
      let result: CommandResult;
      if (isSound) {
        if (reader.stampMs > this.#stampMs) this.#stampMs = reader.stampMs;
        result = this.#applyEntry();
      } else {
        result = errorResult(errorTexts.malformed);
      }
      this.#applied++;
      if (this.#isAwaited) batch.respond(i, result);
    }
  }

  stateHash(): number {
    const bytes = new Uint8Array(24);
    putU64(bytes, 0, this.keyspace.hash);
    putU64(bytes, 8, this.keyspace.size);
    putU64(bytes, 16, this.#stampMs);
    return crc32(bytes, 0, bytes.length);
  }

  #applyEntry(): CommandResult {
    const { argc, operation } = this.#reader;
    switch (operation) {
      case operations.set:
        return argc === 2 ? this.#set() : errorResult(errorTexts.malformed);
      case operations.delete:
        return this.#delete();
      case operations.setMany:
        return argc % 2 === 0 ? this.#setMany() : errorResult(errorTexts.malformed);
      case operations.incrementBy:
        return argc === 2 ? this.#incrementBy() : errorResult(errorTexts.malformed);
      case operations.append:
        return argc === 2 ? this.#append() : errorResult(errorTexts.malformed);
      case operations.getAndDelete:
        return argc === 1 ? this.#getAndDelete() : errorResult(errorTexts.malformed);
      case operations.expireAt:
        return argc === 1 ? this.#expireAt() : errorResult(errorTexts.malformed);
      case operations.persist:
        return argc === 1 ? this.#persist() : errorResult(errorTexts.malformed);
      case operations.purge:
        return this.#purge();
      default:
        return errorResult(errorTexts.malformed);
    }
  }

  #slotOf(index: number): number {
    return keySlot(this.#reader.bytes, this.#reader.start(index), this.#reader.end(index));
  }

  #textOf(index: number): string {
    return latin1At(this.#reader.bytes, this.#reader.start(index), this.#reader.end(index));
  }

  /** The entry under a key, which is removed first where it has expired. */
  #live(slot: number, key: string): Entry | undefined {
    const entry = this.keyspace.get(slot, key);
    if (entry === undefined || !isExpired(entry, this.#stampMs)) return entry;
    this.keyspace.delete(slot, key);
    return undefined;
  }

  #put(slot: number, key: string, index: number, expireAtMs: number): void {
    const reader = this.#reader;
    const keyStart = reader.start(index);
    const keyEnd = reader.end(index);
    const valueStart = reader.start(index + 1);
    const valueEnd = reader.end(index + 1);
    const at = { keyStart, keyEnd, valueStart, valueEnd };
    this.keyspace.put(slot, key, reader.bytes, at, expireAtMs);
  }

  #putText(slot: number, key: string, text: string, expireAtMs: number): void {
    const { bytes } = this.#reader;
    const keyAt = { bytes, start: this.#reader.start(0), end: this.#reader.end(0) };
    this.keyspace.putOwned(slot, key, keyAt, latin1Bytes(text), expireAtMs);
  }

  #set(): CommandResult {
    const { flags, expireAtMs } = this.#reader;
    if (this.#reader.end(1) - this.#reader.start(1) > valueBytesMax) {
      return errorResult(errorTexts.tooLong);
    }
    const slot = this.#slotOf(0);
    const key = this.#textOf(0);
    const before = this.#live(slot, key);
    const answersOld = (flags & setFlags.answerOld) !== 0;
    const result = answersOld ? this.#valueResult(before) : ok;
    const isRefused =
      before === undefined ? (flags & setFlags.ifPresent) !== 0 : (flags & setFlags.ifAbsent) !== 0;
    if (isRefused) return answersOld ? result : null;
    const keepsTtl = (flags & setFlags.keepTtl) !== 0;
    const expires = keepsTtl ? (before?.expireAtMs ?? 0) : expireAtMs;
    if (expires !== 0 && expires <= this.#stampMs) this.keyspace.delete(slot, key);
    else this.#put(slot, key, 0, expires);
    return result;
  }

  #setMany(): CommandResult {
    for (let i = 0; i < this.#reader.argc; i += 2) {
      if (this.#reader.end(i + 1) - this.#reader.start(i + 1) > valueBytesMax) {
        return errorResult(errorTexts.tooLong);
      }
    }
    for (let i = 0; i < this.#reader.argc; i += 2) {
      this.#put(this.#slotOf(i), this.#textOf(i), i, 0);
    }
    return ok;
  }

  #delete(): CommandResult {
    let deleted = 0;
    for (let i = 0; i < this.#reader.argc; i++) {
      const slot = this.#slotOf(i);
      const key = this.#textOf(i);
      if (this.#live(slot, key) === undefined) continue;
      this.keyspace.delete(slot, key);
      deleted++;
    }
    return deleted;
  }

  #incrementBy(): CommandResult {
    const { bytes } = this.#reader;
    const slot = this.#slotOf(0);
    const key = this.#textOf(0);
    const entry = this.#live(slot, key);
    const deltaStart = this.#reader.start(1);
    const deltaEnd = this.#reader.end(1);
    const expireAtMs = entry?.expireAtMs ?? 0;
    const value = entry?.value;
    const current = value === undefined ? 0 : smallIntegerAt(value, 0, value.length);
    const sum = current + smallIntegerAt(bytes, deltaStart, deltaEnd);
    if (!Number.isNaN(sum)) {
      // Adding a zero must not leave a negative one.
      this.#putText(slot, key, String(sum + 0), expireAtMs);
      return sum + 0;
    }
    const currentBig = value === undefined ? 0n : int64At(value, 0, value.length);
    const deltaBig = int64At(bytes, deltaStart, deltaEnd);
    if (currentBig === null || deltaBig === null) return errorResult(errorTexts.notInteger);
    const sumBig = currentBig + deltaBig;
    if (sumBig < int64Min || sumBig > int64Max) return errorResult(errorTexts.overflow);
    this.#putText(slot, key, sumBig.toString(), expireAtMs);
    return taggedResult(resultTags.integer, sumBig.toString());
  }

  #append(): CommandResult {
    const { bytes } = this.#reader;
    const start = this.#reader.start(1);
    const end = this.#reader.end(1);
    const slot = this.#slotOf(0);
    const key = this.#textOf(0);
    const entry = this.#live(slot, key);
    if ((entry?.value.length ?? 0) + (end - start) > valueBytesMax) {
      return errorResult(errorTexts.tooLong);
    }
    if (entry === undefined) this.#put(slot, key, 0, 0);
    else this.keyspace.append(entry, bytes, start, end);
    return entry?.value.length ?? end - start;
  }

  #getAndDelete(): CommandResult {
    const slot = this.#slotOf(0);
    const key = this.#textOf(0);
    const result = this.#valueResult(this.#live(slot, key));
    this.keyspace.delete(slot, key);
    return result;
  }

  #expireAt(): CommandResult {
    const { flags, expireAtMs } = this.#reader;
    const slot = this.#slotOf(0);
    const key = this.#textOf(0);
    const entry = this.#live(slot, key);
    if (entry === undefined || !mayExpire(entry.expireAtMs, expireAtMs, flags)) return 0;
    if (expireAtMs <= this.#stampMs) this.keyspace.delete(slot, key);
    else this.keyspace.setExpiry(slot, key, entry, expireAtMs);
    return 1;
  }

  #persist(): CommandResult {
    const slot = this.#slotOf(0);
    const key = this.#textOf(0);
    const entry = this.#live(slot, key);
    if (entry === undefined || entry.expireAtMs === 0) return 0;
    this.keyspace.setExpiry(slot, key, entry, 0);
    return 1;
  }

  /** Removes those of the keys that have expired by this entry's stamp, and answers how many did. */
  #purge(): CommandResult {
    const before = this.keyspace.size;
    for (let i = 0; i < this.#reader.argc; i++) this.#live(this.#slotOf(i), this.#textOf(i));
    return before - this.keyspace.size;
  }

  #valueResult(entry: Entry | undefined): CommandResult {
    if (entry === undefined || !this.#isAwaited) return null;
    const result = new Uint8Array(entry.value.length + 1);
    result[0] = resultTags.bulk;
    result.set(entry.value, 1);
    return result;
  }
}

/** Whether the conditions of EXPIRE let `nextMs` take the place of `currentMs` (0 = never, later than anything). */
function mayExpire(currentMs: number, nextMs: number, flags: number): boolean {
  if ((flags & expireFlags.ifNone) !== 0 && currentMs !== 0) return false;
  if ((flags & expireFlags.ifSome) !== 0 && currentMs === 0) return false;
  if ((flags & expireFlags.ifLater) !== 0 && (currentMs === 0 || nextMs <= currentMs)) return false;
  return (flags & expireFlags.ifEarlier) === 0 || currentMs === 0 || nextMs < currentMs;
}

function taggedResult(tag: number, text: string): Uint8Array {
  return latin1Bytes(String.fromCharCode(tag) + text);
}

function errorResult(text: string): Uint8Array {
  return taggedResult(resultTags.error, text);
}

/** The bytes of a tagged result after its tag. */
export function resultBody(result: Uint8Array): Uint8Array {
  return result.subarray(1);
}
