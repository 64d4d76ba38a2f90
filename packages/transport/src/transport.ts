// Opens a transport: listens, judges who comes, and hands each proven connection to its peer's link.

import { frameKinds } from '@flotilla/codec';
import {
  type Conn,
  type ConnHandlers,
  type Done,
  FlotillaError,
  type Listener,
} from '@flotilla/io';
import type {
  Lane,
  Peer,
  PeerOptions,
  ReceivedFrame,
  Transport,
  TransportCounters,
  TransportEvents,
  TransportOptions,
  TransportWorld,
} from './api.ts';
import { Connection, type ConnectionOwner } from './connection.ts';
import { type Context, ourHello } from './context.ts';
import { decodeHello, encodeHello, type Hello, laneOf, type RejectReason } from './handshake.ts';
import { judgePeer, judgeStranger } from './judge.ts';
import { FrameMemory } from './frame-memory.ts';
import { Lobby } from './lobby.ts';
import { settingsOf } from './options.ts';
import { PeerState } from './peer.ts';
import { Problems } from './problems.ts';

/**
 * Listens and calls back once, never from inside this call: with CONFIG_INVALID for options that cannot work, IO_REFUSED
 * where the address cannot be bound. Nothing is dialled before a peer is added.
 */
export function openTransport(
  world: TransportWorld,
  options: TransportOptions,
  events: TransportEvents,
  callback: (error: FlotillaError | null, transport: Transport) => void,
): void {
  const settings = settingsOf(options);
  if (settings instanceof FlotillaError) {
    world.clock.nextTurn(() => callback(settings, undefined as never));
    return;
  }
  const context: Context = {
    world,
    settings,
    events,
    counters: {
      framesSent: 0,
      framesReceived: 0,
      bytesSent: 0,
      bytesReceived: 0,
      handshakesRejected: 0,
      protocolViolations: 0,
      reconnects: 0,
    },
    problems: new Problems(world.clock, (error) => {
      if (!context.closed) events.onProblem(error);
    }),
    lobby: new Lobby(settings.halfOpenMax, settings.halfOpenPerAddressMax),
    frameMemory: new FrameMemory(),
    process: world.rng.u32(),
    closed: false,
  };
  const transport = new OpenTransport(context);
  world.net.listen(
    settings.listen,
    (conn) => transport.accept(conn),
    (error, listener) => {
      if (error === null) {
        transport.listening(listener);
        callback(null, transport);
        return;
      }
      const message = `cannot listen on ${settings.listen}: ${error.message}`;
      const details = { address: settings.listen, reason: error.code };
      callback(new FlotillaError('IO_REFUSED', message, details, error), undefined as never);
    },
  );
}

class OpenTransport implements Transport, ConnectionOwner {
  readonly counters: Readonly<TransportCounters>;
  readonly #context: Context;
  readonly #peers: Map<number, PeerState> = new Map();
  #listener: Listener | null = null;

  constructor(context: Context) {
    this.#context = context;
    this.counters = context.counters;
  }

  listening(listener: Listener): void {
    this.#listener = listener;
  }

  get address(): string {
    return this.#listener?.address ?? this.#context.settings.listen;
  }

  get sockets(): number {
    let sockets = 0;
    for (const peer of this.#peers.values()) {
      sockets += (peer.control.isUp ? 1 : 0) + (peer.append.isUp ? 1 : 0);
    }
    return sockets;
  }

  get halfOpen(): number {
    return this.#context.lobby.size;
  }

  addPeer(options: PeerOptions): Peer {
    const { nodeId, instance } = options;
    if (!Number.isSafeInteger(nodeId) || nodeId < 1 || nodeId === this.#context.settings.nodeId) {
      throw new RangeError(`nodeId must be another host's, an integer from 1 on, not ${nodeId}`);
    }
    if (!Number.isSafeInteger(instance) || instance < 0) {
      throw new RangeError(`instance must be an integer from 0 on, not ${instance}`);
    }
    const known = this.#peers.get(nodeId);
    if (known !== undefined) {
      known.update(options);
      return known;
    }
    const peer = new PeerState(this.#context, options);
    this.#peers.set(nodeId, peer);
    return peer;
  }

  peer(nodeId: number): Peer | undefined {
    return this.#peers.get(nodeId);
  }

  close(done: Done): void {
    const { clock } = this.#context.world;
    if (this.#context.closed) {
      clock.nextTurn(() => done(null));
      return;
    }
    this.#context.closed = true;
    for (const peer of this.#peers.values()) {
      peer.control.stop();
      peer.append.stop();
    }
    this.#context.lobby.evictAll();
    const listener = this.#listener;
    if (listener === null) clock.nextTurn(() => done(null));
    else listener.close(() => done(null));
  }

  accept(conn: Conn): ConnHandlers | null {
    if (this.#context.closed) return null;
    const connection = new Connection(this.#context, this, [frameKinds.hello]);
    connection.attach(conn);
    this.#context.lobby.enter(connection);
    return connection;
  }

  onOpen(): void {}

  /** The HELLO of an accepted connection. */
  onFrame(connection: Connection, frame: ReceivedFrame): void {
    const hello = decodeHello(frame.bytes, frame.at, frame.end);
    if (hello === null) {
      connection.onViolation('handshake');
      return;
    }
    const { settings } = this.#context;
    const refusal = judgeStranger(hello, settings);
    const peer = this.#peers.get(hello.nodeId);
    if (refusal !== null) return this.#refuse(connection, hello, refusal);
    // The smaller id dials: a larger one that does takes itself or us for somebody else.
    if (peer === undefined || hello.nodeId > settings.nodeId) {
      return this.#refuse(connection, hello, 'wrongNode');
    }
    const lane: Lane | null = laneOf(hello.lane);
    if (lane === null) return this.#refuse(connection, hello, 'version');
    const doubt = judgePeer(hello, settings, peer);
    if (doubt !== null) return this.#refuse(connection, hello, doubt);
    const isBound = peer.prove(hello);
    const welcome = encodeHello('welcome', ourHello(this.#context, hello.nodeId, lane));
    connection.write([welcome], welcome.length);
    const link = peer.linkOf(lane);
    link.adopt(connection, hello);
    peer.announce(connection, link, isBound);
  }

  onDrain(): void {}

  onClosed(): void {}

  #refuse(connection: Connection, hello: Hello, reason: RejectReason): void {
    this.#context.counters.handshakesRejected += 1;
    connection.reject(reason);
    this.#context.problems.report(
      'HANDSHAKE_REJECTED',
      `refused ${connection.remote}, which says it is node ${hello.nodeId}: ${reason}`,
      { reason, nodeId: hello.nodeId, remote: connection.remote },
    );
  }
}
