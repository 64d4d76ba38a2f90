// A small reader of MessagePack for showing payloads: one value, or an honest note where the bytes are none. Depth and
// output are bounded, and no length is believed before it is compared with what is left.

const depthMax = 32;
const charsMax = 4096;

class NotMsgpack extends Error {}

class Reader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  #at = 0;
  #chars = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  whole(): string {
    const text = this.#value(0);
    if (this.#at !== this.#bytes.length) throw new NotMsgpack('bytes are left behind the value');
    return text;
  }

  #take(count: number): number {
    if (count > this.#bytes.length - this.#at) throw new NotMsgpack('it ends too early');
    const at = this.#at;
    this.#at += count;
    return at;
  }

  #uint(width: 1 | 2 | 4): number {
    const at = this.#take(width);
    if (width === 1) return this.#view.getUint8(at);
    return width === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #said(text: string): string {
    this.#chars += text.length;
    if (this.#chars > charsMax) throw new NotMsgpack('it is too long to show');
    return text;
  }

  #text(length: number): string {
    const at = this.#take(length);
    return this.#said(JSON.stringify(new TextDecoder().decode(this.#bytes.subarray(at, this.#at))));
  }

  #binary(length: number): string {
    const at = this.#take(length);
    const view = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + at, length);
    return this.#said(`h'${view.toString('hex')}'`);
  }

  #extension(length: number): string {
    const type = this.#view.getInt8(this.#take(1));
    return `ext(${type}, ${this.#binary(length)})`;
  }

  #list(count: number, depth: number): string {
    // Every item has a byte at least: a count beyond what is left is a lie.
    if (count > this.#bytes.length - this.#at) throw new NotMsgpack('it ends too early');
    const items: string[] = [];
    for (let i = 0; i < count; i++) items.push(this.#value(depth + 1));
    return this.#said(`[${items.join(', ')}]`);
  }

  #map(count: number, depth: number): string {
    if (count > this.#bytes.length - this.#at) throw new NotMsgpack('it ends too early');
    const items: string[] = [];
    for (let i = 0; i < count; i++) {
      const key = this.#value(depth + 1);
      items.push(`${key}: ${this.#value(depth + 1)}`);
    }
    return this.#said(`{${items.join(', ')}}`);
  }

  #value(depth: number): string {
    if (depth > depthMax) throw new NotMsgpack('it is too deep');
    const tag = this.#uint(1);
    if (tag <= 0x7f) return this.#said(`${tag}`);
    if (tag >= 0xe0) return this.#said(`${tag - 256}`);
    if (tag <= 0x8f) return this.#map(tag & 15, depth);
    if (tag <= 0x9f) return this.#list(tag & 15, depth);
    if (tag <= 0xbf) return this.#text(tag & 31);
    switch (tag) {
      case 0xc0:
        return this.#said('null');
      case 0xc2:
        return this.#said('false');
      case 0xc3:
        return this.#said('true');
      case 0xc4:
        return this.#binary(this.#uint(1));
      case 0xc5:
        return this.#binary(this.#uint(2));
      case 0xc6:
        return this.#binary(this.#uint(4));
      case 0xc7:
        return this.#extension(this.#uint(1));
      case 0xc8:
        return this.#extension(this.#uint(2));
      case 0xc9:
        return this.#extension(this.#uint(4));
      case 0xca:
        return this.#said(`${this.#view.getFloat32(this.#take(4))}`);
      case 0xcb:
        return this.#said(`${this.#view.getFloat64(this.#take(8))}`);
      case 0xcc:
        return this.#said(`${this.#uint(1)}`);
      case 0xcd:
        return this.#said(`${this.#uint(2)}`);
      case 0xce:
        return this.#said(`${this.#uint(4)}`);
      case 0xcf:
        return this.#said(`${this.#view.getBigUint64(this.#take(8))}`);
      case 0xd0:
        return this.#said(`${this.#view.getInt8(this.#take(1))}`);
      case 0xd1:
        return this.#said(`${this.#view.getInt16(this.#take(2))}`);
      case 0xd2:
        return this.#said(`${this.#view.getInt32(this.#take(4))}`);
      case 0xd3:
        return this.#said(`${this.#view.getBigInt64(this.#take(8))}`);
      case 0xd9:
        return this.#text(this.#uint(1));
      case 0xda:
        return this.#text(this.#uint(2));
      case 0xdb:
        return this.#text(this.#uint(4));
      case 0xdc:
        return this.#list(this.#uint(2), depth);
      case 0xdd:
        return this.#list(this.#uint(4), depth);
      case 0xde:
        return this.#map(this.#uint(2), depth);
      case 0xdf:
        return this.#map(this.#uint(4), depth);
      default:
        if (tag >= 0xd4 && tag <= 0xd8) return this.#extension(1 << (tag - 0xd4));
        throw new NotMsgpack(`no value begins with ${tag.toString(16)}`);
    }
  }
}

/** The value as text close to JSON, or why the bytes are not one. */
export function showMsgpack(bytes: Uint8Array): string {
  try {
    return new Reader(bytes).whole();
  } catch (error) {
    if (error instanceof NotMsgpack) return `not msgpack: ${error.message}`;
    throw error;
  }
}
