// A batch that is too large to be held in memory at once: its checksum is computed piece by piece, then its records are
// checked and handed on in parts of whole records. Nothing is handed on before all of it was checked, as with a batch
// that is held whole; the price is that it is read three times.
//
// One record is never cut, but for an entry that is too large itself: its block is verified piece by piece and only its
// first bytes (head, block header, table) are handed on. Records that introduce groups are held whole however large.

import {
  blockBytesAt,
  blockBytesMax,
  blockCount,
  blockFirstIndex,
  blockHeaderBytes,
  blockTableSlotBytes,
  blockTerm,
  crc32,
  entriesFlagRewrite,
  ignorableTypeMin,
  type RecordHead,
  recordHeadAt,
  recordHeadBytes,
  recordTypes,
  storedLenOf,
  u32At,
} from '@flotilla/codec';
import type { Disk, File, IoError } from '@flotilla/io';
import { brokenBlock, checkRecords, entriesFault, format, unknownFlags } from './check-records.ts';
import { readFully } from './disk-steps.ts';
import { batchHeaderBytes } from './format.ts';
import type { BatchFault } from './scan.ts';
import type { WindowReader } from './window-reader.ts';

/** Batches up to this are held whole. A writer with its options as they come makes none that is larger. */
export const wholeBatchBytesMax: number = 16 * 1024 * 1024;
const partBytes = 4 * 1024 * 1024;

/** What is held of a batch; smaller for tests, which then see parts and cut records everywhere. */
export interface HeldLimits {
  readonly wholeBatchBytesMax: number;
  readonly partBytes: number;
}
export const heldLimits: HeldLimits = { wholeBatchBytesMax, partBytes };
const pieceBytes = 1024 * 1024;
const headBytes = 4096;

export interface BatchPart {
  readonly bytes: Uint8Array;
  /** Index in `bytes` of the first record, and behind the last one. */
  readonly recordsAt: number;
  readonly recordsEnd: number;
  /** Bytes of the body before the first record here. */
  readonly before: number;
  /** The only record here is too large to be held: `bytes` ends inside it, behind its table. */
  readonly isCut: boolean;
}

export interface LargeBatch {
  readonly offset: number;
  readonly length: number;
  readonly bodyLen: number;
  readonly recordCount: number;
  readonly bodyCrc: number;
}

export type LargeEnd =
  | { readonly kind: 'whole' }
  | { readonly kind: 'body'; readonly computed: number }
  | { readonly kind: 'fault'; readonly fault: BatchFault };

const shrunk = (): IoError =>
  Object.assign(new Error('it became shorter while it was read'), { code: 'EIO' });

/** Reads a batch whose header was checked through `reader`; `visit` sees its records in order, once all of them hold. */
export function readLargeBatch(
  reader: WindowReader,
  batch: LargeBatch,
  limits: HeldLimits,
  visit: (part: BatchPart) => BatchFault | null,
  callback: (error: IoError | null, end: LargeEnd) => void,
): void {
  const bodyAt = batch.offset + batchHeaderBytes;
  const bodyEnd = bodyAt + batch.bodyLen;
  const { recordCount } = batch;
  let isChecked = false;
  let offset = bodyAt;
  let records = 0;

  const fail = (error: IoError): void => callback(error, undefined as never);
  const refuse = (fault: BatchFault): void => callback(null, { kind: 'fault', fault });

  /** Loads up to `length` bytes from `offset` on; answers their index in the window. */
  const load = (
    length: number,
    use: (bytes: Uint8Array, at: number, loaded: number) => void,
  ): void =>
    reader.load(offset, length, (error) => {
      if (error !== null) return fail(error);
      if (reader.length < length) return fail(shrunk());
      use(reader.bytes, reader.at(offset), reader.length);
    });

  const sum = (crc: number): void => {
    const end = batch.offset + batch.length;
    if (offset === end) {
      if (crc !== batch.bodyCrc) return callback(null, { kind: 'body', computed: crc });
      return walk();
    }
    load(Math.min(pieceBytes, end - offset), (bytes, at, loaded) => {
      const length = Math.min(loaded, end - offset);
      offset += length;
      sum(crc32(bytes, at, at + length, crc));
    });
  };

  const walk = (): void => {
    offset = bodyAt;
    records = 0;
    next();
  };

  const next = (): void => {
    if (records === recordCount || offset === bodyEnd) {
      if (records < recordCount) return refuse(impossibleHead());
      if (offset < bodyEnd) {
        const text = `${recordCount} records end ${bodyEnd - offset} bytes before the body does`;
        return refuse(format(text));
      }
      if (isChecked) return callback(null, { kind: 'whole' });
      isChecked = true;
      return walk();
    }
    load(Math.min(limits.partBytes, bodyEnd - offset), gather);
  };

  const impossibleHead = (): BatchFault =>
    format(`record ${records} at +${offset - bodyAt} has an impossible head`);

  const gather = (bytes: Uint8Array, from: number, loaded: number): void => {
    const end = from + Math.min(limits.partBytes, loaded, bodyEnd - offset);
    let at = from;
    let count = 0;
    while (at < end && records + count < recordCount) {
      if (end - at < recordHeadBytes && offset + (end - from) < bodyEnd) break;
      const head = recordHeadAt(bytes, at, at + (bodyEnd - offset) - (at - from));
      if (head === null) {
        if (count > 0) break;
        return refuse(impossibleHead());
      }
      if (at + head.recLen > end) {
        if (count > 0) break;
        // What stands at its head is looked at before more of it is loaded.
        return load(Math.min(headBytes, bodyEnd - offset), (loadedBytes, start) =>
          large(loadedBytes, start, head),
        );
      }
      at += head.recLen;
      count++;
    }
    take({ bytes, recordsAt: from, recordsEnd: at, before: offset - bodyAt, isCut: false }, count);
  };

  /** A record that is longer than what is loaded. */
  const large = (bytes: Uint8Array, at: number, head: RecordHead): void => {
    const { type, recLen } = head;
    const block = at + recordHeadBytes;
    const isEntry =
      type === recordTypes.entries &&
      recLen >= recordHeadBytes + blockHeaderBytes + blockTableSlotBytes &&
      (blockCount(bytes, block) === 1 || recLen > blockBytesMax + recordHeadBytes + 8);
    const cut = { bytes, recordsAt: at, recordsEnd: at + recLen, before: offset - bodyAt };
    const isMeaningless =
      type === recordTypes.pad || type === recordTypes.footer || type >= ignorableTypeMin;
    if (isMeaningless || (isChecked && isEntry)) return take({ ...cut, isCut: true }, 1);
    if (!isEntry) {
      return load(recLen, (whole, from) => {
        const part = { bytes: whole, recordsAt: from, recordsEnd: from + recLen };
        take({ ...part, before: offset - bodyAt, isCut: false }, 1);
      });
    }
    const { before, after } = largeBlockFaults(bytes, at, recLen);
    if (before !== null) return refuse(named(before, head));
    const stored = u32At(bytes, block + 24);
    const from = offset;
    const to = from + recordHeadBytes + blockBytesAt(bytes, block);
    const seed = crc32(bytes, block - 8, block + 24);
    offset += recordHeadBytes + 28;
    const step = (crc: number): void => {
      if (offset === to) {
        offset = from;
        if (crc !== stored) return refuse(named(brokenBlock('crc'), head));
        if (after !== null) return refuse(named(after, head));
        records++;
        offset += recLen;
        return next();
      }
      load(Math.min(pieceBytes, to - offset), (piece, start, loaded) => {
        const length = Math.min(loaded, to - offset);
        offset += length;
        step(crc32(piece, start, start + length, crc));
      });
    };
    step(seed);
  };

  const named = ({ fault, summary }: BatchFault, { type, groupId }: RecordHead): BatchFault => {
    const what = `record ${records} at +${offset - bodyAt} (type ${type}, group ${groupId})`;
    return { fault, summary: `${what}: ${summary}` };
  };

  const take = (part: BatchPart, count: number): void => {
    const { bytes, recordsAt, recordsEnd } = part;
    const before = { records, bytes: part.before };
    const fault = isChecked
      ? visit(part)
      : checkRecords(bytes, recordsAt, recordsEnd, count, before);
    if (fault !== null) return refuse(fault);
    records += count;
    offset += recordsEnd - recordsAt;
    next();
  };

  sum(0);
}

/**
 * What is wrong with the head of a record of one large entry, in the order and the words of check-records.ts: `before` its
 * checksum is computed, and `after` it was found right. The record is longer than any of several entries may be, so that
 * of their table nothing is asked.
 */
export function largeBlockFaults(
  bytes: Uint8Array,
  at: number,
  recLen: number,
): { readonly before: BatchFault | null; readonly after: BatchFault | null } {
  const block = at + recordHeadBytes;
  const flags = bytes[at + 1] as number;
  if ((flags & ~entriesFlagRewrite) !== 0) return { before: unknownFlags(flags), after: null };
  const blockBytes = blockBytesAt(bytes, block);
  if (blockBytes > recLen - recordHeadBytes) return { before: brokenBlock('short'), after: null };
  const count = blockCount(bytes, block);
  const tableEnd = blockHeaderBytes + blockTableSlotBytes * count;
  if (count === 0 || tableEnd > blockBytes) return { before: brokenBlock('shape'), after: null };
  const stored = storedLenOf(u32At(bytes, block + blockHeaderBytes));
  const isShaped =
    blockFirstIndex(bytes, block) >= 1 &&
    blockTerm(bytes, block) >= 0 &&
    (count > 1 || tableEnd + stored === blockBytes);
  const after = isShaped ? entriesFault(bytes, block, recLen) : brokenBlock('shape');
  return { before: null, after };
}

/** Records of entries longer than this are verified piece by piece. */
export const wholeRecordBytesMax: number = partBytes;

/**
 * Verifies a record of one large entry where it stands. `bytes` are its first ones: head, block header and table;
 * `broken` says why it is none, or null.
 */
export function readLargeRecord(
  disk: Disk,
  file: File,
  { offset, recLen }: { readonly offset: number; readonly recLen: number },
  callback: (
    error: IoError | null,
    found: { readonly bytes: Uint8Array; readonly broken: string | null },
  ) => void,
): void {
  const bytes = new Uint8Array(headBytes);
  const answer = (broken: string | null): void => callback(null, { bytes, broken });
  readFully(disk, file, bytes, offset, (error) => {
    if (error !== null) return callback(error, undefined as never);
    const head = recordHeadAt(bytes, 0, recLen);
    if (head === null || head.type !== recordTypes.entries || head.recLen !== recLen)
      return answer('no ENTRIES record of this length stands there');
    const { before, after } = largeBlockFaults(bytes, 0, recLen);
    if (before !== null) return answer(before.summary);
    const block = recordHeadBytes;
    const range = {
      from: offset + block + 28,
      to: offset + block + blockBytesAt(bytes, block),
      seed: crc32(bytes, block - 8, block + 24),
    };
    sumOfFile(disk, file, range, (sumError, crc) => {
      if (sumError !== null) return callback(sumError, undefined as never);
      if (crc !== u32At(bytes, block + 24)) return answer(brokenBlock('crc').summary);
      answer(after === null ? null : after.summary);
    });
  });
}

/** The CRC-32 of the bytes [from, to) of a file, continued from `seed`; bytes behind its end count as zeros. */
export function sumOfFile(
  disk: Disk,
  file: File,
  range: { readonly from: number; readonly to: number; readonly seed: number },
  callback: (error: IoError | null, crc: number) => void,
): void {
  const piece = new Uint8Array(Math.min(pieceBytes, range.to - range.from));
  const step = (from: number, seed: number): void => {
    if (from === range.to) return callback(null, seed);
    const part = piece.subarray(0, Math.min(pieceBytes, range.to - from));
    readFully(disk, file, part, from, (error, bytes) => {
      if (error !== null) return callback(error, 0);
      if (bytes < part.length) part.fill(0, bytes);
      step(from + part.length, crc32(part, 0, part.length, seed));
    });
  };
  step(range.from, range.seed);
}
