// The header of every frame on a connection between hosts.
//
//   offset size field
//   0      4    bodyBytes   bytes after this header
//   4      1    kind        frameKinds
//   5      1    flags       zero in version 1
//   6      2    records     records in the body
//   8      4    bodyCrc     CRC-32 of the covered part of the body: its first `headsBytes` bytes in an append frame, else
//                           all of it
//   12     4    headerCrc   CRC-32 of bytes 0..12
//
// The body of an append frame is u32 headsBytes (this field and the next included), u32 zero, message heads up to
// headsBytes, then the shared part: a run of log records as they stand in the sender's log, each block with its own CRC.

import { crc32 } from './crc.ts';
import { putU16, putU32, u16At, u32At } from './integers.ts';

export const frameHeaderBytes = 16;

export const frameKinds = {
  hello: 1,
  welcome: 2,
  reject: 3,
  /** Control lane: beats, heartbeats, votes and read indexes. */
  control: 4,
  /** Append lane: heads of append messages, then the shared run of records. */
  append: 5,
  /** Append lane, other direction: answers to appends. */
  appendAnswer: 6,
} as const;
export type FrameKind = (typeof frameKinds)[keyof typeof frameKinds];

export interface FrameHeader {
  readonly bodyBytes: number;
  readonly kind: number;
  readonly flags: number;
  readonly records: number;
  readonly bodyCrc: number;
}

export function putFrameHeader(bytes: Uint8Array, at: number, header: FrameHeader): void {
  putU32(bytes, at, header.bodyBytes);
  bytes[at + 4] = header.kind;
  bytes[at + 5] = header.flags;
  putU16(bytes, at + 6, header.records);
  putU32(bytes, at + 8, header.bodyCrc);
  putU32(bytes, at + 12, crc32(bytes, at, at + 12));
}

/** The header at `at`, or null where its CRC fails. Its numbers are as sent: the caller checks them against its limits. */
export function frameHeaderAt(bytes: Uint8Array, at: number): FrameHeader | null {
  if (crc32(bytes, at, at + 12) !== u32At(bytes, at + 12)) return null;
  return {
    bodyBytes: u32At(bytes, at),
    kind: bytes[at + 4] as number,
    flags: bytes[at + 5] as number,
    records: u16At(bytes, at + 6),
    bodyCrc: u32At(bytes, at + 8),
  };
}
