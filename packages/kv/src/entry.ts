// One command in a data group's log, as bytes (FORMAT.md has the table of operations).
//
//   offset size field
//   0      1    operation   operations below
//   1      1    flags       setFlags or expireFlags
//   2      2    reserved    zero
//   4      4    argc        number of arguments
//   8      8    stampMs     leader's wall clock when it was proposed, never below an earlier entry's that it knew
//   16     8    expireAtMs  absolute, 0 = none
//   24     ...  arguments: u32 length, bytes, back to back to the entry's end
//
// Little endian. Decoding checks every length against the entry's end before it is used.

import { putU32, putU64, u32At, u64At } from '@flotilla/codec';

export const entryHeadBytes = 24;

export const operations = {
  set: 1,
  delete: 2,
  setMany: 3,
  incrementBy: 4,
  append: 5,
  getAndDelete: 6,
  expireAt: 7,
  persist: 8,
  purge: 9,
} as const;

export const setFlags = { ifAbsent: 1, ifPresent: 2, answerOld: 4, keepTtl: 8 } as const;
export const expireFlags = { ifNone: 1, ifSome: 2, ifLater: 4, ifEarlier: 8 } as const;

const stampAt = 8;
const expireAt = 16;
const smallBytes = 48;

/** Builds entries in a buffer of its own, which is reused. */
export class EntryBuilder {
  bytes: Uint8Array = new Uint8Array(128);
  length = 0;
  #argc = 0;

  begin(operation: number, flags: number): void {
    const { bytes } = this;
    bytes[0] = operation;
    bytes[1] = flags;
    bytes[2] = 0;
    bytes[3] = 0;
    putU32(bytes, 4, 0);
    putU64(bytes, stampAt, 0);
    putU64(bytes, expireAt, 0);
    this.length = entryHeadBytes;
    this.#argc = 0;
  }

  /** Adds the argument `source[start, end)`. */
  argument(source: Uint8Array, start: number, end: number): void {
    const count = end - start;
    this.#reserve(4 + count);
    const { bytes } = this;
    let at = this.length;
    putU32(bytes, at, count);
    at += 4;
    // Below about fifty bytes a loop beats the call that copies.
    if (count <= smallBytes) {
      for (let i = start; i < end; i++) bytes[at++] = source[i] as number;
    } else {
      bytes.set(source.subarray(start, end), at);
    }
    this.length += 4 + count;
    this.#argc++;
    putU32(bytes, 4, this.#argc);
  }

  /** Adds an argument of latin-1 characters. */
  argumentText(text: string): void {
    this.#reserve(4 + text.length);
    putU32(this.bytes, this.length, text.length);
    let at = this.length + 4;
    for (let i = 0; i < text.length; i++) this.bytes[at++] = text.charCodeAt(i);
    this.length = at;
    this.#argc++;
    putU32(this.bytes, 4, this.#argc);
  }

  /** Dates the entry, which needs to be the last thing before it is proposed. */
  stamp(stampMs: number, expireAtMs: number): void {
    putU64(this.bytes, stampAt, stampMs);
    putU64(this.bytes, expireAt, expireAtMs);
  }

  /** Gives back the memory of a large entry. */
  shrink(): void {
    if (this.bytes.length > 1_024) this.bytes = new Uint8Array(128);
    this.length = 0;
  }

  #reserve(extra: number): void {
    const needed = this.length + extra;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }
}

/** Reads entries; the fields are those of the last entry read, and argument offsets are into its `bytes`. */
export class EntryReader {
  bytes: Uint8Array = new Uint8Array(0);
  operation = 0;
  flags = 0;
  argc = 0;
  stampMs = 0;
  expireAtMs = 0;
  #starts: number[] = [];
  #ends: number[] = [];

  /** False where `bytes[start, end)` is not exactly one well-formed entry. */
  read(bytes: Uint8Array, start: number, end: number): boolean {
    this.bytes = bytes;
    this.argc = 0;
    if (end - start < entryHeadBytes) return false;
    this.operation = bytes[start] as number;
    this.flags = bytes[start + 1] as number;
    if (bytes[start + 2] !== 0 || bytes[start + 3] !== 0) return false;
    const argc = u32At(bytes, start + 4);
    this.stampMs = u64At(bytes, start + stampAt);
    this.expireAtMs = u64At(bytes, start + expireAt);
    if (this.stampMs < 0 || this.expireAtMs < 0) return false;
    if (argc > (end - start - entryHeadBytes) / 4) return false;
    if (this.#starts.length > 1_024 && argc <= 1_024) {
      this.#starts = [];
      this.#ends = [];
    }
    let at = start + entryHeadBytes;
    for (let i = 0; i < argc; i++) {
      if (end - at < 4) return false;
      const count = u32At(bytes, at);
      at += 4;
      if (count > end - at) return false;
      this.#starts[i] = at;
      at += count;
      this.#ends[i] = at;
    }
    this.argc = argc;
    return at === end;
  }

  start(index: number): number {
    return this.#starts[index] as number;
  }

  end(index: number): number {
    return this.#ends[index] as number;
  }
}
