// Reads commands out of a byte stream: RESP arrays of bulk strings, and inline commands (a line of words).
//
// A cursor over the bytes received. A chunk that holds whole commands is read where it stands; only the unfinished rest
// is copied, into a buffer of this parser's own. Arguments are offsets into `bytes`, in arrays that are reused: they are
// valid until the next call of next() or push(). Every count and length is checked against a limit before anything is
// reserved for it; the first malformed byte ends the stream for good, with a text for the client.

/** What a client may send. All are checked before memory is taken. */
export interface ParserLimits {
  /** Arguments of one command. */
  readonly argumentsMax: number;
  /** Bytes of one argument. */
  readonly argumentBytesMax: number;
  /** Bytes of one command as sent, its framing included. */
  readonly commandBytesMax: number;
}

/** No configuration may allow more arguments than this. */
export const argumentsHardMax = 1_048_576;
export const defaultParserLimits: ParserLimits = {
  argumentsMax: 65_536,
  argumentBytesMax: 8 * 1024 * 1024,
  commandBytesMax: 16 * 1024 * 1024,
};

/** `command`: one stands in the parser; `more`: bytes are missing; `error`: `problem` says what, nothing more is read. */
export type ParseOutcome = 'command' | 'more' | 'error';

/** An inline command, or the digits of a header line, may be this long. */
const lineBytesMax = 65_536;
const headerDigitsMax = 20;
const initialBytes = 4_096;

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const asterisk = 0x2a;
const dollar = 0x24;
const noBytes: Buffer = Buffer.alloc(0);

export class RespParser {
  /** Memory that the arguments of the current command stand in. */
  bytes: Buffer = noBytes;
  argc = 0;
  /** Why the stream ended, after `error`. */
  problem = '';

  readonly #limits: ParserLimits;
  // Offsets of the arguments from #argsBase.
  #starts: number[] = [];
  #ends: number[] = [];
  #argsBase = 0;
  // The bytes not yet consumed are #buffer[#at, #end); #isOwned: they stand in memory of this parser.
  #buffer: Buffer = noBytes;
  #at = 0;
  #end = 0;
  #isOwned = false;
  // Progress within an array command that began at #at: next byte to look at (relative), arguments still missing, length
  // of the argument under way (-1: its header is still to come), where the search for a line's end goes on.
  #cursor = 0;
  #argsLeft = 0;
  #bulkBytes = -1;
  #searched = 0;
  #failed = false;

  constructor(limits: ParserLimits = defaultParserLimits) {
    if (!(limits.argumentsMax >= 1 && limits.argumentsMax <= argumentsHardMax)) {
      throw new RangeError(`argumentsMax must be 1..${argumentsHardMax}`);
    }
    this.#limits = limits;
  }

  /** Bytes received and not yet part of a command handed out. */
  get pendingBytes(): number {
    return this.#end - this.#at;
  }

  /** Memory held while waiting for the rest of a command. */
  get ownedBytes(): number {
    return this.#isOwned ? this.#buffer.length : 0;
  }

  start(index: number): number {
    return this.#argsBase + (this.#starts[index] as number);
  }

  end(index: number): number {
    return this.#argsBase + (this.#ends[index] as number);
  }

  /** Argument as a latin-1 string: one character a byte. */
  text(index: number): string {
    return this.bytes.toString('latin1', this.start(index), this.end(index));
  }

  /** Takes a chunk, which must not change afterwards. Call next() until it answers other than `command`. */
  push(chunk: Buffer): void {
    if (this.#failed) return;
    if (this.#end === this.#at) {
      this.#buffer = chunk;
      this.#isOwned = false;
      this.#at = 0;
      this.#end = chunk.length;
      return;
    }
    this.#makeOwned(chunk.length);
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  next(): ParseOutcome {
    if (this.#failed) return 'error';
    for (;;) {
      if (this.#at === this.#end) {
        this.#forget();
        return 'more';
      }
      const isArray = this.#argsLeft > 0 || this.#buffer[this.#at] === asterisk;
      const outcome = isArray ? this.#nextArray() : this.#nextInline();
      if (outcome === 'skip') continue;
      if (outcome === 'more') {
        if (this.#end - this.#at > this.#limits.commandBytesMax)
          return this.#fail('command too big');
        this.#makeOwned(0);
      }
      return outcome;
    }
  }

  #nextArray(): ParseOutcome | 'skip' {
    if (this.#argsLeft === 0) {
      const count = this.#header('invalid multibulk length');
      if (count === null) return this.#failed ? 'error' : 'more';
      if (count > this.#limits.argumentsMax) return this.#fail('invalid multibulk length');
      if (count <= 0) {
        this.#consume();
        return 'skip';
      }
      this.argc = 0;
      this.#argsLeft = count;
    }
    while (this.#argsLeft > 0) {
      if (this.#bulkBytes < 0 && !this.#bulkHeader()) return this.#failed ? 'error' : 'more';
      const end = this.#cursor + this.#bulkBytes;
      if (this.#at + end + 2 > this.#end) return 'more';
      const after = this.#at + end;
      if (this.#buffer[after] !== carriageReturn || this.#buffer[after + 1] !== lineFeed) {
        return this.#fail('expected CRLF after a bulk string');
      }
      this.#starts[this.argc] = this.#cursor;
      this.#ends[this.argc] = end;
      this.argc++;
      this.#argsLeft--;
      this.#cursor = end + 2;
      this.#bulkBytes = -1;
    }
    this.bytes = this.#buffer;
    this.#argsBase = this.#at;
    this.#consume();
    return 'command';
  }

  /** Reads `$<length>` at the cursor; false: more bytes are needed, or the stream failed. */
  #bulkHeader(): boolean {
    if (this.#at + this.#cursor >= this.#end) return false;
    const kind = this.#buffer[this.#at + this.#cursor] as number;
    if (kind !== dollar) {
      const shown = kind > 0x20 && kind < 0x7f ? String.fromCharCode(kind) : '?';
      this.#fail(`expected '$', got '${shown}'`);
      return false;
    }
    const length = this.#header('invalid bulk length');
    if (length === null) return false;
    if (length < 0 || length > this.#limits.argumentBytesMax) {
      this.#fail('invalid bulk length');
      return false;
    }
    if (this.#cursor + length + 2 > this.#limits.commandBytesMax) {
      this.#fail('command too big');
      return false;
    }
    this.#bulkBytes = length;
    return true;
  }

  /** The number of the header line at the cursor, which it passes; null: more bytes are needed, or the stream failed. */
  #header(problem: string): number | null {
    const first = this.#at + this.#cursor + 1;
    let at = first;
    let value = 0;
    const isNegative = this.#buffer[at] === 0x2d && at < this.#end;
    if (isNegative) at++;
    const digitsAt = at;
    for (; at < this.#end; at++) {
      const digit = (this.#buffer[at] as number) - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      if (at - first > headerDigitsMax) break;
    }
    if (at >= this.#end) {
      if (at - first > headerDigitsMax) this.#fail(problem);
      return null;
    }
    if (this.#buffer[at] !== carriageReturn || at === digitsAt) {
      this.#fail(problem);
      return null;
    }
    if (at + 1 >= this.#end) return null;
    if (this.#buffer[at + 1] !== lineFeed) {
      this.#fail(problem);
      return null;
    }
    this.#cursor = at + 2 - this.#at;
    return isNegative ? -value : value;
  }

  #nextInline(): ParseOutcome | 'skip' {
    let lineEnd = this.#at + this.#searched;
    while (lineEnd < this.#end && this.#buffer[lineEnd] !== lineFeed) lineEnd++;
    if (lineEnd - this.#at > lineBytesMax) return this.#fail('too big inline request');
    if (lineEnd === this.#end) {
      this.#searched = lineEnd - this.#at;
      return 'more';
    }
    const words = splitInline(this.#buffer, this.#at, lineEnd);
    this.#cursor = lineEnd + 1 - this.#at;
    if (words === null) return this.#fail('unbalanced quotes in request');
    this.#consume();
    if (words.count === 0) return 'skip';
    this.bytes = words.bytes;
    this.argc = words.count;
    this.#argsBase = 0;
    for (let i = 0; i < words.count; i++) {
      this.#starts[i] = words.starts[i] as number;
      this.#ends[i] = words.ends[i] as number;
    }
    return 'command';
  }

  #consume(): void {
    this.#at += this.#cursor;
    this.#cursor = 0;
    this.#argsLeft = 0;
    this.#bulkBytes = -1;
    this.#searched = 0;
  }

  #fail(problem: string): 'error' {
    this.#failed = true;
    this.problem = `ERR Protocol error: ${problem}`;
    this.#at = this.#end;
    this.#forget();
    return 'error';
  }

  /** Nothing is left unread: lets go of the memory, so that an idle connection holds none. */
  #forget(): void {
    this.#buffer = noBytes;
    this.#isOwned = false;
    this.#at = 0;
    this.#end = 0;
    // A command with very many arguments should not keep its tables for ever.
    if (this.#starts.length > 1_024) {
      this.#starts = [];
      this.#ends = [];
    }
  }

  /** Moves the unread bytes to the front of a buffer of this parser's own, with room for `extra` more. */
  #makeOwned(extra: number): void {
    const unread = this.#end - this.#at;
    const announced = this.#bulkBytes < 0 ? 0 : this.#cursor + this.#bulkBytes + 2;
    const needed = Math.max(unread + extra, announced);
    if (this.#isOwned && this.#buffer.length - this.#at >= needed) return;
    let target = this.#buffer;
    if (!this.#isOwned || target.length < needed) {
      const doubled = this.#isOwned ? this.#buffer.length * 2 : initialBytes;
      // An announced length is honoured at once only up to a step, so that a header alone reserves little.
      const step = Math.min(needed, Math.max(unread + extra, doubled, 256 * 1024));
      target = Buffer.allocUnsafeSlow(
        Math.max(step, Math.min(doubled, this.#limits.commandBytesMax)),
      );
    }
    this.#buffer.copy(target, 0, this.#at, this.#end);
    this.#buffer = target;
    this.#isOwned = true;
    this.#at = 0;
    this.#end = unread;
  }
}

interface InlineWords {
  readonly bytes: Buffer;
  readonly count: number;
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

/** Splits a line into words; `"..."` takes backslash escapes, `'...'` only `\'`. Null: a quote is not closed well. */
function splitInline(source: Buffer, start: number, lineEnd: number): InlineWords | null {
  const end = lineEnd > start && source[lineEnd - 1] === carriageReturn ? lineEnd - 1 : lineEnd;
  const bytes = Buffer.allocUnsafe(end - start);
  const starts: number[] = [];
  const ends: number[] = [];
  let length = 0;
  let at = start;
  for (;;) {
    while (at < end && isSpace(source[at] as number)) at++;
    if (at >= end) return { bytes, count: starts.length, starts, ends };
    starts.push(length);
    let quote = 0;
    for (; at < end; at++) {
      const byte = source[at] as number;
      if (quote === 0) {
        if (isSpace(byte)) break;
        if (byte === 0x22 || byte === 0x27) quote = byte;
        else bytes[length++] = byte;
      } else if (byte === quote) {
        if (at + 1 < end && !isSpace(source[at + 1] as number)) return null;
        quote = 0;
      } else if (byte === 0x5c && at + 1 < end && (quote === 0x22 || source[at + 1] === 0x27)) {
        at++;
        const escape = source[at] as number;
        const hex = escape === 0x78 ? hexByteAt(source, at + 1, end) : -1;
        if (hex >= 0) at += 2;
        bytes[length++] = hex >= 0 ? hex : unescaped(escape);
      } else {
        bytes[length++] = byte;
      }
    }
    if (quote !== 0) return null;
    ends.push(length);
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d) || byte === 0;
}

function hexByteAt(source: Buffer, at: number, end: number): number {
  if (at + 2 > end) return -1;
  const text = source.toString('latin1', at, at + 2);
  return /^[0-9a-fA-F]{2}$/.test(text) ? Number.parseInt(text, 16) : -1;
}

function unescaped(byte: number): number {
  if (byte === 0x6e) return 0x0a;
  if (byte === 0x72) return 0x0d;
  if (byte === 0x74) return 0x09;
  if (byte === 0x62) return 0x08;
  return byte === 0x61 ? 0x07 : byte;
}
