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
import type { Disk, File } from '@flotilla/io';
import { type Inspection, pathIn, type SegmentFile } from '@flotilla/wal';
import { readAt } from './read.ts';

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

/** Reads runs of one directory; keeps its segments open until close(). */
export class RunReader {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #inspection: Inspection;
  readonly #files: Map<number, File> = new Map();

  constructor(disk: Disk, directory: string, inspection: Inspection) {
    this.#disk = disk;
    this.#directory = directory;
    this.#inspection = inspection;
  }

  slotOf(groupId: number): number {
    return this.#inspection.index.groups.slotOf(groupId);
  }

  /** The record that holds an index of the group in this slot, or null where the log has none. */
  async at(slot: number, wanted: number): Promise<LiveRun | null> {
    const { index, survey } = this.#inspection;
    if (slot < 0 || !index.find(slot, wanted)) return null;
    const { foundFirst: first, foundLast: last, foundOffset, foundRecLen, foundSegSlot } = index;
    const segment = survey?.segments[foundSegSlot];
    if (segment === undefined) return null;
    const term = index.termOf(slot, wanted);
    const groupId = index.groups.groupId[slot] as number;
    const base = { segment, offset: foundOffset, first, last, term, block: recordHeadBytes };
    const file = await this.#open(foundSegSlot, segment);
    const bytes = await readAt(this.#disk, file, foundOffset, foundRecLen);
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

  async #open(slot: number, segment: SegmentFile): Promise<File> {
    const known = this.#files.get(slot);
    if (known !== undefined) return known;
    const file = await new Promise<File>((resolve, reject) => {
      this.#disk.open(pathIn(this.#directory, segment.name), 'read', (error, opened) =>
        error === null ? resolve(opened) : reject(error),
      );
    });
    this.#files.set(slot, file);
    return file;
  }

  async close(): Promise<void> {
    for (const file of this.#files.values()) {
      await new Promise<void>((resolve) => this.#disk.close(file, () => resolve()));
    }
    this.#files.clear();
  }
}
