// Reading one ENTRIES record back: from the slab while it is there, else from the window that was read around it, else by
// one pread. What comes from disk is verified (record head, block shape, block CRC, and that it holds the indexes asked
// for) before anybody sees it; what a window has and is not right is read again, alone, before it counts as damage.

import {
  blockCount,
  blockFirstIndex,
  blockTerm,
  recordHeadAt,
  recordHeadBytes,
  recordTypes,
  verifyBlockInRecord,
} from '@flotilla/codec';
import { type Clock, type Disk, FlotillaError, type IoError } from '@flotilla/io';
import { RecordRef, type WalCounters } from './api.ts';
import { readFully } from './disk-steps.ts';
import { segmentName } from './format.ts';
import { type ReadWindows, withFile } from './read-windows.ts';
import type { SegmentState } from './segment-set.ts';
import type { Slab } from './slab-ring.ts';

/** What the index says of a record. */
export interface RecordClaim {
  readonly path: string;
  readonly segment: SegmentState;
  readonly offset: number;
  readonly recLen: number;
  readonly groupId: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
}

export interface RecordPlace extends RecordClaim {
  readonly slab: Slab | null;
}

type Loaded = (error: FlotillaError | null, ref: RecordRef) => void;

export function loadRecord(
  world: { readonly clock: Clock; readonly disk: Disk },
  place: RecordPlace,
  windows: ReadWindows,
  counters: WalCounters,
  callback: Loaded,
): void {
  const { segment, slab, offset, recLen } = place;
  if (slab !== null && offset >= slab.validFrom) {
    const at = offset - slab.fileStart;
    const ref = refTo(place, slab.bytes.slice(at, at + recLen));
    return world.clock.nextTurn(() => callback(null, ref));
  }
  counters.readsFromDisk++;
  // A unit whose slab is in memory is still being written: no window may remember what it holds now.
  if (slab !== null) return readAlone(world.disk, place, callback);
  const near = windows.peek(segment, offset, recLen);
  if (near !== null && damageOf(place, near) === null) {
    const ref = refTo(place, near);
    return world.clock.nextTurn(() => callback(null, ref));
  }
  const isReading =
    near === null &&
    windows.read(place, offset, recLen, (bytes) => {
      if (bytes !== null && damageOf(place, bytes) === null) callback(null, refTo(place, bytes));
      else readAlone(world.disk, place, callback);
    });
  if (!isReading) readAlone(world.disk, place, callback);
}

/** By a read of its own, whose answer counts. */
function readAlone(disk: Disk, place: RecordPlace, callback: Loaded): void {
  const { segment, offset, recLen } = place;
  const target = new Uint8Array(recLen);
  segment.readers++;
  withFile(disk, segment, place.path, (openError, file, release) => {
    if (openError !== null) {
      segment.readers--;
      return callback(recordUnreadable(place, openError), new RecordRef());
    }
    readFully(disk, file, target, offset, (error, bytes) => {
      segment.readers--;
      release();
      if (error !== null) return callback(recordUnreadable(place, error), new RecordRef());
      const damage = bytes < recLen ? 'the file ends before it' : damageOf(place, target);
      if (damage === null) callback(null, refTo(place, target));
      else callback(recordDamaged(place, damage), new RecordRef());
    });
  });
}

function refTo(place: RecordPlace, bytes: Uint8Array): RecordRef {
  const ref = new RecordRef();
  ref.bytes = bytes;
  ref.at = 0;
  ref.recLen = place.recLen;
  ref.firstIndex = place.firstIndex;
  ref.lastIndex = place.lastIndex;
  ref.term = blockTerm(bytes, recordHeadBytes);
  return ref;
}

/** What is wrong with the record read, or null. */
export function damageOf(place: RecordClaim, bytes: Uint8Array): string | null {
  const head = recordHeadAt(bytes, 0, bytes.length);
  if (head === null || head.type !== recordTypes.entries || head.recLen !== place.recLen) {
    return 'no ENTRIES record of that length stands there';
  }
  if (head.groupId !== place.groupId) return `it belongs to group ${head.groupId}`;
  const verdict = verifyBlockInRecord(bytes, recordHeadBytes, bytes.length);
  if (verdict !== 'ok')
    return verdict === 'crc' ? 'its CRC fails' : `its block is broken (${verdict})`;
  const first = blockFirstIndex(bytes, recordHeadBytes);
  const last = first + blockCount(bytes, recordHeadBytes) - 1;
  if (first > place.firstIndex || last < place.lastIndex)
    return `it holds the entries ${first}..${last}`;
  return null;
}

function detailsOf(place: RecordClaim): Record<string, unknown> {
  return {
    groupId: place.groupId,
    firstIndex: place.firstIndex,
    count: place.lastIndex - place.firstIndex + 1,
    segment: segmentName(place.segment.segId),
    offset: place.offset,
  };
}

export function recordDamaged(place: RecordClaim, damage: string): FlotillaError {
  const { groupId, firstIndex, lastIndex, segment, offset } = place;
  return new FlotillaError(
    'WAL_ENTRY_CORRUPT',
    `entries ${firstIndex}..${lastIndex} of group ${groupId} are damaged in ` +
      `${segmentName(segment.segId)} at ${offset}: ${damage}`,
    detailsOf(place),
  );
}

export function recordUnreadable(place: RecordClaim, error: IoError): FlotillaError {
  return new FlotillaError(
    'WAL_READ_FAILED',
    `cannot read ${place.path} at ${place.offset}: ${error.message}`,
    { ...detailsOf(place), code: error.code },
    error,
  );
}
