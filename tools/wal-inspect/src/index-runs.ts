// Live entries read through the index, as recovery's caller would read them: run by run, each verified.

import {
  blockCount,
  blockFirstIndex,
  blockTerm,
  recordHeadAt,
  recordHeadBytes,
  recordTypes,
  verifyBlockInRecord,
} from '@flotilla/codec';
import type { File } from '@flotilla/io';
import { type Inspection, pathIn, type SegmentFile } from '@flotilla/wal';
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
    const base = { segment, offset: foundOffset, first, last, term, block: recordHeadBytes };
    let bytes: Uint8Array = new Uint8Array(0);
    try {
      const file = await this.#open(segment);
      bytes = await readAt(this.#job.disk, file, foundOffset, foundRecLen);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return { ...base, bytes, broken: 'its file is gone' };
    }
    const head = recordHeadAt(bytes, 0, bytes.length);
    const isEntries = head?.type === recordTypes.entries && head.groupId === groupId;
    const verdict = isEntries ? verifyBlockInRecord(bytes, recordHeadBytes, bytes.length) : 'shape';
    if (verdict !== 'ok') return { ...base, bytes, broken: `its block is broken (${verdict})` };
    const blockFirst = blockFirstIndex(bytes, recordHeadBytes);
    const blockLast = blockFirst + blockCount(bytes, recordHeadBytes) - 1;
    const isSame =
      blockTerm(bytes, recordHeadBytes) === term && blockFirst <= first && last <= blockLast;
    return { ...base, bytes, broken: isSame ? null : 'another block stands there by now' };
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
