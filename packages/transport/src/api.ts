// The seam between the transport and the host: peers, lanes and frames. The transport knows nothing of Raft: a frame's
// body is records that the host makes and reads; the transport proves who sent it, bounds its length and checks its CRC.

import type { Clock, Done, FlotillaError, Net, Rng } from '@flotilla/io';

export interface TransportWorld {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly net: Net;
}

/** `control` is never behind bulk data; `append` carries blocks one way and their answers the other. */
export type Lane = 'control' | 'append';
export const lanes: readonly Lane[] = ['control', 'append'];

export interface TransportOptions {
  readonly nodeId: number;
  /** 16 bytes each. */
  readonly clusterId: Uint8Array;
  readonly storeUuid: Uint8Array;
  readonly instance: number;
  readonly epoch: number;
  /** host:port to listen on. */
  readonly listen: string;
  /** Largest frame body accepted, default 9 MiB; at least entryBytesMax + 64 KiB. */
  readonly frameBytesMax?: number;
  readonly entryBytesMax?: number;
  readonly handshakeMs?: number;
  /** Delays between dials in ms; dropped at the first success. Default: constant 500. */
  readonly backoff?: () => Iterator<number, never>;
  /** Unsent bytes per peer and lane over which appends are dropped and the append connection closes, default 64 MiB. */
  readonly pendingBytesMax?: number;
  /** Connections that have not finished their handshake, in all and from one address. Defaults 256, 64. */
  readonly halfOpenMax?: number;
  readonly halfOpenPerAddressMax?: number;
  /** Allows listening on an address that is not loopback without TLS. */
  readonly insecureNetwork?: boolean;
}

export interface PeerOptions {
  readonly nodeId: number;
  /** host:port to dial. */
  readonly address: string;
  /** Identity the membership names, 0 = bind whatever comes first (onPeerIdentity tells it). */
  readonly instance: number;
}

/** One received frame; valid only during onFrame. */
export class ReceivedFrame {
  /** frameKinds: control, append or appendAnswer. */
  kind = 0;
  records = 0;
  /** The body is bytes[at, end); its covered part (all of it but an append's blocks) has been checked against its CRC. */
  bytes: Uint8Array = new Uint8Array(0);
  /** The memory of `bytes` as words, from its byte 0 on; `at` is a multiple of 4. */
  words: Int32Array = new Int32Array(0);
  at = 0;
  end = 0;
  /** Append frames: message heads are bytes[at + 8, headsEnd), the shared run of records bytes[headsEnd, end). Else = end. */
  headsEnd = 0;
}

export interface TransportEvents {
  onFrame(peer: Peer, frame: ReceivedFrame): void;
  /** A lane's handshake is done. Control first is not promised. */
  onLaneUp(peer: Peer, lane: Lane): void;
  onLaneDown(peer: Peer, lane: Lane, reason: string): void;
  /** After canSendAppend was false: it is true again. */
  onDrain(peer: Peer): void;
  /** First contact under instance 0: to be remembered durably. */
  onPeerIdentity(peer: Peer, instance: number): void;
  /** Something a person should know: a rejected handshake, a protocol violation. At a limited rate. */
  onProblem(error: FlotillaError): void;
}

export interface TransportCounters {
  framesSent: number;
  framesReceived: number;
  bytesSent: number;
  bytesReceived: number;
  handshakesRejected: number;
  protocolViolations: number;
  reconnects: number;
}

export interface Peer {
  readonly nodeId: number;
  /** Proven by the living connection; 0 before the first handshake. */
  readonly instance: number;
  readonly epoch: number;
  /** Counts the append lane's connections: what was made for another one must not leave. */
  readonly appendConnection: number;
  isUp(lane: Lane): boolean;
  /** False while the append lane is down or its socket is over its mark. Looked at when a frame is built. */
  readonly canSendAppend: boolean;
  readonly pendingBytes: number;
  /** The largest frame body that may be sent now: the peer's limit, as its living connections named it, or our own. */
  readonly frameBytesMax: number;
  /**
   * Sends one frame of records bytes[0, length) on a lane: `control`, or `appendAnswer` on the append lane. Copies the
   * bytes; dropped (false) where the lane is down or over its cap. RangeError: `length` is 0 or above frameBytesMax,
   * `records` above 65,535.
   */
  sendRecords(kind: number, records: number, bytes: Uint8Array, length: number): boolean;
  /**
   * Sends an append frame: heads[0, headsLength) are message heads (copied), `ranges` the shared run of records (not
   * copied: they must not change until `written`). False: nothing was taken and `written` will not be called. Else it is
   * called once, with an error if the connection died. RangeError as above.
   */
  sendAppend(
    records: number,
    heads: Uint8Array,
    headsLength: number,
    ranges: readonly Uint8Array[],
    written: Done,
  ): boolean;
  /** The peer broke the protocol above the frame: closes its connections with that reason. */
  reject(reason: string): void;
}

export interface Transport {
  /** The address that was bound. */
  readonly address: string;
  readonly counters: Readonly<TransportCounters>;
  /** Sockets that stand now, for each pair at most one a lane. */
  readonly sockets: number;
  /** Connections that stand and belong to no lane: not proven yet, or just refused. */
  readonly halfOpen: number;
  /**
   * Makes the peer known and, if our node id is the smaller one, dials it from the next turn on. Neither connects nor
   * fails. Of a peer that is known it changes the address of the next dial and, unless 0, the instance: connections of
   * another instance close.
   */
  addPeer(options: PeerOptions): Peer;
  peer(nodeId: number): Peer | undefined;
  /** Closes everything; no event follows. `written` calls may. */
  close(done: Done): void;
}
