// Walking the batches of one segment: from page 1 on, each batch is checked against what must stand there (place, life of
// the file, sequence, chain, both CRCs) and handed to a visitor; the first page that does not continue the log ends the
// walk with a fault that says what stands there instead.

import { alignUp, crc32, recordHeadBytes } from '@flotilla/codec';
import type { Disk, File, IoError } from '@flotilla/io';
import {
  batchBodyBytesMax,
  batchBodyCrcAt,
  batchBodyLenAt,
  batchDurableSeqAt,
  batchEpochAt,
  batchFlagsAt,
  batchHdrCrcAt,
  batchHeaderBytes,
  batchHeaderLenAt,
  batchMajorAt,
  batchPageAt,
  batchPrevHdrCrcAt,
  batchRecordsAt,
  batchSaltAt,
  batchSegIdAt,
  batchSeqAt,
  formatMajor,
  isBatchHeader,
  knownBatchFlags,
  pageBytes,
} from './format.ts';
import { type BatchPart, type HeldLimits, heldLimits, readLargeBatch } from './large-batch.ts';
import type { ScanAhead } from './scan-ahead.ts';
import type { TailFault } from './verdict.ts';
import { isZeroPage, WindowBuffer, WindowReader } from './window-reader.ts';

/**
 * A batch that continues the log, or a part of one that is too large to be held at once (large-batch.ts). Valid during
 * the visit only: the walk has one such object and writes the next batch into it.
 */
export interface ScannedBatch extends BatchPart {
  /** A thread has checked its body and its records (scan-ahead.ts). */
  readonly isChecked: boolean;
  /** `bytes` as little-endian words; null for a part of a batch. */
  readonly words: Int32Array | null;
  /** File offset of the header, and bytes to the page end after the body. */
  readonly offset: number;
  readonly length: number;
  readonly bodyLen: number;
  readonly recordCount: number;
  readonly seq: number;
  readonly durableSeq: number;
  readonly flags: number;
  readonly epoch: number;
  readonly hdrCrc: number;
}

/** What a visitor finds wrong in a batch whose checksums hold. */
export interface BatchFault {
  readonly fault: 'format' | 'version' | 'state' | 'hole';
  readonly summary: string;
}

/** The one batch of a walk: of a log of small batches, objects would cost more than their checksums. */
class WalkedBatch implements ScannedBatch {
  offset = 0;
  length = 0;
  bodyLen = 0;
  recordCount = 0;
  seq = 0;
  durableSeq = 0;
  flags = 0;
  epoch = 0;
  hdrCrc = 0;
  bodyCrc = 0;
  bytes: Uint8Array = new Uint8Array(0);
  words: Int32Array | null = null;
  isChecked = false;
  recordsAt = 0;
  recordsEnd = 0;
  before = 0;
  isCut = false;

  /** Takes the header at `at`, which stands at `offset` of its file. */
  take(bytes: Uint8Array, at: number, offset: number): void {
    this.offset = offset;
    this.bodyLen = batchBodyLenAt(bytes, at);
    this.length = alignUp(batchHeaderBytes + this.bodyLen, pageBytes);
    this.recordCount = batchRecordsAt(bytes, at);
    this.seq = batchSeqAt(bytes, at);
    this.durableSeq = batchDurableSeqAt(bytes, at);
    this.flags = batchFlagsAt(bytes, at);
    this.epoch = batchEpochAt(bytes, at);
    this.hdrCrc = batchHdrCrcAt(bytes, at);
    this.bodyCrc = batchBodyCrcAt(bytes, at);
  }

  part({ bytes, recordsAt, recordsEnd, before, isCut }: BatchPart): ScannedBatch {
    this.bytes = bytes;
    this.words = null;
    this.isChecked = false;
    this.recordsAt = recordsAt;
    this.recordsEnd = recordsEnd;
    this.before = before;
    this.isCut = isCut;
    return this;
  }

  whole({ bytes, words }: WindowReader, at: number, isChecked: boolean): ScannedBatch {
    this.bytes = bytes;
    this.words = words;
    this.isChecked = isChecked;
    this.recordsAt = at + batchHeaderBytes;
    this.recordsEnd = this.recordsAt + this.bodyLen;
    this.before = 0;
    this.isCut = false;
    return this;
  }
}

export type BatchVisitor = (batch: ScannedBatch) => BatchFault | null;

/** What must stand in the segment. */
export interface ScanPlan {
  readonly segId: number;
  readonly salt: number;
  readonly capacityBytes: number;
  readonly firstSeq: number;
  readonly prevHdrCrc: number;
  readonly epochMin: number;
  readonly epochMax: number;
  /** Where a later segment says that the log ends here, or 0: then the walk goes to the first page that does not fit. */
  readonly end: number;
  /** File offset where batch `firstSeq` stands; the first page behind the header where absent. */
  readonly from?: number;
  /** What is held of a batch at once, where not the usual. */
  readonly limits?: HeldLimits;
}

/** What a walk reads through; both may serve one walk after the other. */
export interface WalkMemory {
  readonly window: WindowBuffer;
  /** Null: in this thread alone. */
  readonly ahead: ScanAhead | null;
}

export interface ScanEnd {
  /** File offset of the first page that does not continue the log. */
  readonly offset: number;
  readonly fault: TailFault | 'state' | 'hole';
  readonly summary: string;
  readonly batches: number;
  readonly records: number;
  /** Batch expected next, and chain value and epoch it must continue. */
  readonly nextSeq: number;
  readonly hdrCrc: number;
  readonly epoch: number;
  /** Highest durableSeq in a batch: witness W1. */
  readonly durableSeq: number;
  readonly bytesScanned: number;
}

const hex = (value: number): string => value.toString(16).padStart(8, '0');

/** What the header at a page must say to continue the log. */
export interface ExpectedBatch {
  readonly segId: number;
  readonly salt: number;
  readonly page: number;
  readonly seq: number;
  readonly prevHdrCrc: number;
  readonly epochMin: number;
  readonly epochMax: number;
  readonly bytesLeft: number;
}

/** Why the header at `at`, whose CRC holds, does not continue the log, or null. */
export function headerFault(
  bytes: Uint8Array,
  at: number,
  expected: ExpectedBatch,
): { readonly fault: TailFault; readonly summary: string } | null {
  const major = batchMajorAt(bytes, at);
  if (major !== formatMajor) return { fault: 'version', summary: `a batch of format ${major}` };
  const segId = batchSegIdAt(bytes, at);
  if (segId !== expected.segId || batchSaltAt(bytes, at) !== expected.salt) {
    const summary = `a batch of an earlier life of the file (segment ${segId})`;
    return { fault: 'stale', summary };
  }
  const page = batchPageAt(bytes, at);
  if (page !== expected.page) {
    return { fault: 'misplaced', summary: `a batch that belongs to page ${page}` };
  }
  const flags = batchFlagsAt(bytes, at);
  if ((flags & ~knownBatchFlags) !== 0) {
    return { fault: 'version', summary: `a batch with unknown flags ${flags}` };
  }
  const seq = batchSeqAt(bytes, at);
  if (seq !== expected.seq) {
    return { fault: 'order', summary: `batch ${seq} instead of ${expected.seq}` };
  }
  const chain = batchPrevHdrCrcAt(bytes, at);
  if (chain !== expected.prevHdrCrc) {
    const summary =
      `batch ${seq}, which follows a header with CRC ${hex(chain)}, ` +
      `while the one before it has ${hex(expected.prevHdrCrc)}`;
    return { fault: 'order', summary };
  }
  const epoch = batchEpochAt(bytes, at);
  if (epoch < expected.epochMin || epoch > expected.epochMax) {
    const summary = `batch ${seq} of epoch ${epoch}, not ${expected.epochMin}..${expected.epochMax}`;
    return { fault: 'order', summary };
  }
  const bodyLen = batchBodyLenAt(bytes, at);
  const durableSeq = batchDurableSeqAt(bytes, at);
  const isBroken =
    batchHeaderLenAt(bytes, at) !== batchHeaderBytes ||
    bodyLen < recordHeadBytes ||
    bodyLen % 8 !== 0 ||
    bodyLen > batchBodyBytesMax ||
    alignUp(batchHeaderBytes + bodyLen, pageBytes) > expected.bytesLeft ||
    batchRecordsAt(bytes, at) === 0 ||
    durableSeq < 0 ||
    durableSeq >= seq;
  return isBroken ? { fault: 'format', summary: `batch ${seq} with an impossible header` } : null;
}

export function scanSegment(
  disk: Disk,
  file: File,
  fileBytes: number,
  plan: ScanPlan,
  visit: BatchVisitor,
  callback: (error: IoError | null, end: ScanEnd) => void,
  { window, ahead }: WalkMemory = { window: new WindowBuffer(), ahead: null },
): void {
  const limit = plan.end === 0 ? plan.capacityBytes : plan.end;
  const limits = plan.limits ?? heldLimits;
  const fileEnd = Math.min(fileBytes, plan.capacityBytes);
  const reader = new WindowReader(disk, file, fileEnd, window, ahead);
  ahead?.begin({ disk, file, end: fileEnd, limit });
  let offset = plan.from ?? pageBytes;
  let batches = 0;
  let records = 0;
  let nextSeq = plan.firstSeq;
  let hdrCrc = plan.prevHdrCrc;
  let epoch = plan.epochMin;
  let durableSeq = 0;
  const batch = new WalkedBatch();
  const expected = {
    segId: plan.segId,
    salt: plan.salt,
    page: 0,
    seq: 0,
    prevHdrCrc: 0,
    epochMin: 0,
    epochMax: plan.epochMax,
    bytesLeft: 0,
  };

  /** Nothing is read of the file any more when this is known. */
  const answer = (error: IoError | null, end: ScanEnd): void => {
    if (ahead === null) callback(error, end);
    else ahead.finish(() => callback(error, end));
  };

  const finish = (fault: ScanEnd['fault'], summary: string): void =>
    answer(null, {
      offset,
      fault,
      summary,
      batches,
      records,
      nextSeq,
      hdrCrc,
      epoch,
      durableSeq,
      bytesScanned: reader.bytesRead,
    });

  const step = (): void => {
    for (;;) {
      if (offset >= limit) return finish('end', 'the log ends here');
      const left = reader.end - offset;
      if (left < batchHeaderBytes)
        return finish('short', `the end of the file, after ${reader.end} bytes`);
      if (!reader.has(offset, Math.min(pageBytes, left))) return load(Math.min(pageBytes, left));
      const at = reader.at(offset);
      const { bytes } = reader;
      if (!isBatchHeader(bytes, at)) {
        const isZero = isZeroPage(bytes, at, Math.min(pageBytes, left));
        if (isZero && left < pageBytes)
          return finish('short', `the end of the file, after ${reader.end} bytes`);
        return isZero ? finish('zero', 'an empty page') : finish('header', 'no whole batch header');
      }
      expected.page = offset / pageBytes;
      expected.seq = nextSeq;
      expected.prevHdrCrc = hdrCrc;
      expected.epochMin = epoch;
      expected.bytesLeft = limit - offset;
      const fault = headerFault(bytes, at, expected);
      if (fault !== null) return finish(fault.fault, fault.summary);
      batch.take(bytes, at, offset);
      const { length } = batch;
      if (length > left) return finish('short', `a header whose body the file ends in`);
      if (length > limits.wholeBatchBytesMax) return stepLarge();
      if (!reader.has(offset, length)) return load(length);
      const isChecked = offset + length <= reader.verifiedEnd;
      if (!isChecked) {
        const computed = crc32(bytes, at + batchHeaderBytes, at + length);
        if (batch.bodyCrc !== computed) return finish('body', brokenBody(computed));
      }
      const broken = visit(batch.whole(reader, at, isChecked));
      if (broken !== null) return finishBroken(broken);
      pass();
    }
  };

  const brokenBody = (computed: number): string =>
    `a body with CRC ${hex(computed)} under a header that says ${hex(batch.bodyCrc)}`;

  const finishBroken = ({ fault, summary }: BatchFault): void =>
    finish(fault, `batch ${nextSeq} with this: ${summary}`);

  const pass = (): void => {
    batches++;
    records += batch.recordCount;
    durableSeq = Math.max(durableSeq, batch.durableSeq);
    hdrCrc = batch.hdrCrc;
    epoch = batch.epoch;
    nextSeq++;
    offset += batch.length;
  };

  const stepLarge = (): void => {
    const visitPart = (part: BatchPart): BatchFault | null => visit(batch.part(part));
    readLargeBatch(reader, batch, limits, visitPart, (error, end) => {
      if (error !== null) return answer(error, undefined as never);
      if (end.kind === 'body') return finish('body', brokenBody(end.computed));
      if (end.kind === 'fault') return finishBroken(end.fault);
      pass();
      step();
    });
  };

  const load = (length: number): void =>
    reader.next(offset, length, (error) => {
      if (error !== null) return answer(error, undefined as never);
      step();
    });

  step();
}

export interface LookAhead {
  /** Whole headers of this segment's life on later pages, with seq >= s. */
  readonly laterBatches: number;
  readonly laterPage: number;
  readonly laterSeqMax: number;
  readonly laterDurableSeq: number;
  /** Everything after the page looked from holds only zeros. */
  readonly isZero: boolean;
  /** File offset behind the last page that is not zero, 0 = all are. */
  readonly usedEnd: number;
  readonly bytesScanned: number;
}

/** Looks at every page from `from` to the segment's end for headers that prove more than the walk found. */
export function lookAhead(
  disk: Disk,
  file: File,
  fileBytes: number,
  plan: { readonly segId: number; readonly salt: number; readonly capacityBytes: number },
  from: number,
  seqMin: number,
  callback: (error: IoError | null, found: LookAhead) => void,
  window: WindowBuffer = new WindowBuffer(),
): void {
  const reader = new WindowReader(disk, file, Math.min(fileBytes, plan.capacityBytes), window);
  let laterBatches = 0;
  let laterPage = 0;
  let laterSeqMax = 0;
  let laterDurableSeq = 0;
  let usedEnd = 0;
  let offset = from;
  const step = (): void => {
    for (; offset < reader.end; offset += pageBytes) {
      const length = Math.min(pageBytes, reader.end - offset);
      if (!reader.has(offset, length)) {
        return reader.load(offset, length, (error) => {
          if (error === null) step();
          else callback(error, undefined as never);
        });
      }
      const at = reader.at(offset);
      const { bytes } = reader;
      if (isZeroPage(bytes, at, length)) continue;
      usedEnd = offset + length;
      if (length < batchHeaderBytes || !isBatchHeader(bytes, at)) continue;
      const isOurs = batchSegIdAt(bytes, at) === plan.segId && batchSaltAt(bytes, at) === plan.salt;
      const seq = batchSeqAt(bytes, at);
      if (!isOurs || batchPageAt(bytes, at) !== offset / pageBytes || seq < seqMin) continue;
      if (laterBatches++ === 0) laterPage = offset / pageBytes;
      laterSeqMax = Math.max(laterSeqMax, seq);
      laterDurableSeq = Math.max(laterDurableSeq, batchDurableSeqAt(bytes, at));
    }
    callback(null, {
      laterBatches,
      laterPage,
      laterSeqMax,
      laterDurableSeq,
      isZero: usedEnd === 0,
      usedEnd,
      bytesScanned: reader.bytesRead,
    });
  };
  step();
}
