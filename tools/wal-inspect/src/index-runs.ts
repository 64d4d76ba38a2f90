// Live entries read through the index, as recovery's caller would read them: run by run, each verified.

import {
  blockBytesAt,
  blockCount,
  blockFirstIndex,
  blockHeaderBytes,
  blockTableSlotBytes,
  blockTerm,
  recordHeadAt,
  recordHeadBytes,
  recordTypes,
  verifyBlockInRecord,
} from '@flotilla/codec';
import type { File } from '@flotilla/io';
import {
  type Inspection,
  pathIn,
  readLargeRecord,
  type SegmentFile,
  wholeRecordBytesMax,
} from '@flotilla/wal';
import { lookAt } from './look.ts';
import { isCounted } from './motion.ts';
import { readAt } from './read.ts';
import type { Job } from './run.ts';

/** Looks for one run: each is one more segment that was given up while it was read. */
const looksMax = 20;

/** One record of entries; `bytes` begins with its head. */
export interface LiveRun {
  readonly bytes: Uint8Array;
  readonly block: number;
  readonly segment: SegmentFile;
  readonly offset: number;
  /** Indexes of it that are live. */
  readonly first: number;
  readonly last: number;
  readonly term: number;
  /** `bytes` ends behind the block's table: the one entry is too large to be held (pieceOf reads it). */
  readonly isCut: boolean;
  /** Why it cannot be used, or null. */
  readonly broken: string | null;
}

/** Descriptors kept open, however many segments there are. */
const filesMax = 32;

/**
 * Reads runs of one directory. Where the log gave a segment up after it was looked at, the directory is looked at again
 * and the run is read from where it stands now: what a host moves is not broken.
 */
export class RunReader {
  readonly #job: Job;
  readonly #directory: string;
  #inspection: Inspection;
  readonly #files: Map<string, File> = new Map();

  constructor(job: Job, directory: string, inspection: Inspection) {
    this.#job = job;
    this.#directory = directory;
    this.#inspection = inspection;
  }

  /** What the log has of the group as far as the last look goes; null = no such group. */
  rangeOf(groupId: number): { readonly first: number; readonly last: number } | null {
    const { groups } = this.#inspection.index;
    const slot = groups.slotOf(groupId);
    if (slot < 0) return null;
    return { first: groups.first[slot] as number, last: groups.last[slot] as number };
  }

  /** The record that holds an index of the group, or null where the log has none (any more: rangeOf tells). */
  async at(groupId: number, wanted: number): Promise<LiveRun | null> {
    for (let looks = 0; ; looks++) {
      const found = await this.#read(groupId, wanted);
      if (found === null || found.broken === null) return found;
      if (looks === looksMax || (await isCounted(this.#job, this.#directory, found.segment.segId)))
        return found;
      await this.close();
      const look = await lookAt(this.#job, { directory: this.#directory });
      this.#inspection = look.inspection;
    }
  }

  async #read(groupId: number, wanted: number): Promise<LiveRun | null> {
    const { index, survey } = this.#inspection;
    const slot = index.groups.slotOf(groupId);
    if (slot < 0 || !index.find(slot, wanted)) return null;
    const { foundFirst: first, foundLast: last, foundOffset, foundRecLen, foundSegSlot } = index;
    const segment = survey?.segments[foundSegSlot];
    if (segment === undefined) return null;
    const term = index.termOf(slot, wanted);
    const isCut = foundRecLen > wholeRecordBytesMax;
    const block = recordHeadBytes;
    const base = { segment, offset: foundOffset, first, last, term, block, isCut };
    let bytes: Uint8Array = new Uint8Array(0);
    let broken: string | null = null;
    try {
      const file = await this.#open(segment);
      if (isCut) ({ bytes, broken } = await this.#readLarge(file, foundOffset, foundRecLen));
      else bytes = await readAt(this.#job.disk, file, foundOffset, foundRecLen);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return { ...base, bytes, broken: 'its file is gone' };
    }
    if (broken !== null) return { ...base, bytes, broken };
    const head = recordHeadAt(bytes, 0, foundRecLen);
    const isEntries = head?.type === recordTypes.entries && head.groupId === groupId;
    const verdict = !isEntries
      ? 'shape'
      : isCut
        ? 'ok'
        : verifyBlockInRecord(bytes, recordHeadBytes, bytes.length);
    if (verdict !== 'ok') return { ...base, bytes, broken: `its block is broken (${verdict})` };
    const blockFirst = blockFirstIndex(bytes, recordHeadBytes);
    const blockLast = blockFirst + blockCount(bytes, recordHeadBytes) - 1;
    const isSame =
      blockTerm(bytes, recordHeadBytes) === term && blockFirst <= first && last <= blockLast;
    return { ...base, bytes, broken: isSame ? null : 'another block stands there by now' };
  }

  #readLarge(
    file: File,
    offset: number,
    recLen: number,
  ): Promise<{ readonly bytes: Uint8Array; readonly broken: string | null }> {
    return new Promise((resolve, reject) => {
      readLargeRecord(this.#job.disk, file, { offset, recLen }, (error, found) =>
        error === null ? resolve(found) : reject(error),
      );
    });
  }

  /** Bytes of the stored payload of a run that is cut; shorter at its end. */
  async pieceOf(run: LiveRun, from: number, bytesMax: number): Promise<Uint8Array> {
    const payloadAt = run.block + blockHeaderBytes + blockTableSlotBytes;
    const length = Math.min(
      bytesMax,
      blockBytesAt(run.bytes, run.block) - blockHeaderBytes - blockTableSlotBytes - from,
    );
    if (length <= 0) return new Uint8Array(0);
    const file = await this.#open(run.segment);
    return readAt(this.#job.disk, file, run.offset + payloadAt + from, length);
  }

  async #open({ name }: SegmentFile): Promise<File> {
    const known = this.#files.get(name);
    if (known !== undefined) return known;
    const { disk } = this.#job;
    const [oldest] = this.#files;
    if (oldest !== undefined && this.#files.size >= filesMax) {
      this.#files.delete(oldest[0]);
      await new Promise<void>((resolve) => disk.close(oldest[1], () => resolve()));
    }
    const file = await new Promise<File>((resolve, reject) => {
      disk.open(pathIn(this.#directory, name), 'read', (error, opened) =>
        error === null ? resolve(opened) : reject(error),
      );
    });
    this.#files.set(name, file);
    return file;
  }

  async close(): Promise<void> {
    for (const file of this.#files.values()) {
      await new Promise<void>((resolve) => this.#job.disk.close(file, () => resolve()));
    }
    this.#files.clear();
  }
}
