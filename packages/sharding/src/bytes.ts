// A cursor that writes and one that reads the map's commands. They run once per change of the map, so they favour clear
// bounds over speed: the reader never looks past its end, and once it failed it answers zeros and stays failed.

import { putU16, putU32, putU64, u16At, u32At, u64At } from '@flotilla/codec';

export class ByteWriter {
  #bytes: Uint8Array = new Uint8Array(256);
  #length = 0;

  u8(value: number): void {
    this.#bytes[this.#take(1)] = value;
  }

  u16(value: number): void {
    const at = this.#take(2);
    putU16(this.#bytes, at, value);
  }

  u32(value: number): void {
    const at = this.#take(4);
    putU32(this.#bytes, at, value);
  }

  u64(value: number): void {
    const at = this.#take(8);
    putU64(this.#bytes, at, value);
  }

  /** A u16 length, then UTF-8. */
  text(value: string): void {
    const encoded = new TextEncoder().encode(value);
    if (encoded.length > 0xffff) throw new RangeError('text longer than 65,535 bytes');
    this.u16(encoded.length);
    const at = this.#take(encoded.length);
    this.#bytes.set(encoded, at);
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #take(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    return at;
  }
}

export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;
  #failed = false;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Something was read past the end, or a number was out of range. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Everything was read and nothing failed. */
  get isComplete(): boolean {
    return !this.#failed && this.#at === this.#end;
  }

  /** A count of items of at least `itemBytesMin` bytes each: fails where the bytes left cannot hold them. */
  count(itemBytesMin: number): number {
    const value = this.u32();
    if (value * itemBytesMin <= this.#end - this.#at) return value;
    this.#failed = true;
    return 0;
  }

  u8(): number {
    const at = this.#take(1);
    return at < 0 ? 0 : (this.#bytes[at] as number);
  }

  u16(): number {
    const at = this.#take(2);
    return at < 0 ? 0 : u16At(this.#bytes, at);
  }

  u32(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : u32At(this.#bytes, at);
  }

  u64(): number {
    const at = this.#take(8);
    if (at < 0) return 0;
    const value = u64At(this.#bytes, at);
    if (value >= 0) return value;
    this.#failed = true;
    return 0;
  }

  text(): string {
    const length = this.u16();
    const at = this.#take(length);
    if (at < 0) return '';
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(
        this.#bytes.subarray(at, at + length),
      );
    } catch {
      this.#failed = true;
      return '';
    }
  }

  #take(count: number): number {
    if (this.#failed || count > this.#end - this.#at) {
      this.#failed = true;
      return -1;
    }
    const at = this.#at;
    this.#at += count;
    return at;
  }
}
