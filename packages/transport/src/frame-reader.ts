// Cuts the chunks of one connection into frames. It reads with a cursor over the received chunk and copies only a frame
// that straddles chunks or does not begin at a word, into one assembly buffer that is kept from frame to frame.
//
// Guarantees: the header's CRC, flags, kind and length are checked before a byte of memory is taken for the body; a frame
// is handed on only after the CRC over its covered part holds; the frames are the same for every way of splitting the
// stream; after stop() or the first violation nothing is handed on. There is no search for the next frame after a damaged
// one: a stream that lied once is closed.

import {
  crc32,
  frameHeaderAt,
  frameHeaderBytes,
  frameKinds,
  u32At,
  wordsOf,
} from '@flotilla/codec';
import { ReceivedFrame } from './api.ts';
import { handshakeBytesMax } from './handshake.ts';

/** The heads of an append frame begin with their length and four zero bytes. */
export const appendPrefixBytes = 8;

/** What can be wrong with a stream of frames. */
export type Violation =
  | 'headerCrc'
  | 'flags'
  | 'kind'
  | 'length'
  | 'heads'
  | 'bodyCrc'
  | 'handshake'
  | 'deadline';

export interface FrameSink {
  /** `frame` is valid only during the call, which may stop the reader. */
  onFrame(frame: ReceivedFrame): void;
  /** Called at most once; the reader has stopped. */
  onViolation(violation: Violation): void;
}

/** A set of frame kinds. */
export function kindSet(...kinds: number[]): number {
  return kinds.reduce((set, kind) => set | (1 << kind), 0);
}

const assemblyBytesMin = 4096;
/** An assembly buffer up to this size is kept: the usual frame of 1 MiB and what it may overshoot by. */
const assemblyKeptBytesMax = 1.25 * 2 ** 20;
const none = new Uint8Array(0);
const noWords = new Int32Array(0);

export class FrameReader {
  readonly #sink: FrameSink;
  readonly #frame: ReceivedFrame = new ReceivedFrame();
  readonly #header: Uint8Array = new Uint8Array(frameHeaderBytes);
  #headerHave = 0;
  #kinds: number;
  #bodyBytesMax: number;
  /** The frame that is being read; -1 between frames. */
  #bodyBytes = -1;
  #kind = 0;
  #records = 0;
  #bodyCrc = 0;
  #assembly: Uint8Array = none;
  #assemblyWords: Int32Array = noWords;
  #assembled = 0;
  /** The memory that chunks came in last, as words; sockets read into the same buffer again and again. */
  #chunkWords: Int32Array = noWords;
  #stopped = false;
  #framesRead = 0;

  constructor(sink: FrameSink, kinds: number, bodyBytesMax: number) {
    this.#sink = sink;
    this.#kinds = kinds;
    this.#bodyBytesMax = bodyBytesMax;
  }

  /** From the next header on. */
  setLimits(kinds: number, bodyBytesMax: number): void {
    this.#kinds = kinds;
    this.#bodyBytesMax = bodyBytesMax;
  }

  /** Frames handed on so far. */
  get framesRead(): number {
    return this.#framesRead;
  }

  /** Whether a frame has begun and not ended. */
  get isInsideFrame(): boolean {
    return this.#bodyBytes >= 0 || this.#headerHave > 0;
  }

  /** Memory that the reader holds for frames that straddle chunks. */
  get assemblyBytes(): number {
    return this.#assembly.length;
  }

  stop(): void {
    this.#stopped = true;
    this.#forgetAssembly();
    this.#chunkWords = noWords;
  }

  push(chunk: Uint8Array): void {
    const end = chunk.length;
    let at = 0;
    while (!this.#stopped) {
      if (this.#bodyBytes < 0) {
        if (this.#headerHave === 0 && end - at >= frameHeaderBytes) {
          if (!this.#begin(chunk, at)) return;
          at += frameHeaderBytes;
        } else {
          while (at < end && this.#headerHave < frameHeaderBytes) {
            this.#header[this.#headerHave++] = chunk[at++] as number;
          }
          if (this.#headerHave < frameHeaderBytes) return;
          this.#headerHave = 0;
          if (!this.#begin(this.#header, 0)) return;
        }
      }
      const bodyBytes = this.#bodyBytes;
      if (this.#assembled === 0 && end - at >= bodyBytes && isAtWord(chunk, at)) {
        at += bodyBytes;
        this.#deliverFrom(chunk, at - bodyBytes, at);
        continue;
      }
      if (at === end) return;
      at += this.#assemble(chunk, at);
      if (this.#assembled < bodyBytes) return;
      this.#assembled = 0;
      this.#deliver(this.#assembly, this.#assemblyWords, 0, bodyBytes);
      if (this.#assembly.length > assemblyKeptBytesMax) this.#forgetAssembly();
    }
  }

  #begin(bytes: Uint8Array, at: number): boolean {
    const header = frameHeaderAt(bytes, at);
    if (header === null) return this.#fail('headerCrc');
    if (header.flags !== 0) return this.#fail('flags');
    if (header.kind > 30 || (this.#kinds & (1 << header.kind)) === 0) return this.#fail('kind');
    const bodyBytesMax = isHandshake(header.kind) ? handshakeBytesMax : this.#bodyBytesMax;
    const bodyBytesMin = header.kind === frameKinds.append ? appendPrefixBytes : 1;
    if (header.bodyBytes < bodyBytesMin || header.bodyBytes > bodyBytesMax) {
      return this.#fail('length');
    }
    this.#bodyBytes = header.bodyBytes;
    this.#kind = header.kind;
    this.#records = header.records;
    this.#bodyCrc = header.bodyCrc;
    return true;
  }

  /** Copies what the chunk has of the body; answers how much that was. */
  #assemble(chunk: Uint8Array, at: number): number {
    if (this.#assembled === 0 && this.#assembly.length < this.#bodyBytes) {
      let bytes = assemblyBytesMin;
      while (bytes < this.#bodyBytes && bytes < assemblyKeptBytesMax) bytes *= 2;
      this.#assembly = new Uint8Array(bytes <= assemblyKeptBytesMax ? bytes : this.#bodyBytes);
      this.#assemblyWords = wordsOf(this.#assembly);
    }
    const taken = Math.min(this.#bodyBytes - this.#assembled, chunk.length - at);
    this.#assembly.set(chunk.subarray(at, at + taken), this.#assembled);
    this.#assembled += taken;
    return taken;
  }

  #forgetAssembly(): void {
    this.#assembly = none;
    this.#assemblyWords = noWords;
  }

  /** Hands on a frame that stands whole in a chunk, from a word of the chunk's memory on. */
  #deliverFrom(chunk: Uint8Array, at: number, end: number): void {
    const words = this.#chunkWords;
    const isSameMemory =
      words.buffer === chunk.buffer &&
      words.byteOffset === chunk.byteOffset &&
      words.length >= chunk.length >>> 2;
    if (!isSameMemory) this.#chunkWords = wordsOf(chunk);
    this.#deliver(chunk, this.#chunkWords, at, end);
  }

  /** Checks and hands on the frame whose body is bytes[at, end). */
  #deliver(bytes: Uint8Array, words: Int32Array, at: number, end: number): void {
    this.#bodyBytes = -1;
    let headsEnd = end;
    if (this.#kind === frameKinds.append) {
      const headsBytes = u32At(bytes, at);
      const isShaped =
        headsBytes >= appendPrefixBytes && headsBytes <= end - at && u32At(bytes, at + 4) === 0;
      if (!isShaped) return void this.#fail('heads');
      headsEnd = at + headsBytes;
    }
    if (crc32(bytes, at, headsEnd) !== this.#bodyCrc) return void this.#fail('bodyCrc');
    const frame = this.#frame;
    frame.kind = this.#kind;
    frame.records = this.#records;
    frame.bytes = bytes;
    frame.words = words;
    frame.at = at;
    frame.end = end;
    frame.headsEnd = headsEnd;
    this.#framesRead += 1;
    this.#sink.onFrame(frame);
    // The frame must not keep a chunk alive until the next one comes.
    frame.bytes = none;
    frame.words = noWords;
  }

  #fail(violation: Violation): false {
    this.stop();
    this.#sink.onViolation(violation);
    return false;
  }
}

function isAtWord(chunk: Uint8Array, at: number): boolean {
  return at % 4 === 0 && chunk.byteOffset % 4 === 0;
}

function isHandshake(kind: number): boolean {
  return kind === frameKinds.hello || kind === frameKinds.welcome || kind === frameKinds.reject;
}
