// Creating a store. STORE.new is made first and becomes STORE last, by a rename after everything else is durable: a crash
// in between leaves a directory that says "interrupted creation" by that name, and creating it again starts over.

import {
  type Disk,
  type Done,
  type FileLock,
  FlotillaError,
  type IoError,
  type Rng,
} from '@flotilla/io';
import type { WalWorld } from './api.ts';
import { fillWithZeros, readFully, runSteps, type Step, writeFully } from './disk-steps.ts';
import {
  encodeSegmentHeader,
  encodeStoreSlot,
  formatMajor,
  formatMinor,
  isBatchHeader,
  isSpareName,
  isLockName,
  pageBytes,
  pathIn,
  segmentName,
  type StoreSlot,
  spareName,
  storeFileBytes,
  storeName,
  storeNewName,
} from './format.ts';
import { LogIndex } from './log-index.ts';
import type { StoreCallback } from './open.ts';
import type { WalSettings } from './options.ts';
import { refusedBySystem } from './refusal.ts';
import { SegmentSet } from './segment-set.ts';
import { SpareMaker } from './spare-maker.ts';
import { StoreFile, slotOffset } from './store-file.ts';

const firstSegId = 1;

/** Whether a directory without STORE holds nothing but what creating one leaves behind half-way. */
export function isInterruptedCreation(names: readonly string[]): boolean {
  if (!names.includes(storeNewName)) return false;
  return names.every((name) => isLockName(name) || isLeftover(name));
}

function isLeftover(name: string): boolean {
  return name === storeNewName || name === segmentName(firstSegId) || isSpareName(name);
}

export function drawUuid(rng: Rng): Uint8Array {
  const uuid = new Uint8Array(16);
  const words = new DataView(uuid.buffer);
  for (let i = 0; i < 4; i++) words.setUint32(4 * i, rng.u32(), true);
  return uuid;
}

/** A random identity from 1 to 2^53 - 1. */
export function drawInstance(rng: Rng): number {
  return (rng.u32() & 0x1f_ffff) * 2 ** 32 + ((rng.u32() | 1) >>> 0);
}

/** Makes `path` a file with these bytes at these offsets, zeros elsewhere up to `bytes`, all of it durable. */
export function makeFile(
  disk: Disk,
  path: string,
  bytes: number,
  parts: readonly { readonly offset: number; readonly data: Uint8Array }[],
  done: Done,
): void {
  disk.open(path, 'create', (openError, file) => {
    if (openError !== null) return done(openError);
    const close = (error: IoError | null): void =>
      disk.close(file, (closeError) => done(error ?? closeError));
    const writePart = (at: number): void => {
      const part = parts[at];
      if (part === undefined) return disk.datasync(file, close);
      writeFully(disk, file, part.data, part.offset, (error) =>
        error === null ? writePart(at + 1) : close(error),
      );
    };
    fillWithZeros(
      disk,
      file,
      bytes,
      (goOn) => goOn(),
      (error) => (error === null ? writePart(0) : close(error)),
    );
  });
}

/**
 * Makes a new store in the directory. What an interrupted creation left there is removed first, unless its segment holds
 * a batch: then STORE was lost or removed, and the directory is somebody's data.
 */
export function createStore(
  world: WalWorld,
  settings: WalSettings,
  lock: FileLock,
  names: readonly string[],
  fail: (what: string, error: IoError) => void,
  callback: StoreCallback,
): void {
  const { disk } = world;
  const path = pathIn(settings.directory, segmentName(firstSegId));
  if (!names.includes(segmentName(firstSegId))) {
    return makeStore(world, settings, lock, names, fail, callback);
  }
  const page = new Uint8Array(pageBytes);
  const refuse = (error: FlotillaError): void => callback(error, undefined as never);
  disk.open(path, 'read', (openError, file) => {
    if (openError !== null) return refuse(refusedBySystem('open', path, openError));
    readFully(disk, file, page, pageBytes, (readError) =>
      disk.close(file, () => {
        if (readError !== null) return refuse(refusedBySystem('read', path, readError));
        if (!isBatchHeader(page, 0)) return makeStore(world, settings, lock, names, fail, callback);
        const message = `${settings.directory} has no STORE, but a segment with batches`;
        refuse(new FlotillaError('WAL_NOT_EMPTY', message, { file: path }));
      }),
    );
  });
}

function makeStore(
  world: WalWorld,
  settings: WalSettings,
  lock: FileLock,
  names: readonly string[],
  fail: (what: string, error: IoError) => void,
  callback: StoreCallback,
): void {
  const { disk, clock, rng } = world;
  const { directory, segmentBytes, instance } = settings;
  const startedMs = clock.monotonicMs();
  const createdMs = Math.max(0, Math.floor(clock.wallMs()));
  const slot: StoreSlot = {
    slotSeq: 1,
    uuid: drawUuid(rng),
    instance: instance === 0 ? drawInstance(rng) : instance,
    epoch: 1,
    oldestSeg: firstSegId,
    newestSeg: firstSegId,
    durableSeq: 0,
    cleanSeq: 0,
    incompat: 0,
    compat: 0,
    createdMs,
  };
  const salt = rng.u32();
  const header = encodeSegmentHeader({
    major: formatMajor,
    minor: formatMinor,
    headerLen: pageBytes,
    uuid: slot.uuid,
    segId: firstSegId,
    salt,
    epoch: 1,
    firstSeq: 1,
    oldestSeg: firstSegId,
    prevSegId: 0,
    prevEnd: 0,
    prevLastSeq: 0,
    prevHdrCrc: 0,
    capacityPages: segmentBytes / pageBytes,
    incompat: 0,
    compat: 0,
    createdMs,
  });
  const path = (name: string): string => pathIn(directory, name);
  const newStore = path(storeNewName);
  const spare = path(spareName(1));
  const segment = path(segmentName(firstSegId));
  const slotPart = { offset: slotOffset(slot.slotSeq), data: encodeStoreSlot(slot) };
  const remove = (name: string): Step => [
    'remove',
    path(name),
    (done) => disk.unlink(path(name), done),
  ];
  const syncNames: Step = ['sync', directory, (done) => disk.syncDir(directory, done)];
  const leftovers = names.filter((name) => isLeftover(name) && name !== storeNewName);
  const parent = directory.replace(/\/+$/, '').replace(/[^/]*$/, '') || '.';
  const steps: Step[] = [
    // An attempt that was killed may have made the directory and not come to this.
    ['sync', parent, (done) => disk.syncDir(parent, done)],
    ...leftovers.map(remove),
    // STORE.new goes last, and durably so: it is what says that the rest may go.
    ...(names.includes(storeNewName) ? [syncNames, remove(storeNewName)] : []),
    ['write', newStore, (done) => makeFile(disk, newStore, storeFileBytes, [slotPart], done)],
    syncNames,
    [
      'write',
      spare,
      (done) => makeFile(disk, spare, segmentBytes, [{ offset: 0, data: header }], done),
    ],
    ['rename', spare, (done) => disk.rename(spare, segment, done)],
    syncNames,
    ['rename', newStore, (done) => disk.rename(newStore, path(storeName), done)],
    syncNames,
  ];
  runSteps(steps, (error, what, where) => {
    if (error !== null) return callback(refusedBySystem(what, where, error), undefined as never);
    disk.open(path(storeName), 'write', (storeError, storeFile) => {
      if (storeError !== null)
        return callback(refusedBySystem('open', path(storeName), storeError), undefined as never);
      disk.open(segment, 'write', (openError, file) => {
        if (openError !== null)
          return callback(refusedBySystem('open', segment, openError), undefined as never);
        const segments = new SegmentSet(settings.slabBytes);
        segments.add({
          segId: firstSegId,
          salt,
          capacityBytes: segmentBytes,
          streamBase: 0,
          isOnDisk: true,
        }).file = file;
        callback(null, {
          lock,
          store: new StoreFile(disk, storeFile, slot),
          segments,
          spares: new SpareMaker(
            world,
            { directory, bytes: segmentBytes, nextCounter: 2, keepsReserve: settings.hasReserve },
            fail,
            settings.onInfo,
          ),
          index: new LogIndex(),
          end: { lastSeq: 0, nextSeq: 1, lastHdrCrc: 0, offset: pageBytes },
          report: {
            verdict: 'created',
            witnessedSeq: 0,
            lastSeq: 0,
            discardedBytes: 0,
            carriedBatches: 0,
            groups: 0,
            bytesScanned: 0,
            elapsedMs: clock.monotonicMs() - startedMs,
          },
        });
      });
    });
  });
}
