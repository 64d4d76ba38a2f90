// The RESP server of one node: listens, makes a session of each connection, sends replies in batches, and looks after the
// lanes that wait for a leader. The only file of this package that touches a socket.

import * as net from 'node:net';
import { FlotillaError, type Timer } from '@flotilla/io';
import { splitAddress } from '@flotilla/sharding';
import type { ClientState } from './command-spec.ts';
import type { Lane } from './lane.ts';
import type { KvServices } from './services.ts';
import { type ClientSocket, Session, type SessionLimits } from './session.ts';

export interface ServerLimits extends SessionLimits {
  /** Connections at once. Default 10,000. */
  readonly clientsMax: number;
  /** Memory for commands of which only a part has arrived, over all clients; above it the client that asks is dropped. */
  readonly bufferedBytesMax: number;
}

/** How often a lane without a leader looks again. */
const holdPollMs = 10;
const refusal = '-ERR max number of clients reached\r\n';

/** The two duties of a server that lanes and sessions call: given to KvServices. */
export class Flusher {
  readonly #clock: KvServices['clock'];
  #dirty: Session[] = [];
  readonly #flushAll: () => void;

  constructor(clock: KvServices['clock']) {
    this.#clock = clock;
    this.#flushAll = () => {
      const sessions = this.#dirty;
      this.#dirty = [];
      for (const session of sessions) {
        session.isFlushScheduled = false;
        session.flush();
      }
    };
  }

  schedule(session: Session): void {
    if (session.isFlushScheduled) return;
    session.isFlushScheduled = true;
    // By the next turn all completions of this one have run, and all sockets that were readable have been read: what
    // they answer to one client goes out in one write.
    if (this.#dirty.push(session) === 1) this.#clock.nextTurn(this.#flushAll);
  }
}

/** Lanes whose first command waits. One timer for all, and none while there are none. */
export class HeldLanes {
  readonly #clock: KvServices['clock'];
  readonly #lanes: Set<Lane> = new Set();
  #timer: Timer | null = null;

  constructor(clock: KvServices['clock']) {
    this.#clock = clock;
  }

  add(lane: Lane): void {
    this.#lanes.add(lane);
    this.#arm();
  }

  remove(lane: Lane): void {
    this.#lanes.delete(lane);
  }

  close(): void {
    this.#timer?.cancel();
    this.#lanes.clear();
  }

  #arm(): void {
    this.#timer ??= this.#clock.at(this.#clock.monotonicMs() + holdPollMs, () => this.#poll());
  }

  #poll(): void {
    this.#timer = null;
    for (const lane of [...this.#lanes]) if (!lane.retry()) this.#lanes.delete(lane);
    if (this.#lanes.size > 0) this.#arm();
  }
}

export class KvServer {
  readonly #services: KvServices;
  readonly #limits: ServerLimits;
  readonly #sessions: Map<number, Session> = new Map();
  readonly #sockets: Set<net.Socket> = new Set();
  readonly #server: net.Server;
  #nextId = 1;
  #bufferedBytes = 0;

  constructor(services: KvServices, limits: ServerLimits) {
    this.#services = services;
    this.#limits = limits;
    this.#server = net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) =>
      this.#accept(socket),
    );
  }

  /** Listens on `host:port` and answers the address that was bound. */
  listen(address: string): Promise<string> {
    const at = splitAddress(address);
    if (at === null) throw new RangeError(`not a listening address: ${address}`);
    return new Promise((resolve, reject) => {
      const refuse = (error: NodeJS.ErrnoException): void => {
        reject(
          new FlotillaError(
            'IO_REFUSED',
            `cannot listen on ${address}`,
            { code: error.code },
            error,
          ),
        );
      };
      this.#server.once('error', refuse);
      this.#server.listen(at.port, at.host, () => {
        this.#server.off('error', refuse);
        this.#server.on('error', () => undefined);
        const bound = this.#server.address();
        resolve(typeof bound === 'object' && bound !== null ? `${at.host}:${bound.port}` : address);
      });
    });
  }

  clients(): Iterable<ClientState> {
    return this.#sessions.values();
  }

  /** A session for a connection that stands; its bytes come through onData() and onDrain(). */
  attach(socket: ClientSocket, address: string): Session {
    const { counters } = this.#services;
    counters.connectionsAccepted++;
    counters.connectionsOpen++;
    const identity = { id: this.#nextId++, address };
    const session = new Session(identity, socket, this.#services, this.#limits);
    this.#sessions.set(session.id, session);
    return session;
  }

  /** The connection is gone. */
  detach(session: Session): void {
    if (!this.#sessions.delete(session.id)) return;
    this.#services.counters.connectionsOpen--;
    this.#bufferedBytes -= session.bufferedBytes;
    session.close();
  }

  /** Stops listening and drops every connection. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  #accept(socket: net.Socket): void {
    const { counters } = this.#services;
    if (this.#sessions.size >= this.#limits.clientsMax) {
      counters.connectionsRefused++;
      socket.on('error', () => undefined);
      socket.end(refusal);
      socket.destroySoon();
      socket.resume();
      return;
    }
    const remote = socket.remoteAddress ?? 'unknown';
    const session = this.attach(socket, `${remote}:${socket.remotePort ?? 0}`);
    this.#sockets.add(socket);
    socket.on('data', (chunk: Buffer) => this.#receive(session, socket, chunk));
    socket.on('drain', () => session.onDrain());
    socket.on('end', () => session.onEnd());
    // `close` follows every error and every end.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.detach(session);
    });
  }

  #receive(session: Session, socket: net.Socket, chunk: Buffer): void {
    const before = session.bufferedBytes;
    session.onData(chunk);
    this.#bufferedBytes += session.bufferedBytes - before;
    if (session.bufferedBytes > before && this.#bufferedBytes > this.#limits.bufferedBytesMax) {
      socket.destroy();
    }
  }
}
