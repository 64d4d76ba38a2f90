// The manifest of a checkpoint: which segments the copy has and where the log ends in each. It is written before the
// copy's STORE, so that a directory with a STORE is a whole copy; it describes the copy as it was made, whatever became
// of it since.
//
//   offset size field                       offset size field
//   0      8    magic `FLCHKPT1`            48     8    epoch of the source
//   8      2    major, 1                    56     8    lastSeq: last batch in the copy
//   10     2    minor, 0                    64     4    header CRC of that batch
//   12     4    segments                    68     4    zero
//   16     16   uuid of the store           72     8    createdMs, for people
//   32     8    instance of the copy        80     24n  per segment, oldest first: segId, end, lastSeq
//   40     8    instance of the source      80+24n 4    CRC of everything before

import { crc32, putU16, putU32, putU64, u16At, u32At, u64At } from '@flotilla/codec';

export const checkpointName = 'CHECKPOINT';
const magic = 'FLCHKPT1';
const headBytes = 80;
const segmentBytes = 24;
/** No checkpoint has more segments; a longer file is not one. */
export const checkpointSegmentsMax = 1_000_000;

export interface CheckpointSegment {
  readonly segId: number;
  /** File offset behind its last batch. */
  readonly end: number;
  readonly lastSeq: number;
}

export interface CheckpointManifest {
  readonly uuid: Uint8Array;
  readonly instance: number;
  readonly sourceInstance: number;
  readonly epoch: number;
  readonly lastSeq: number;
  readonly lastHdrCrc: number;
  readonly createdMs: number;
  readonly segments: readonly CheckpointSegment[];
}

export function encodeCheckpoint(manifest: CheckpointManifest): Uint8Array {
  const { segments } = manifest;
  const bytes = new Uint8Array(headBytes + segmentBytes * segments.length + 4);
  for (let i = 0; i < magic.length; i++) bytes[i] = magic.charCodeAt(i);
  putU16(bytes, 8, 1);
  putU32(bytes, 12, segments.length);
  bytes.set(manifest.uuid.subarray(0, 16), 16);
  putU64(bytes, 32, manifest.instance);
  putU64(bytes, 40, manifest.sourceInstance);
  putU64(bytes, 48, manifest.epoch);
  putU64(bytes, 56, manifest.lastSeq);
  putU32(bytes, 64, manifest.lastHdrCrc);
  putU64(bytes, 72, manifest.createdMs);
  segments.forEach((segment, i) => {
    const at = headBytes + segmentBytes * i;
    putU64(bytes, at, segment.segId);
    putU64(bytes, at + 8, segment.end);
    putU64(bytes, at + 16, segment.lastSeq);
  });
  putU32(bytes, bytes.length - 4, crc32(bytes, 0, bytes.length - 4));
  return bytes;
}

/** The manifest, or null where the bytes are not a whole one of major 1. */
export function decodeCheckpoint(bytes: Uint8Array): CheckpointManifest | null {
  if (bytes.length < headBytes + 4) return null;
  for (let i = 0; i < magic.length; i++) if (bytes[i] !== magic.charCodeAt(i)) return null;
  const count = u32At(bytes, 12);
  if (count > checkpointSegmentsMax || bytes.length !== headBytes + segmentBytes * count + 4) {
    return null;
  }
  if (crc32(bytes, 0, bytes.length - 4) !== u32At(bytes, bytes.length - 4)) return null;
  if (u16At(bytes, 8) !== 1) return null;
  const segments: CheckpointSegment[] = [];
  for (let at = headBytes; at < bytes.length - 4; at += segmentBytes) {
    const segment = {
      segId: u64At(bytes, at),
      end: u64At(bytes, at + 8),
      lastSeq: u64At(bytes, at + 16),
    };
    if (segment.segId < 1 || segment.end < 0 || segment.lastSeq < 0) return null;
    segments.push(segment);
  }
  return {
    uuid: bytes.slice(16, 32),
    instance: u64At(bytes, 32),
    sourceInstance: u64At(bytes, 40),
    epoch: u64At(bytes, 48),
    lastSeq: u64At(bytes, 56),
    lastHdrCrc: u32At(bytes, 64),
    createdMs: u64At(bytes, 72),
    segments,
  };
}
