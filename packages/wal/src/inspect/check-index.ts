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
  u64At,
  verifyBlockInRecord,
} from '@flotilla/codec';
import type { Disk, File, IoError } from '@flotilla/io';
import { readFully } from '../disk-steps.ts';
import { pathIn } from '../format.ts';
import { readLargeRecord, wholeRecordBytesMax } from '../large-batch.ts';
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

/** Descriptors kept open, however many segments there are. */
const filesMax = 32;

/** Reads every run of every group. A run whose file is not there any more is a fault of that run. */
export function checkIndex(
  disk: Disk,
  directory: string,
  index: LogIndex,
  segments: readonly SegmentFile[],
  visit: (fault: IndexFault) => void,
  callback: (error: IoError | null, check: IndexCheck) => void,
): void {
  const { groups } = index;
  const files = new Map<number, File>();
  let buffer = new Uint8Array(64 * 1024);
  let runs = 0;
  let bytes = 0;
  let slot = 0;
  let wanted = 0;

  const finish = (error: IoError | null): void => {
    const [first] = files;
    if (first === undefined) return callback(error, { runs, bytes });
    closeFile(first, () => finish(error));
  };

  const closeFile = ([segSlot, file]: readonly [number, File], done: () => void): void => {
    files.delete(segSlot);
    disk.close(file, done);
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
    const file = files.get(segSlot);
    if (file !== undefined) return read(file);
    const [first] = files;
    if (first !== undefined && files.size >= filesMax) return closeFile(first, () => open(segSlot));
    const segment = segments[segSlot] as SegmentFile;
    disk.open(pathIn(directory, segment.name), 'read', (error, opened) => {
      if (error?.code === 'ENOENT') {
        tell(Math.max(index.foundFirst, wanted), 'its file is gone');
        return advance(index.foundLast);
      }
      if (error !== null) return finish(error);
      files.set(segSlot, opened);
      read(opened);
    });
  };

  const tell = (from: number, summary: string): void => {
    const { foundLast, foundSegSlot, foundOffset } = index;
    visit({
      groupId: groups.groupId[slot] as number,
      firstIndex: from,
      lastIndex: foundLast,
      segId: (segments[foundSegSlot] as SegmentFile).segId,
      offset: foundOffset,
      summary,
    });
  };

  const advance = (last: number): void => {
    wanted = last + 1;
    next();
  };

  const read = (file: File): void => {
    const { foundFirst, foundLast, foundOffset, foundRecLen } = index;
    const groupId = groups.groupId[slot] as number;
    const from = Math.max(foundFirst, wanted);
    const term = index.termOf(slot, from);
    const claim = { groupId, first: from, last: foundLast, term };
    if (foundRecLen > wholeRecordBytesMax) {
      const place = { offset: foundOffset, recLen: foundRecLen };
      return readLargeRecord(disk, file, place, (error, found) => {
        if (error !== null) return finish(error);
        runs++;
        bytes += foundRecLen;
        const summary = found.broken ?? contradictionIn(found.bytes, claim);
        if (summary !== null) tell(from, summary);
        advance(foundLast);
      });
    }
    if (buffer.length < foundRecLen) buffer = new Uint8Array(foundRecLen);
    readFully(disk, file, buffer.subarray(0, foundRecLen), foundOffset, (error, length) => {
      if (error !== null) return finish(error);
      runs++;
      bytes += length;
      const summary = faultOf(buffer.subarray(0, length), foundRecLen, claim);
      if (summary !== null) tell(from, summary);
      advance(foundLast);
    });
  };

  next();
}

interface Claim {
  readonly groupId: number;
  readonly first: number;
  readonly last: number;
  readonly term: number;
}

function faultOf(record: Uint8Array, recLen: number, claim: Claim): string | null {
  if (record.length < recLen) return 'the file ends inside it';
  const head = recordHeadAt(record, 0, record.length);
  if (head === null || head.type !== recordTypes.entries) return 'no ENTRIES record stands there';
  const verdict = verifyBlockInRecord(record, recordHeadBytes, head.recLen);
  return verdict === 'ok' ? contradictionIn(record, claim) : `its block is broken (${verdict})`;
}

/** What a whole record says that the index does not, or null. */
function contradictionIn(record: Uint8Array, claim: Claim): string | null {
  const groupId = u64At(record, 8);
  if (groupId !== claim.groupId) return `a record of group ${groupId} stands there`;
  const first = blockFirstIndex(record, recordHeadBytes);
  const last = first + blockCount(record, recordHeadBytes) - 1;
  if (claim.first < first || claim.last > last) return `it holds ${first}..${last}`;
  const term = blockTerm(record, recordHeadBytes);
  return term === claim.term ? null : `it has term ${term}, the index says ${claim.term}`;
}
