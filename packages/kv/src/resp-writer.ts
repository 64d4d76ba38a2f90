// Writes replies of RESP2 or RESP3 into one growing buffer. take() hands the bytes over and starts anew. Texts of errors
// and simple strings are cleaned of control characters, so that nothing a client sent can forge a second reply.

const initialBytes = 4_096;
/** Small integers are most replies; their text is made once. */
const cachedIntegers = 1_024;
const integerLines: readonly Buffer[] = Array.from({ length: cachedIntegers }, (_, n) =>
  Buffer.from(`:${n}\r\n`, 'latin1'),
);
const okLine: Buffer = Buffer.from('+OK\r\n', 'latin1');
const nil2: Buffer = Buffer.from('$-1\r\n', 'latin1');
const nil3: Buffer = Buffer.from('_\r\n', 'latin1');

export class RespWriter {
  #bytes: Buffer = Buffer.allocUnsafeSlow(initialBytes);
  #length = 0;
  /** The protocol of what is written next. */
  isResp3 = false;

  get length(): number {
    return this.#length;
  }

  ok(): void {
    this.raw(okLine);
  }

  simple(text: string): void {
    this.#line('+', cleanLine(text));
  }

  /** `text` begins with the error's kind, in capitals. */
  error(text: string): void {
    this.#line('-', cleanLine(text));
  }

  integer(value: number): void {
    const cached = integerLines[value];
    if (cached !== undefined && !Object.is(value, -0)) this.raw(cached);
    else this.integerText(String(value));
  }

  /** An integer beyond the safe range, as its digits. */
  integerText(digits: string): void {
    this.#line(':', digits);
  }

  nil(): void {
    this.raw(this.isResp3 ? nil3 : nil2);
  }

  bulk(value: Uint8Array): void {
    this.#line('$', String(value.length));
    this.#reserve(value.length + 2);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    this.#crlf();
  }

  /** A bulk string of latin-1 characters. */
  bulkText(text: string): void {
    this.#line('$', String(text.length));
    this.#reserve(text.length + 2);
    this.#length += this.#bytes.write(text, this.#length, 'latin1');
    this.#crlf();
  }

  /** A text for people: RESP3 marks it as such. */
  verbatim(text: string): void {
    if (!this.isResp3) {
      this.bulkText(text);
      return;
    }
    this.#line('=', String(text.length + 4));
    this.#reserve(text.length + 6);
    this.#length += this.#bytes.write(`txt:${text}`, this.#length, 'latin1');
    this.#crlf();
  }

  array(count: number): void {
    this.#line('*', String(count));
  }

  /** A map of `count` pairs; for RESP2 a flat array. */
  map(count: number): void {
    if (this.isResp3) this.#line('%', String(count));
    else this.array(count * 2);
  }

  /** Bytes that are a reply already. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Forgets what was written. */
  clear(): void {
    this.#length = 0;
  }

  /** The bytes written, in memory that this writer does not touch again. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    if (taken.length * 2 >= this.#bytes.length || taken.length > 65_536) {
      this.#bytes = Buffer.allocUnsafeSlow(initialBytes);
      return taken;
    }
    return Buffer.from(taken);
  }

  #line(mark: string, text: string): void {
    const line = `${mark}${text}\r\n`;
    this.#reserve(line.length);
    this.#length += this.#bytes.write(line, this.#length, 'latin1');
  }

  #crlf(): void {
    this.#bytes[this.#length++] = 0x0d;
    this.#bytes[this.#length++] = 0x0a;
  }

  #reserve(extra: number): void {
    const needed = this.#length + extra;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

/** Printable ASCII stays, everything else becomes a question mark. */
function cleanLine(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}
