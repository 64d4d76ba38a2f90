// Net over node:net. Buffers of one write leave in one writev; Nagle's delay is off. Every failure arrives as a callback
// after the call that caused it: an address that cannot be parsed or resolved, a socket that died before it was accepted,
// a write on a connection that is closed or closing.

import * as net from 'node:net';
import type { Callback, Conn, ConnHandlers, Done, IoError, Listener, Net } from './world.ts';

const silent: ConnHandlers = { onData() {}, onDrain() {}, onClose() {} };

/**
 * The mark over which write() answers false. Node's own, 16 KiB, would say so for every frame of a busy host; a megabyte
 * is about one frame in the making while another is on its way.
 */
const writableHighWaterMark = 2 ** 20;

/**
 * What every socket reads into, in turn: the bytes are taken out of it before the event loop goes on. Without it Node
 * allocates 64 KiB outside its heap for each read, and a busy host spends a tenth of its time on collecting them.
 */
const readBuffer: Uint8Array = new Uint8Array(256 << 10);

/** The handle of an accepted socket, which only a new socket can be given a read buffer with (decision 0006). */
interface HandleOwner {
  _handle: unknown;
}

/** Options that every socket takes and the types of its constructor leave out. */
interface SocketOptions extends net.SocketConstructorOpts {
  readonly writableHighWaterMark: number;
  readonly onread: {
    readonly buffer: Uint8Array;
    readonly callback: (bytes: number, buffer: Uint8Array) => boolean;
  };
  readonly handle?: unknown;
}

class NodeConn implements Conn {
  readonly remote: string;
  readonly #socket: net.Socket;
  #handlers: ConnHandlers = silent;
  #error: IoError | null = null;

  /** `accepted` is the socket a server made; without it this is a dialled connection that stands still until connect(). */
  constructor(remote: string, accepted: net.Socket | null) {
    const owner = accepted as unknown as HandleOwner | null;
    const options: SocketOptions = {
      writableHighWaterMark,
      onread: {
        buffer: readBuffer,
        callback: (bytes, buffer) => {
          this.#handlers.onData(buffer.subarray(0, bytes));
          return true;
        },
      },
      ...(owner === null ? {} : { handle: owner._handle }),
    };
    if (owner !== null) owner._handle = null;
    const socket = new net.Socket(options);
    this.#socket = socket;
    this.remote = remote;
    socket.setNoDelay(true);
    socket.on('connect', () => this.#handlers.onOpen?.());
    // The server counts the socket that it made: it ends with ours.
    if (accepted !== null) socket.once('close', () => accepted.destroy());
    socket.on('drain', () => this.#handlers.onDrain());
    socket.on('error', (error: IoError) => {
      this.#error = error;
    });
    socket.on('close', () => this.#handlers.onClose(this.#error));
  }

  attach(handlers: ConnHandlers): void {
    this.#handlers = handlers;
  }

  connect(address: string): void {
    try {
      this.#socket.connect(parseAddress(address));
    } catch (error) {
      this.#socket.destroy(error as Error);
    }
  }

  get pendingBytes(): number {
    return this.#socket.writableLength;
  }

  write(buffers: readonly Uint8Array[], written?: Done): boolean {
    const socket = this.#socket;
    const last = buffers.length - 1;
    if (last < 0 || socket.destroyed || socket.writableEnded) {
      // Nothing will leave here, but the caller is still owed its one answer.
      const error = last < 0 && !socket.destroyed ? null : closedError();
      if (written !== undefined) setImmediate(() => written(error));
      return !socket.writableNeedDrain;
    }
    // Node answers a write that was cut off by destroy() as if it had succeeded.
    const done =
      written === undefined
        ? undefined
        : (error?: Error | null) => written(error ?? (socket.destroyed ? closedError() : null));
    if (last === 0) return socket.write(buffers[0] as Uint8Array, done);
    socket.cork();
    let below = true;
    for (let i = 0; i <= last; i++) {
      below = socket.write(buffers[i] as Uint8Array, i === last ? done : undefined);
    }
    socket.uncork();
    return below && !socket.writableNeedDrain;
  }

  pauseReading(): void {
    this.#socket.pause();
  }

  resumeReading(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

export class NodeNet implements Net {
  listen(
    address: string,
    accept: (conn: Conn) => ConnHandlers | null,
    callback: Callback<Listener>,
  ): void {
    const { host, port } = parseAddress(address);
    const server = net.createServer({ pauseOnConnect: true }, (socket) => {
      const remote = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
      const conn = new NodeConn(remote, socket);
      const handlers = accept(conn);
      if (handlers === null) conn.destroy();
      else conn.attach(handlers);
    });
    server.once('error', (error: IoError) => callback(error, undefined as never));
    server.listen(port, host, () => {
      server.removeAllListeners('error');
      server.on('error', () => {}); // a failed accept (EMFILE) leaves the listener as it is
      const bound = server.address() as net.AddressInfo;
      callback(null, {
        address: formatAddress(bound.address, bound.port),
        close: (done) => void server.close(() => done()),
      });
    });
  }

  dial(address: string, handlers: ConnHandlers): Conn {
    const conn = new NodeConn(address, null);
    conn.attach(handlers);
    conn.connect(address);
    return conn;
  }
}

function closedError(): IoError {
  return Object.assign(new Error('the connection is closed'), { code: 'ERR_STREAM_DESTROYED' });
}

/** Splits `host:port` or `[v6]:port`. Throws RangeError on anything else. */
export function parseAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s]+)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535) {
    throw new RangeError(`address must be host:port, not ${JSON.stringify(address)}`);
  }
  return { host, port };
}

function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
