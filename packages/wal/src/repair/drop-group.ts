// Giving up one group: in the copy every record of it becomes filler of the same length, so that each batch keeps its
// place and number; checksums and the chain are made anew, and a tombstone is laid at the end. A batch whose body does not
// hold is mended this way only where the damage lies, provably, inside entries of that group alone.
//
// The proof: CRC-32 is linear. The difference between the stored and the computed checksum of a block, moved on over the
// bytes behind the block, is the difference of the body's checksum, if and only if nothing else changed (but for one
// chance in 2^32).

import {
  alignUp,
  blockBytesAt,
  blockHeaderBytes,
  crc32,
  putU32,
  recordHeadAt,
  recordHeadBytes,
  recordTypes,
  u32At,
  u64At,
  verifyBlockInRecord,
} from '@flotilla/codec';
import type { Disk, Done, File, Rng } from '@flotilla/io';
import { readFully, writeFully } from '../disk-steps.ts';
import {
  batchBodyBytesMax,
  batchBodyCrcAt,
  batchBodyLenAt,
  batchHdrCrcAt,
  batchHeaderBytes,
  batchPageAt,
  batchSaltAt,
  batchSegIdAt,
  batchSeqAt,
  decodeSegmentHeader,
  encodeSegmentHeader,
  isBatchHeader,
  pageBytes,
  pathIn,
  type SegmentHeader,
  type StoreSlot,
  segmentName,
} from '../format.ts';
import { groupRemoveAt, groupStateAt } from '../group-records.ts';
import { readPart } from '../inspect/files.ts';
import { readStore } from '../inspect/store-report.ts';
import { hardStateAt, hardStateRecordBytes, putPad } from '../records.ts';
import { copyFrom, withBoth } from './copy-files.ts';
import { drawInstance, namesBetween, type PlanResult, storeWithSlot } from './make-plan.ts';
import type { Tombstone } from './tombstone.ts';

const nobody = { nodeId: 0, generation: 0, instance: 0 };

/** What is met of the group on the way, and the chain as it is made anew. */
class Dropping {
  readonly groupId: number;
  records = 0;
  mended = 0;
  #generation = 0;
  #term = 0;
  #vote: Tombstone['vote'] = nobody;
  /** Old header CRCs that changed, to the new ones: the next batch or segment continues one of them. */
  readonly #renamed: Map<number, number> = new Map();

  constructor(groupId: number) {
    this.groupId = groupId;
  }

  get tombstone(): Tombstone {
    const { groupId } = this;
    return { groupId, generation: this.#generation, term: this.#term, vote: this.#vote };
  }

  chainOf(hdrCrc: number): number {
    return this.#renamed.get(hdrCrc) ?? hdrCrc;
  }

  /** Changes a batch that stands whole in `bytes`; false where it cannot be told what of it is damaged. */
  change(bytes: Uint8Array): boolean {
    const end = batchHeaderBytes + batchBodyLenAt(bytes, 0);
    const stored = batchBodyCrcAt(bytes, 0);
    const difference = (crc32(bytes, batchHeaderBytes, bytes.length) ^ stored) >>> 0;
    if (difference !== 0) {
      if (differenceInside(bytes, end, this.groupId) !== difference) return false;
      this.mended++;
    }
    for (let at = batchHeaderBytes; at < end; ) {
      const head = recordHeadAt(bytes, at, end);
      if (head === null) return false;
      if (head.groupId === this.groupId && head.type !== recordTypes.pad) {
        this.#note(bytes, at, head.type, head.recLen);
        putPad(bytes, at, head.recLen);
        this.records++;
      }
      at += head.recLen;
    }
    const before = batchHdrCrcAt(bytes, 0);
    putU32(bytes, 48, this.chainOf(u32At(bytes, 48)));
    putU32(bytes, 52, crc32(bytes, batchHeaderBytes, bytes.length));
    const after = crc32(bytes, 0, batchHeaderBytes - 4);
    putU32(bytes, batchHeaderBytes - 4, after);
    if (after !== before) this.#renamed.set(before, after);
    return true;
  }

  #note(bytes: Uint8Array, at: number, type: number, recLen: number): void {
    if (type === recordTypes.groupOpen && recLen >= recordHeadBytes + 16) {
      this.#generation = Math.max(this.#generation, u64At(bytes, at + 16));
    } else if (type === recordTypes.hardState && recLen >= hardStateRecordBytes) {
      const { term, vote } = hardStateAt(bytes, at);
      this.#promise(term, vote);
    } else if (type === recordTypes.groupState || type === recordTypes.groupRemove) {
      const body =
        type === recordTypes.groupState ? groupStateAt(bytes, at) : groupRemoveAt(bytes, at);
      if (body === null) return;
      this.#generation = Math.max(this.#generation, body.generation);
      this.#promise(body.term, body.vote);
    }
  }

  #promise(term: number, vote: Tombstone['vote']): void {
    if (term < this.#term) return;
    this.#term = term;
    this.#vote = vote;
  }
}

/** The body's checksum difference, if all damage lies in broken blocks of the group; else another number. */
function differenceInside(bytes: Uint8Array, end: number, groupId: number): number {
  let difference = 0;
  for (let at = batchHeaderBytes; at < end; ) {
    const head = recordHeadAt(bytes, at, end);
    if (head === null) return 0;
    const block = at + recordHeadBytes;
    if (head.type === recordTypes.entries && head.recLen >= recordHeadBytes + blockHeaderBytes) {
      const verdict = verifyBlockInRecord(bytes, block, at + head.recLen);
      if (verdict !== 'ok') {
        const blockEnd = block + blockBytesAt(bytes, block);
        if (head.groupId !== groupId || blockEnd > at + head.recLen) return 0;
        const headSum = crc32(bytes, block - 8, block + 24);
        const computed = crc32(bytes, block + 28, blockEnd, headSum);
        const own = (computed ^ u32At(bytes, block + 24)) >>> 0;
        difference = (difference ^ movedDifference(own, bytes.length - blockEnd)) >>> 0;
      }
    }
    at += head.recLen;
  }
  return difference;
}

/** The checksum difference of some bytes, as it shows in a checksum that covers `bytes` more behind them. */
export function movedDifference(difference: number, bytes: number): number {
  // Zeros move a difference on; what the register starts with cancels out in a difference.
  const zeros = new Uint8Array(Math.min(bytes, 64 * 1024));
  let moved = difference;
  for (let left = bytes; left > 0; left -= zeros.length) {
    const count = Math.min(left, zeros.length);
    moved = (crc32(zeros, 0, count, moved) ^ crc32(zeros, 0, count, 0)) >>> 0;
  }
  return moved;
}

export function planGroupDrop(
  disk: Disk,
  directory: string,
  rng: Rng,
  groupId: number,
  callback: (result: PlanResult) => void,
): void {
  readStore(disk, directory, (store) => {
    if ('refusal' in store) return callback({ why: `STORE: ${store.refusal.summary}` });
    const { current, witness } = store.report;
    readHeaders(disk, directory, namesBetween(current.oldestSeg, current.newestSeg), (result) => {
      if ('why' in result) return callback(result);
      const dropping = new Dropping(groupId);
      const instance = drawInstance(rng);
      const durableSeq = Math.max(current.durableSeq, current.cleanSeq, witness?.durableSeq ?? 0);
      const slot: StoreSlot = {
        ...current,
        instance,
        slotSeq: current.slotSeq + 1,
        durableSeq,
        cleanSeq: 0,
      };
      const { headers } = result;
      const segments = headers.map((header, at) => ({
        name: segmentName(header.segId),
        copy: (d: Disk, from: string, to: string, done: Done): void =>
          withBoth(
            d,
            from,
            to,
            (source, target, end) => {
              const limit = headers[at + 1]?.prevEnd ?? header.capacityPages * pageBytes;
              copyBatches(d, source, target, { header, limit, dropping }, end);
            },
            done,
          ),
      }));
      callback({
        plan: {
          segments,
          store: storeWithSlot(slot, null),
          instance,
          keepsInstance: false,
          tombstone: () => dropping.tombstone,
          done: [`every record of group ${groupId} is filler, and a tombstone stands at the end`],
          lost: [`the log of group ${groupId}`],
        },
      });
    });
  });
}

function readHeaders(
  disk: Disk,
  directory: string,
  names: readonly string[],
  callback: (
    result: { readonly headers: readonly SegmentHeader[] } | { readonly why: string },
  ) => void,
): void {
  const headers: SegmentHeader[] = [];
  const next = (): void => {
    const name = names[headers.length];
    if (name === undefined) return callback({ headers });
    readPart(disk, pathIn(directory, name), 0, pageBytes, (error, page) => {
      const header = error === null ? decodeSegmentHeader(page) : null;
      if (header === null)
        return callback({ why: `${name}: ${error?.message ?? 'its header is damaged'}` });
      headers.push(header);
      next();
    });
  };
  next();
}

/** Copies batch by batch up to the first that is none; what stands from there on is copied as it is, for the verdict on it. */
function copyBatches(
  disk: Disk,
  source: File,
  target: File,
  how: { readonly header: SegmentHeader; readonly limit: number; readonly dropping: Dropping },
  done: Done,
): void {
  const { header, limit, dropping } = how;
  const { segId, salt } = header;
  let offset = pageBytes;
  let seq = header.firstSeq;
  const rest = (): void => copyFrom(disk, source, target, offset, () => {}, done);
  const step = (): void => {
    if (offset >= limit) return rest();
    const head = new Uint8Array(batchHeaderBytes);
    readFully(disk, source, head, offset, (error, bytes) => {
      if (error !== null) return done(error);
      const isNext =
        bytes === head.length &&
        isBatchHeader(head, 0) &&
        batchSegIdAt(head, 0) === segId &&
        batchSaltAt(head, 0) === salt &&
        batchPageAt(head, 0) === offset / pageBytes &&
        batchSeqAt(head, 0) === seq &&
        batchBodyLenAt(head, 0) <= batchBodyBytesMax;
      if (!isNext) return rest();
      const batch = new Uint8Array(alignUp(batchHeaderBytes + batchBodyLenAt(head, 0), pageBytes));
      readFully(disk, source, batch, offset, (readError, length) => {
        if (readError !== null) return done(readError);
        if (length < batch.length || !dropping.change(batch)) return rest();
        writeFully(disk, target, batch, offset, (writeError) => {
          if (writeError !== null) return done(writeError);
          offset += batch.length;
          seq++;
          step();
        });
      });
    });
  };
  const page = encodeSegmentHeader({ ...header, prevHdrCrc: dropping.chainOf(header.prevHdrCrc) });
  writeFully(disk, target, page, 0, (error) => (error === null ? step() : done(error)));
}
