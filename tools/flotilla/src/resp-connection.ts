// One connection to one host, pipelined: calls leave together at the end of the current tick, replies come in order.
//
// What it promises to whoever must know whether a write can have happened: a call fails with `isSent: false` only if not
// a byte of it was handed to the socket. A call without a reply in its time closes the connection, since the replies of
// those behind it could not be told apart from its own.

import { connect, type Socket } from 'node:net';
import { parseAddress } from '@flotilla/io';
import { encodeCommand, type Reply, ReplyReader } from './resp-reply.ts';

/** The call has no reply. */
export class ConnectionLost extends Error {
  /** Whether the other side may have received the call. */
  readonly isSent: boolean;

  constructor(message: string, isSent: boolean) {
    super(message);
    this.name = 'ConnectionLost';
    this.isSent = isSent;
  }
}

interface Pending {
  readonly dueMs: number;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: ConnectionLost) => void;
}

export class RespConnection {
  readonly address: string;
  readonly #socket: Socket;
  readonly #reader = new ReplyReader();
  readonly #callMs: number;
  #pending: Pending[] = [];
  /** Pending calls before this one have their reply. */
  #answered = 0;
  #unsent = '';
  #unsentCalls = 0;
  #timer: NodeJS.Timeout | null = null;
  #isOpen = true;

  private constructor(address: string, socket: Socket, callMs: number) {
    this.address = address;
    this.#socket = socket;
    this.#callMs = callMs;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('close', () => this.#lose('the connection was closed'));
  }

  /** Connects, or rejects with ConnectionLost. `callMs` is how long each call may take. */
  static open(
    address: string,
    { connectMs = 1_000, callMs = 10_000 }: { connectMs?: number; callMs?: number } = {},
  ): Promise<RespConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect(parseAddress(address));
      const fail = (why: string): void => {
        socket.destroy();
        reject(new ConnectionLost(`${address}: ${why}`, false));
      };
      const timer = setTimeout(() => fail('no answer in time'), connectMs);
      // Stays for the socket's whole life: what follows an error is always a close.
      socket.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        fail(error.code ?? error.message);
      });
      socket.once('connect', () => {
        clearTimeout(timer);
        resolve(new RespConnection(address, socket, callMs));
      });
    });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Calls that wait for their reply. */
  get inFlight(): number {
    return this.#pending.length - this.#answered;
  }

  /** Rejects with ConnectionLost. */
  call(words: readonly string[]): Promise<Reply> {
    if (!this.#isOpen) {
      return Promise.reject(new ConnectionLost(`${this.address}: the connection is closed`, false));
    }
    return new Promise((resolve, reject) => {
      this.#pending.push({ dueMs: performance.now() + this.#callMs, resolve, reject });
      this.#unsent += encodeCommand(words);
      this.#unsentCalls++;
      if (this.#unsentCalls === 1) setImmediate(() => this.#flush());
      this.#timer ??= setTimeout(() => this.#checkTime(), this.#callMs);
    });
  }

  close(): void {
    this.#lose('closed by this side');
  }

  #flush(): void {
    const text = this.#unsent;
    this.#unsent = '';
    this.#unsentCalls = 0;
    if (this.#isOpen) this.#socket.write(text, 'latin1');
  }

  #receive(chunk: Buffer): void {
    try {
      this.#reader.feed(chunk);
      for (let reply = this.#reader.next(); reply !== undefined; reply = this.#reader.next()) {
        const pending = this.#pending[this.#answered];
        if (pending === undefined) return this.#lose('a reply that nobody asked for');
        this.#answered++;
        pending.resolve(reply);
      }
    } catch (error) {
      return this.#lose((error as Error).message);
    }
    if (this.#answered * 2 >= this.#pending.length) {
      this.#pending = this.#pending.slice(this.#answered);
      this.#answered = 0;
    }
  }

  #checkTime(): void {
    this.#timer = null;
    const first = this.#pending[this.#answered];
    if (first === undefined) return;
    const leftMs = first.dueMs - performance.now();
    if (leftMs <= 0) this.#lose(`no reply in ${this.#callMs} ms`);
    else this.#timer = setTimeout(() => this.#checkTime(), leftMs);
  }

  #lose(why: string): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#socket.destroy();
    if (this.#timer !== null) clearTimeout(this.#timer);
    const waiting = this.#pending.slice(this.#answered);
    this.#pending = [];
    this.#answered = 0;
    const sent = waiting.length - this.#unsentCalls;
    waiting.forEach((pending, i) => {
      pending.reject(new ConnectionLost(`${this.address}: ${why}`, i < sent));
    });
  }
}
