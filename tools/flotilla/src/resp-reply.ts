// Reads replies of the Redis protocol (RESP2) from a byte stream that may be cut anywhere.
//
// A bulk text becomes a string with one character for each byte (latin1), so that no byte is lost. An error reply is a
// value like any other, not something thrown. Lengths are checked before they are believed.

/** An error reply; `kind` is its first word, by which callers decide. */
export class ReplyError {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  get kind(): string {
    const space = this.text.indexOf(' ');
    return space < 0 ? this.text : this.text.slice(0, space);
  }
}

export type Reply = string | number | null | ReplyError | readonly Reply[];

/** The other side does not speak the protocol; the connection is of no use any more. */
export class ReplyProtocolError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ReplyProtocolError';
  }
}

const bulkBytesMax = 512 << 20;
const itemsMax = 1 << 20;
const depthMax = 8;
const lineBytesMax = 64 << 10;
const lineFeed = 0x0a;

export class ReplyReader {
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;

  feed(chunk: Buffer): void {
    const rest = this.#buffer.subarray(this.#at);
    this.#buffer = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    this.#at = 0;
  }

  /** The next whole reply; undefined until more bytes are fed. Throws ReplyProtocolError. */
  next(): Reply | undefined {
    const start = this.#at;
    const reply = this.#read(0);
    if (reply === undefined) this.#at = start;
    return reply;
  }

  #read(depth: number): Reply | undefined {
    const line = this.#line();
    if (line === undefined) return undefined;
    const text = line.slice(1);
    switch (line[0]) {
      case '+':
        return text;
      case '-':
        return new ReplyError(text);
      case ':':
        return integer(text);
      case '$':
        return this.#bulk(integer(text));
      case '*':
        return this.#array(integer(text), depth);
      default:
        throw new ReplyProtocolError(`a reply begins with ${JSON.stringify(line.slice(0, 20))}`);
    }
  }

  #line(): string | undefined {
    const end = this.#buffer.indexOf(lineFeed, this.#at);
    if (end < 0) {
      if (this.#buffer.length - this.#at > lineBytesMax) {
        throw new ReplyProtocolError('a reply has a line without an end');
      }
      return undefined;
    }
    // The carriage return before the line feed is no part of the line.
    const line = this.#buffer.toString('latin1', this.#at, end - 1);
    this.#at = end + 1;
    return line;
  }

  #bulk(length: number): string | null | undefined {
    if (length === -1) return null;
    if (length < 0 || length > bulkBytesMax) throw new ReplyProtocolError(`a bulk of ${length}`);
    if (this.#buffer.length - this.#at < length + 2) return undefined;
    const text = this.#buffer.toString('latin1', this.#at, this.#at + length);
    this.#at += length + 2;
    return text;
  }

  #array(count: number, depth: number): readonly Reply[] | null | undefined {
    if (count === -1) return null;
    if (count < 0 || count > itemsMax || depth >= depthMax) {
      throw new ReplyProtocolError(`an array of ${count}, ${depth} deep`);
    }
    const items: Reply[] = [];
    for (let i = 0; i < count; i++) {
      const item = this.#read(depth + 1);
      if (item === undefined) return undefined;
      items.push(item);
    }
    return items;
  }
}

function integer(text: string): number {
  const value = Number(text);
  if (text === '' || !Number.isSafeInteger(value)) {
    throw new ReplyProtocolError(`${JSON.stringify(text.slice(0, 20))} is not an integer`);
  }
  return value;
}

/** A command as the protocol has it: an array of bulks, each character of the arguments one byte. */
export function encodeCommand(words: readonly string[]): string {
  let text = `*${words.length}\r\n`;
  for (const word of words) text += `$${word.length}\r\n${word}\r\n`;
  return text;
}
