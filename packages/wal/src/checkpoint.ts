// A checkpoint: a directory with hard links to the sealed segments, a manifest, and a STORE of its own that names a new
// instance. Costs no copy and no pause; the files it shares are never written again, neither by the log they come from
// (a file with a second name is not used again) nor by a log that is opened on the copy (it begins a new segment).
//
// STORE gets its name last: a directory without one is a checkpoint that was cut short and can be removed.

import { assert, type Disk, type Done, type FlotillaError } from '@flotilla/io';
import { checkpointName, type CheckpointManifest, encodeCheckpoint } from './checkpoint-format.ts';
import { makeFile } from './create.ts';
import { makeEmptyDirectory, putFile, runSteps } from './disk-steps.ts';
import {
  encodeStoreSlot,
  pathIn,
  segmentName,
  type StoreSlot,
  storeFileBytes,
  storeName,
  storeNewName,
} from './format.ts';
import { refusedBySystem } from './refusal.ts';
import type { SegmentSet, SegmentState } from './segment-set.ts';
import { slotOffset } from './store-file.ts';

/** The manifest of all segments before `next`, which are sealed. */
export function manifestOf(
  store: StoreSlot,
  segments: SegmentSet,
  next: SegmentState,
  copy: { readonly instance: number; readonly wallMs: number },
): CheckpointManifest {
  const sealed = segments.all.filter((segment) => segment.slot < next.slot);
  const last = sealed.at(-1);
  assert(last !== undefined && last.end > 0, 'a checkpoint of segments that are not sealed');
  return {
    uuid: store.uuid,
    instance: copy.instance,
    sourceInstance: store.instance,
    epoch: store.epoch,
    lastSeq: last.lastSeq,
    lastHdrCrc: last.lastHdrCrc,
    createdMs: Math.max(0, Math.floor(copy.wallMs)),
    segments: sealed.map(({ segId, end, lastSeq }) => ({ segId, end, lastSeq })),
  };
}

/** Makes `target`, which must not exist or be empty, a checkpoint of the segments that the manifest names. */
export function writeCheckpoint(
  disk: Disk,
  directory: string,
  target: string,
  manifest: CheckpointManifest,
  callback: (error: FlotillaError | null) => void,
): void {
  const { segments, uuid, instance, epoch, lastSeq, createdMs } = manifest;
  const oldest = segments[0];
  const newest = segments.at(-1);
  if (oldest === undefined || newest === undefined) {
    throw new RangeError('a checkpoint has at least one segment');
  }
  const slot = {
    slotSeq: 1,
    uuid,
    instance,
    epoch,
    oldestSeg: oldest.segId,
    newestSeg: newest.segId,
    durableSeq: lastSeq,
    cleanSeq: lastSeq,
    incompat: 0,
    compat: 0,
    createdMs,
  };
  const slotPart = { offset: slotOffset(slot.slotSeq), data: encodeStoreSlot(slot) };
  const manifestPath = pathIn(target, checkpointName);
  const newStore = pathIn(target, storeNewName);
  const parent = target.replace(/\/+$/, '').replace(/[^/]*$/, '') || '.';
  const steps = [
    ...segments.map(({ segId }) => {
      const name = segmentName(segId);
      const link = (done: Done): void =>
        disk.link(pathIn(directory, name), pathIn(target, name), done);
      return ['link', pathIn(target, name), link] as const;
    }),
    [
      'write',
      manifestPath,
      (done: Done) => putFile(disk, manifestPath, encodeCheckpoint(manifest), done),
    ] as const,
    [
      'write',
      newStore,
      (done: Done) => makeFile(disk, newStore, storeFileBytes, [slotPart], done),
    ] as const,
    ['sync', target, (done: Done) => disk.syncDir(target, done)] as const,
    [
      'rename',
      newStore,
      (done: Done) => disk.rename(newStore, pathIn(target, storeName), done),
    ] as const,
    ['sync', target, (done: Done) => disk.syncDir(target, done)] as const,
    ['sync', parent, (done: Done) => disk.syncDir(parent, done)] as const,
  ];
  const notEmpty = `${target} is to become a checkpoint and is not empty`;
  makeEmptyDirectory(disk, target, notEmpty, (error) => {
    if (error !== null) return callback(error);
    runSteps(steps, (failure, what, path) =>
      callback(failure === null ? null : refusedBySystem(what, path, failure)),
    );
  });
}
