// Opening a directory: checks it, takes its lock, creates or recovers the store, and hands over a running log. Nothing in
// the directory changes before the lock is held and, for an existing store, before recovery has decided to accept it.

import { type Disk, type FileLock, FlotillaError, type IoError } from '@flotilla/io';
import type { Wal, WalEvents, WalOptions, WalWorld } from './api.ts';
import { createStore, drawInstance, isInterruptedCreation } from './create.ts';
import { writeFully } from './disk-steps.ts';
import { isLockName, lockName, pathIn, storeName } from './format.ts';
import { settle, type WalSettings } from './options.ts';
import { recoverStore } from './recovery.ts';
import { refusedBySystem } from './refusal.ts';
import { TrackedDisk } from './tracked-disk.ts';
import { type OpenedStore, WalLog } from './wal.ts';

export type OpenCallback = (error: FlotillaError | null, wal: Wal) => void;
/** What creating or recovering hands back; the failure callback of the spares is bound once the log stands. */
export type StoreCallback = (
  error: FlotillaError | null,
  opened: Omit<OpenedStore, 'volumeType'>,
) => void;

/** Opens the log in `options.directory`, or creates one there. The callback comes once, later. */
export function openWal(
  world: WalWorld,
  options: WalOptions,
  events: WalEvents,
  callback: OpenCallback,
): void {
  const settings = settle(options);
  if (settings instanceof FlotillaError) {
    return world.clock.nextTurn(() => callback(settings, undefined as never));
  }
  const disk = new TrackedDisk(world.disk);
  const { clock, rng, workers } = world;
  const tracked: WalWorld = { clock, rng, disk, ...(workers === undefined ? {} : { workers }) };
  const refuse = (error: FlotillaError): void => callback(error, undefined as never);
  prepareDirectory(disk, settings, (directoryError) => {
    if (directoryError !== null) return refuse(directoryError);
    takeLock(disk, settings, (lockError, lock) => {
      if (lockError !== null) return refuse(lockError);
      const release = (error: FlotillaError): void => {
        lock.release();
        refuse(error);
      };
      disk.list(settings.directory, (listError, names) => {
        if (listError !== null)
          return release(refusedBySystem('list', settings.directory, listError));
        let log: WalLog | null = null;
        let volumeType = 0;
        const fail = (what: string, error: IoError): void => log?.fail(what, error);
        const opened: StoreCallback = (error, store) => {
          if (error !== null) return release(error);
          signLock(disk, settings, world.clock.wallMs(), store, () => {
            const salt = (): number => world.rng.u32();
            const instance = (): number => drawInstance(world.rng);
            log = new WalLog(
              { clock: world.clock, disk, salt, drawInstance: instance },
              settings,
              events,
              {
                ...store,
                volumeType,
              },
            );
            callback(null, log);
          });
        };
        disk.volume(settings.directory, (volumeError, volume) => {
          if (volumeError === null) volumeType = volume.type;
          tellVolume(settings, volumeType);
          if (names.includes(storeName)) recoverStore(tracked, settings, lock, fail, opened);
          else createStore(tracked, settings, lock, names, fail, opened);
        });
      });
    });
  });
}

/** File systems whose syncs promise less than a disk's: statfs(2) types. */
const doubtfulVolumes: ReadonlyMap<number, string> = new Map([
  [0x0102_1994, 'tmpfs: nothing in it outlives the machine'],
  [0x6969, 'NFS: locks and syncs are the server’s to keep'],
  [0x6573_5546, 'FUSE: syncs are its program’s to keep'],
]);

function tellVolume(settings: WalSettings, type: number): void {
  const doubt = doubtfulVolumes.get(type);
  if (doubt !== undefined) settings.onInfo(`${settings.directory} is on ${doubt}`);
}

/** The directory must be one; with `create` it may be absent, and must otherwise hold a store or nothing. */
function prepareDirectory(
  disk: Disk,
  settings: WalSettings,
  callback: (error: FlotillaError | null) => void,
): void {
  const { directory } = settings;
  disk.stat(directory, (statError, stat) => {
    if (statError !== null && statError.code === 'ENOENT') {
      if (!settings.create) return callback(absent(directory));
      return disk.mkdir(directory, (error) =>
        callback(error === null ? null : refusedBySystem('create', directory, error)),
      );
    }
    if (statError !== null) return callback(refusedBySystem('look at', directory, statError));
    if (stat.kind !== 'directory') {
      const reason = stat.kind === 'symlink' ? 'E_SYMLINK' : 'E_NOT_DIRECTORY';
      const message = `${directory} is a ${stat.kind}, not a directory`;
      return callback(new FlotillaError('IO_REFUSED', message, { reason, file: directory }));
    }
    disk.list(directory, (error, names) => {
      if (error !== null) return callback(refusedBySystem('list', directory, error));
      if (names.includes(storeName)) return callback(null);
      if (!settings.create) return callback(absent(directory));
      const isFree = names.every(isLockName);
      if (isFree || isInterruptedCreation(names)) return callback(null);
      const found = names.slice(0, 5).join(', ');
      const message = `${directory} holds no store, but other things: ${found}`;
      callback(new FlotillaError('WAL_NOT_EMPTY', message, { file: directory, found }));
    });
  });
}

function absent(directory: string): FlotillaError {
  return new FlotillaError(
    'WAL_ABSENT',
    `${directory} holds no store, and creating one was not asked for`,
    {
      file: directory,
    },
  );
}

function takeLock(
  disk: Disk,
  settings: WalSettings,
  callback: (error: FlotillaError | null, lock: FileLock) => void,
): void {
  const path = pathIn(settings.directory, lockName);
  disk.lock(path, (error, lock) => {
    if (error === null) return callback(null, lock);
    if (error.code !== 'EWOULDBLOCK') return callback(refusedBySystem('lock', path, error), lock);
    const message = `${settings.directory} is open in another process`;
    callback(new FlotillaError('WAL_LOCKED', message, { file: path }, error), lock);
  });
}

/** Says in LOCK who opened the store, for people. What fails here is only told: the lock itself is held. */
function signLock(
  disk: Disk,
  settings: WalSettings,
  nowMs: number,
  opened: Omit<OpenedStore, 'volumeType'>,
  done: () => void,
): void {
  const { epoch, instance } = opened.store.slot;
  const path = pathIn(settings.directory, lockName);
  const text = `${JSON.stringify({ epoch, instance, openedMs: Math.floor(nowMs) })}\n`;
  const finish = (error: IoError | null): void => {
    if (error !== null) settings.onInfo(`cannot sign ${path}: ${error.message}`);
    done();
  };
  disk.open(path, 'write', (openError, file) => {
    if (openError !== null) return finish(openError);
    disk.truncate(file, 0, (truncateError) => {
      if (truncateError !== null) return disk.close(file, () => finish(truncateError));
      writeFully(disk, file, new TextEncoder().encode(text), 0, (writeError) =>
        disk.close(file, () => finish(writeError)),
      );
    });
  });
}
