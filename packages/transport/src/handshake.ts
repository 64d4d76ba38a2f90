// The three frames that open a connection: HELLO from the dialler, WELCOME or REJECT from the one who accepted.
// FORMAT.md is the specification of these layouts; golden bytes in test/handshake.test.ts hold them still.
//
//   HELLO, WELCOME                               REJECT
//   offset size field                            offset size field
//   0      8    magic "FLOTPEER"                 0      8    magic "FLOTPEER"
//   8      2    versionMin                       8      2    code, rejectCodes
//   10     2    versionMax                       10     2    versionMin of the sender
//   12     4    features                         12     2    versionMax of the sender
//   16     16   clusterId                        14     2    zero
//   32     16   storeUuid
//   48     8    instance
//   56     8    epoch
//   64     8    nodeId
//   72     8    targetNodeId
//   80     4    process
//   84     4    frameBytesMax
//   88     1    lane, laneNumbers
//   89     7    zero
//
// Readers check the magic, the length and every number's range, and ignore reserved bytes and what follows the last field,
// so that a later version can add fields without being unreadable to this one.

import {
  crc32,
  frameHeaderBytes,
  frameKinds,
  putFrameHeader,
  putU16,
  putU32,
  putU64,
  u16At,
  u32At,
  u64At,
} from '@flotilla/codec';
import type { Lane } from './api.ts';
import { idBytes } from './options.ts';

export const protocolVersionMin = 1;
export const protocolVersionMax = 1;
/** No optional feature exists in version 1. */
export const protocolFeatures = 0;

export const helloBytes = 96;
export const rejectBytes = 16;
/** Nothing longer is read before a handshake is done, nor as a REJECT after it. */
export const handshakeBytesMax = 256;

const magic: Uint8Array = Uint8Array.from('FLOTPEER', (letter) => letter.charCodeAt(0));

export const laneNumbers: Readonly<Record<Lane, number>> = { control: 1, append: 2 };
export function laneOf(number: number): Lane | null {
  if (number === laneNumbers.control) return 'control';
  return number === laneNumbers.append ? 'append' : null;
}

export const rejectCodes = {
  /** The cluster ids differ. */
  wrongCluster: 1,
  /** The dialled node id is not this host's, or the dialler's is not one that may dial it. */
  wrongNode: 2,
  /** The store or the instance is not the one that this node id is known by. */
  unknownStore: 3,
  /** No common protocol version, or a lane that is not known. */
  version: 4,
  /** An older epoch, or another process, of an identity that has a newer one. */
  duplicate: 5,
  /** Too many connections stand without a handshake. */
  busy: 6,
  /** The largest frame that the other side accepts cannot carry the largest entry. */
  frameLimit: 7,
} as const;
export type RejectReason = keyof typeof rejectCodes;

const reasonsByCode: ReadonlyMap<number, RejectReason> = new Map(
  (Object.keys(rejectCodes) as RejectReason[]).map((reason) => [rejectCodes[reason], reason]),
);

export interface Hello {
  readonly versionMin: number;
  readonly versionMax: number;
  readonly features: number;
  readonly clusterId: Uint8Array;
  readonly storeUuid: Uint8Array;
  readonly instance: number;
  readonly epoch: number;
  readonly nodeId: number;
  /** HELLO: the node that is dialled. WELCOME: the node that is answered. */
  readonly targetNodeId: number;
  /** Drawn when a transport opens: tells two living processes of one identity apart. */
  readonly process: number;
  readonly frameBytesMax: number;
  readonly lane: number;
}

export interface Rejection {
  /** `unknown` is a code of a later version. */
  readonly reason: RejectReason | 'unknown';
  readonly versionMin: number;
  readonly versionMax: number;
}

/** A whole HELLO or WELCOME frame. */
export function encodeHello(kind: 'hello' | 'welcome', hello: Hello): Uint8Array {
  const bytes = new Uint8Array(frameHeaderBytes + helloBytes);
  const at = frameHeaderBytes;
  bytes.set(magic, at);
  putU16(bytes, at + 8, hello.versionMin);
  putU16(bytes, at + 10, hello.versionMax);
  putU32(bytes, at + 12, hello.features);
  bytes.set(hello.clusterId, at + 16);
  bytes.set(hello.storeUuid, at + 32);
  putU64(bytes, at + 48, hello.instance);
  putU64(bytes, at + 56, hello.epoch);
  putU64(bytes, at + 64, hello.nodeId);
  putU64(bytes, at + 72, hello.targetNodeId);
  putU32(bytes, at + 80, hello.process);
  putU32(bytes, at + 84, hello.frameBytesMax);
  bytes[at + 88] = hello.lane;
  return sealed(bytes, frameKinds[kind]);
}

/** A whole REJECT frame. */
export function encodeReject(reason: RejectReason): Uint8Array {
  const bytes = new Uint8Array(frameHeaderBytes + rejectBytes);
  const at = frameHeaderBytes;
  bytes.set(magic, at);
  putU16(bytes, at + 8, rejectCodes[reason]);
  putU16(bytes, at + 10, protocolVersionMin);
  putU16(bytes, at + 12, protocolVersionMax);
  return sealed(bytes, frameKinds.reject);
}

/** The HELLO or WELCOME in bytes[at, end), or null where it is none: a wrong magic, too short, a number out of range. */
export function decodeHello(bytes: Uint8Array, at: number, end: number): Hello | null {
  if (end - at < helloBytes || !hasMagic(bytes, at)) return null;
  const hello: Hello = {
    versionMin: u16At(bytes, at + 8),
    versionMax: u16At(bytes, at + 10),
    features: u32At(bytes, at + 12),
    // Copies: a Buffer's own slice() would be a view of memory that the next frame is read into.
    clusterId: Uint8Array.from(bytes.subarray(at + 16, at + 16 + idBytes)),
    storeUuid: Uint8Array.from(bytes.subarray(at + 32, at + 32 + idBytes)),
    instance: u64At(bytes, at + 48),
    epoch: u64At(bytes, at + 56),
    nodeId: u64At(bytes, at + 64),
    targetNodeId: u64At(bytes, at + 72),
    process: u32At(bytes, at + 80),
    frameBytesMax: u32At(bytes, at + 84),
    lane: bytes[at + 88] as number,
  };
  const isInRange =
    hello.versionMin >= 1 &&
    hello.versionMax >= hello.versionMin &&
    hello.instance >= 1 &&
    hello.epoch >= 0 &&
    hello.nodeId >= 1 &&
    hello.targetNodeId >= 1;
  return isInRange ? hello : null;
}

/** The REJECT in bytes[at, end), or null where it is none. */
export function decodeReject(bytes: Uint8Array, at: number, end: number): Rejection | null {
  if (end - at < rejectBytes || !hasMagic(bytes, at)) return null;
  return {
    reason: reasonsByCode.get(u16At(bytes, at + 8)) ?? 'unknown',
    versionMin: u16At(bytes, at + 10),
    versionMax: u16At(bytes, at + 12),
  };
}

function hasMagic(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < magic.length; i++) if (bytes[at + i] !== magic[i]) return false;
  return true;
}

function sealed(bytes: Uint8Array, kind: number): Uint8Array {
  putFrameHeader(bytes, 0, {
    bodyBytes: bytes.length - frameHeaderBytes,
    kind,
    flags: 0,
    records: 0,
    bodyCrc: crc32(bytes, frameHeaderBytes, bytes.length),
  });
  return bytes;
}
