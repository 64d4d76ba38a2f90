// Whether the index tells the truth: every run is read back from where the index says it stands and must be an ENTRIES
// record of that group, whole, with the indexes the index claims. Finds a bug of the index, and a disk that reads
// differently the second time.

import {
  blockCount,
  blockFirstIndex,
  blockTerm,
  recordHeadAt,
  recordHeadBytes,
  recordTypes,
  verifyBlockInRecord,
} from '@flotilla/codec';
import type { Disk, File, IoError } from '@flotilla/io';
import { readFully } from '../disk-steps.ts';
import { pathIn } from '../format.ts';
import type { LogIndex } from '../log-index.ts';
import type { SegmentFile } from './survey.ts';

export interface IndexFault {
  readonly groupId: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly segId: number;
  readonly offset: number;
  readonly summary: string;
}

export interface IndexCheck {
  readonly runs: number;
  readonly bytes: number;
}

/** Reads every run of every group. Files are opened once each and closed at the end. */
export function checkIndex(
  disk: Disk,
  directory: string,
  index: LogIndex,
  segments: readonly SegmentFile[],
  visit: (fault: IndexFault) => void,
  callback: (error: IoError | null, check: IndexCheck) => void,
): void {
  const { groups } = index;
  const files: (File | undefined)[] = [];
  let buffer = new Uint8Array(64 * 1024);
  let runs = 0;
  let bytes = 0;
  let slot = 0;
  let wanted = 0;

  const finish = (error: IoError | null): void => {
    const file = files.pop();
    if (file !== undefined) disk.close(file, () => finish(error));
    else if (files.length > 0) finish(error);
    else callback(error, { runs, bytes });
  };

  const next = (): void => {
    while (slot < groups.size) {
      if (wanted === 0) wanted = groups.first[slot] as number;
      if (index.find(slot, wanted)) return open(index.foundSegSlot);
      slot++;
      wanted = 0;
    }
    finish(null);
  };

  const open = (segSlot: number): void => {
    const file = files[segSlot];
    if (file !== undefined) return read(file);
    const segment = segments[segSlot] as SegmentFile;
    disk.open(pathIn(directory, segment.name), 'read', (error, opened) => {
      if (error !== null) return finish(error);
      files[segSlot] = opened;
      read(opened);
    });
  };

  const read = (file: File): void => {
    const { foundFirst, foundLast, foundSegSlot, foundOffset, foundRecLen } = index;
    if (buffer.length < foundRecLen) buffer = new Uint8Array(foundRecLen);
    readFully(disk, file, buffer.subarray(0, foundRecLen), foundOffset, (error, length) => {
      if (error !== null) return finish(error);
      runs++;
      bytes += length;
      const groupId = groups.groupId[slot] as number;
      const record = buffer.subarray(0, length);
      const from = Math.max(foundFirst, wanted);
      const term = index.termOf(slot, from);
      const summary = faultOf(record, foundRecLen, { groupId, first: from, last: foundLast, term });
      if (summary !== null) {
        const { segId } = segments[foundSegSlot] as SegmentFile;
        visit({
          groupId,
          firstIndex: from,
          lastIndex: foundLast,
          segId,
          offset: foundOffset,
          summary,
        });
      }
      wanted = foundLast + 1;
      next();
    });
  };

  next();
}

function faultOf(
  record: Uint8Array,
  recLen: number,
  claim: {
    readonly groupId: number;
    readonly first: number;
    readonly last: number;
    readonly term: number;
  },
): string | null {
  if (record.length < recLen) return 'the file ends inside it';
  const head = recordHeadAt(record, 0, record.length);
  if (head === null || head.type !== recordTypes.entries) return 'no ENTRIES record stands there';
  if (head.groupId !== claim.groupId) return `a record of group ${head.groupId} stands there`;
  const verdict = verifyBlockInRecord(record, recordHeadBytes, head.recLen);
  if (verdict !== 'ok') return `its block is broken (${verdict})`;
  const first = blockFirstIndex(record, recordHeadBytes);
  const last = first + blockCount(record, recordHeadBytes) - 1;
  if (claim.first < first || claim.last > last) return `it holds ${first}..${last}`;
  const term = blockTerm(record, recordHeadBytes);
  return term === claim.term ? null : `it has term ${term}, the index says ${claim.term}`;
}
