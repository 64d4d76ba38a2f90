// A host's Net that shows every Raft message at the moment at which the host hands it to its connection: what was
// written may leave, so that is when a promise is made. Bytes pass through untouched.
//
// It may also send a copy of a frame again, later and behind others. TCP does not, but Raft must stand it (a late append
// must not cut a log, a vote that arrives twice counts once), and retries and new connections come close to it.

import {
  blockBytesAt,
  blockCount,
  blockFirstIndex,
  frameHeaderAt,
  frameHeaderBytes,
  frameKinds,
  recordHeadAt,
  recordHeadBytes,
  u32At,
  wordsOf,
} from '@flotilla/codec';
import { Message, messageKinds } from '@flotilla/core';
import {
  isHostRecord,
  messageBytesAt,
  messageGroupId,
  messageSharedAt,
  readMessage,
} from '@flotilla/host/testing';
import type { Callback, Conn, ConnHandlers, Done, Listener, Net } from '@flotilla/io';
import { concatenate } from '../byte-runs.ts';

/** One block of entries in an append that leaves. */
export interface SentBlock {
  readonly firstIndex: number;
  readonly count: number;
  /** Its CRC: over group, indexes, term and bytes. */
  readonly crc: number;
}

export interface WireEvents {
  /** `message` is valid until the call returns and names no addressee: `remote` is where it goes. Only appends have blocks. */
  onMessage(remote: string, groupId: number, message: Message, blocks: readonly SentBlock[]): void;
  onUnreadable(what: string): void;
  /** A frame of messages leaves. Whoever wants it to arrive again takes a copy of it and calls that later. */
  onFrame(copy: () => () => void): void;
}

export class TappedNet implements Net {
  readonly #net: Net;
  readonly #events: WireEvents;

  constructor(net: Net, events: WireEvents) {
    this.#net = net;
    this.#events = events;
  }

  listen(
    address: string,
    accept: (conn: Conn) => ConnHandlers | null,
    callback: Callback<Listener>,
  ): void {
    const tapped = (conn: Conn): ConnHandlers | null => accept(new TappedConn(conn, this.#events));
    this.#net.listen(address, tapped, callback);
  }

  dial(address: string, handlers: ConnHandlers): Conn {
    return new TappedConn(this.#net.dial(address, handlers), this.#events);
  }
}

class TappedConn implements Conn {
  readonly #conn: Conn;
  readonly #events: WireEvents;
  readonly #message: Message = new Message();
  #isEnded = false;
  /** The write looked at last holds a frame behind the handshake. */
  #isOfMessages = false;

  constructor(conn: Conn, events: WireEvents) {
    this.#conn = conn;
    this.#events = events;
  }

  get remote(): string {
    return this.#conn.remote;
  }
  get pendingBytes(): number {
    return this.#conn.pendingBytes;
  }
  pauseReading(): void {
    this.#conn.pauseReading();
  }
  resumeReading(): void {
    this.#conn.resumeReading();
  }
  end(): void {
    this.#isEnded = true;
    this.#conn.end();
  }
  destroy(): void {
    this.#isEnded = true;
    this.#conn.destroy();
  }

  write(buffers: readonly Uint8Array[], written?: Done): boolean {
    const bytes = buffers.length === 1 ? (buffers[0] as Uint8Array) : concatenate(buffers);
    this.#isOfMessages = false;
    this.#look(bytes);
    const answer = this.#conn.write(buffers, written);
    if (this.#isOfMessages) this.#events.onFrame(() => this.#copyOf(bytes));
    return answer;
  }

  #copyOf(bytes: Uint8Array): () => void {
    const copy = bytes.slice();
    return () => {
      if (!this.#isEnded) this.#conn.write([copy]);
    };
  }

  /** The transport writes whole frames. */
  #look(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      const header = bytes.length - at < frameHeaderBytes ? null : frameHeaderAt(bytes, at);
      const end = at + frameHeaderBytes + (header?.bodyBytes ?? 0);
      if (header === null || end > bytes.length) {
        this.#events.onUnreadable('a write that is not whole frames');
        return;
      }
      // A copy begins at a word.
      const body = bytes.slice(at + frameHeaderBytes, end);
      if (header.kind === frameKinds.append) {
        this.#records(body, 8, u32At(body, 0));
      } else if (header.kind === frameKinds.control || header.kind === frameKinds.appendAnswer) {
        this.#records(body, 0, body.length);
      }
      at = end;
    }
  }

  #records(bytes: Uint8Array, from: number, headsEnd: number): void {
    this.#isOfMessages = true;
    const message = this.#message;
    const words = wordsOf(bytes);
    for (let at = from; at < headsEnd; ) {
      const recordBytes = messageBytesAt(words, at, headsEnd);
      if (recordBytes > 0 && isHostRecord(words, at)) {
        // What hosts ask each other about members promises nothing.
        at += recordBytes;
        continue;
      }
      if (recordBytes === 0 || !readMessage(words, at, message)) {
        this.#events.onUnreadable('a frame with an unreadable message');
        return;
      }
      let blocks: readonly SentBlock[] = [];
      if (message.kind === messageKinds.append && message.lastIndex > message.prevIndex) {
        blocks = blocksOf(bytes, headsEnd + messageSharedAt(words, at), message);
      }
      this.#events.onMessage(this.#conn.remote, messageGroupId(words, at), message, blocks);
      at += recordBytes;
    }
  }
}

/** The blocks from `at` on up to the message's last index; ends early where they are not what they should be. */
function blocksOf(bytes: Uint8Array, at: number, message: Message): SentBlock[] {
  const end = bytes.length;
  const blocks: SentBlock[] = [];
  let recordAt = at;
  for (let next = message.prevIndex + 1; next <= message.lastIndex; ) {
    const head = recordHeadAt(bytes, recordAt, end);
    const blockAt = recordAt + recordHeadBytes;
    if (head === null || blockAt + blockBytesAt(bytes, blockAt) > end) break;
    const firstIndex = blockFirstIndex(bytes, blockAt);
    const count = blockCount(bytes, blockAt);
    if (firstIndex + count <= next) break;
    blocks.push({ firstIndex, count, crc: u32At(bytes, blockAt + 24) });
    recordAt += head.recLen;
    next = firstIndex + count;
  }
  return blocks;
}
