// Opening an existing store: inspect, decide, and only then write. No byte of an existing segment is ever changed here.
//
// Where the log ends in good order and its last batch is witnessed, the log goes on in the newest segment. Else a new
// segment is made: what stands un-witnessed at the end (one batch, at depth one) is written again into it as carry-over
// batches and synced before any group sees it, because what the page cache shows may never have reached the disk. The
// new header declares the old segment's end before the old copies, so nothing replays twice; a crash before STORE names
// the new segment repeats the same recovery from the untouched old one.
//
// STORE too was read from the page cache, where a process that died may have left a slot that the disk does not have. It is
// made durable before anything is done on its word: a segment that it gave up would be gone, and after a power cut the
// STORE that still asks for it be back.

import { alignUp, crc32 } from '@flotilla/codec';
import {
  assert,
  type Disk,
  type Done,
  type File,
  type FileLock,
  FlotillaError,
  type IoError,
} from '@flotilla/io';
import type { RecoveryReport, WalWorld } from './api.ts';
import { makeFile } from './create.ts';
import { readFully, runSteps } from './disk-steps.ts';
import type { LogEnd } from './flusher.ts';
import {
  batchBodyCrcAt,
  batchBodyLenAt,
  batchFlags,
  batchFlagsAt,
  batchHdrCrcAt,
  batchHeaderBytes,
  batchRecordsAt,
  encodeSegmentHeader,
  formatMajor,
  formatMinor,
  isBatchHeader,
  pageBytes,
  pathIn,
  putBatchHeader,
  reserveName,
  segmentName,
  spareName,
  storeName,
} from './format.ts';
import { inspectDirectory } from './inspect/inspect-directory.ts';
import type { BatchPlace, Inspection, TailReport } from './inspect/inspection.ts';
import type { SegmentFile, Survey } from './inspect/survey.ts';
import type { StoreCallback } from './open.ts';
import type { WalSettings } from './options.ts';
import { refusalError, refusedBySystem } from './refusal.ts';
import { moveBatch } from './replay.ts';
import { scanThreadsOf } from './scan-ahead.ts';
import { SegmentSet } from './segment-set.ts';
import { type Spare, SpareMaker } from './spare-maker.ts';
import { StoreFile } from './store-file.ts';

/** A segment made by recovery is small, so that a crash loop does not fill the disk. */
const carrySegmentBytes: number = 4 * 1024 * 1024;

export function recoverStore(
  world: WalWorld,
  settings: WalSettings,
  lock: FileLock,
  fail: (what: string, error: IoError) => void,
  callback: StoreCallback,
): void {
  const { directory } = settings;
  const startedMs = world.clock.monotonicMs();
  const { suspectTail, scanWorkers, onInfo } = settings;
  const { workers, clock } = world;
  const threads = workers === undefined ? 0 : scanThreadsOf(workers, scanWorkers);
  const help = workers === undefined ? {} : { help: { workers, clock, threads, onInfo } };
  inspectDirectory(world.disk, directory, { suspectTail, ...help }, (found) => {
    const { survey, tail, refusal } = found;
    if (refusal !== null) {
      const error =
        found.cause === null
          ? refusalError(directory, refusal)
          : refusedBySystem('recover', pathIn(directory, refusal.file), found.cause);
      return callback(error, undefined as never);
    }
    assert(survey !== null && tail !== null, 'an accepted directory without an end');
    const { instance } = survey.store.current;
    if (settings.instance !== 0 && settings.instance !== instance) {
      return callback(identityMismatch(directory, settings.instance, instance), undefined as never);
    }
    tell(settings, survey, found, tail);
    new Recovery(world, settings, lock, fail, { found, survey, tail, startedMs }, callback).run();
  });
}

function identityMismatch(directory: string, wanted: number, found: number): FlotillaError {
  const message = `${directory} is instance ${found}, not ${wanted}`;
  return new FlotillaError('IDENTITY_MISMATCH', message, { wanted, found });
}

function tell(settings: WalSettings, survey: Survey, found: Inspection, tail: TailReport): void {
  for (const name of survey.strays)
    settings.onInfo(`${name} is not a file of the log and stays as it is`);
  const newest = survey.segments.at(-1) as SegmentFile;
  const capacityBytes = newest.header.capacityPages * pageBytes;
  if (newest.bytes < capacityBytes) {
    settings.onInfo(`${newest.name} has ${newest.bytes} bytes instead of ${capacityBytes}`);
  }
  if (found.verdict !== 'torn') return;
  settings.onInfo(
    `torn tail: ${tail.discardedBytes} bytes of batch ${tail.seq} in ${newest.name} from page ${tail.page} on ` +
      'were never acknowledged and are dropped',
  );
}

interface Facts {
  readonly found: Inspection;
  readonly survey: Survey;
  readonly tail: TailReport;
  readonly startedMs: number;
}

class Recovery {
  readonly #world: WalWorld;
  readonly #disk: Disk;
  readonly #settings: WalSettings;
  readonly #lock: FileLock;
  readonly #fail: (what: string, error: IoError) => void;
  readonly #facts: Facts;
  readonly #callback: StoreCallback;
  readonly #epoch: number;
  readonly #newest: SegmentFile;
  /** Un-witnessed batches at the end, to be carried over. */
  readonly #carried: readonly BatchPlace[];
  readonly #salt: number;
  #isNewSegment = false;
  #capacityBytes = 0;
  #end: LogEnd;
  /** Open for writing from the first change on. */
  #store: StoreFile | null = null;

  constructor(
    world: WalWorld,
    settings: WalSettings,
    lock: FileLock,
    fail: (what: string, error: IoError) => void,
    facts: Facts,
    callback: StoreCallback,
  ) {
    this.#world = world;
    this.#disk = world.disk;
    this.#settings = settings;
    this.#lock = lock;
    this.#fail = fail;
    this.#facts = facts;
    this.#callback = callback;
    this.#salt = world.rng.u32();
    const { found, survey, tail } = facts;
    this.#epoch = Math.max(survey.store.current.epoch, found.epochSeen) + 1;
    this.#newest = survey.segments.at(-1) as SegmentFile;
    this.#carried =
      found.verdict === 'clean'
        ? []
        : found.newestBatches.filter((batch) => batch.seq > found.witnesses.all);
    this.#end = {
      lastSeq: found.lastSeq,
      // Not lastSeq + 1: an empty segment may begin behind a gap.
      nextSeq: tail.seq,
      lastHdrCrc: found.lastHdrCrc,
      offset: tail.offset,
    };
  }

  run(): void {
    const { found, tail } = this.#facts;
    const isPlainEnd = tail.fault === 'zero' || tail.fault === 'end' || tail.fault === 'stale';
    const isFullSize = this.#newest.bytes >= this.#newest.header.capacityPages * pageBytes;
    const goesOn =
      isPlainEnd &&
      isFullSize &&
      // A second name is a checkpoint's: its bytes are not ours to change.
      this.#newest.links === 1 &&
      (found.verdict === 'clean' ||
        (found.verdict === 'cleanEnd' && this.#carried.length === 0 && tail.isZeroAfter));
    const leave = this.#abandonedPaths();
    this.#openStore(() =>
      this.#removeAll(leave, () => (goesOn ? this.#settleNames() : this.#carryOver())),
    );
  }

  /**
   * Opens STORE and makes its newest slot durable: only then may files go that it does not ask for, and the older slot be
   * overwritten. An earlier process may have been killed before it synced the slot, or been told that the sync failed; in
   * the second case the page counts as clean and a sync does nothing, so that before files are removed it is said again
   * in the other slot.
   */
  #openStore(next: () => void): void {
    const { survey } = this.#facts;
    const path = pathIn(this.#settings.directory, storeName);
    this.#disk.open(path, 'write', (error, file) => {
      if (error !== null) return this.#refuse('open', path, error);
      const store = new StoreFile(this.#disk, file, survey.store.current);
      this.#store = store;
      this.#disk.datasync(file, (syncError) => {
        if (syncError !== null) return this.#refuse('sync', path, syncError);
        if (survey.leftovers.length === 0) return next();
        store.update({}, (writeError) => {
          if (writeError !== null) this.#refuse('write', path, writeError);
          else next();
        });
      });
    });
  }

  /**
   * Makes the names durable that were found: whoever made them may have been killed before the directory was synced, and
   * what is acknowledged from now on hangs on them. (A new segment syncs the directory itself.)
   */
  #settleNames(): void {
    const { directory } = this.#settings;
    this.#run([['sync', directory, (done) => this.#disk.syncDir(directory, done)]], () =>
      this.#acceptStore(),
    );
  }

  /** Files that a rotation, a recovery or a purge cut short left behind; they hold nothing that counts. */
  #abandonedPaths(): string[] {
    const { found, survey } = this.#facts;
    const names = [...found.abandoned.map((file) => file.name), ...survey.leftovers];
    return names.map((name) => pathIn(this.#settings.directory, name));
  }

  #removeAll(paths: readonly string[], done: () => void): void {
    const steps = paths.map(
      (path) => ['remove', path, (end: Done) => this.#disk.unlink(path, end)] as const,
    );
    this.#run(steps, done);
  }

  #run(
    steps: readonly (readonly [what: string, path: string, run: (done: Done) => void])[],
    done: () => void,
  ): void {
    runSteps(steps, (error, what, path) => {
      if (error !== null) this.#refuse(what, path, error);
      else done();
    });
  }

  #refuse(what: string, path: string, error: IoError): void {
    const tell = (): void => this.#callback(refusedBySystem(what, path, error), undefined as never);
    if (this.#store === null) tell();
    else this.#disk.close(this.#store.file, tell);
  }

  // --- A new segment -------------------------------------------------------------------------------------------------

  #carryOver(): void {
    const path = pathIn(this.#settings.directory, this.#newest.name);
    if (this.#carried.length === 0) return this.#makeSegment([]);
    this.#disk.open(path, 'read', (error, file) => {
      if (error !== null) return this.#refuse('open', path, error);
      this.#readCarried(file, [], (readError, batches) =>
        this.#disk.close(file, () => {
          if (readError !== null) this.#refuse('read', path, readError);
          else this.#makeSegment(batches);
        }),
      );
    });
  }

  #readCarried(
    file: File,
    batches: Uint8Array[],
    done: (error: IoError | null, batches: Uint8Array[]) => void,
  ): void {
    const place = this.#carried[batches.length];
    if (place === undefined) return done(null, batches);
    const bytes = new Uint8Array(place.length);
    readFully(this.#disk, file, bytes, place.offset, (error, length) => {
      if (error !== null) return done(error, batches);
      const isSame =
        length === place.length &&
        isBatchHeader(bytes, 0) &&
        batchHdrCrcAt(bytes, 0) === place.hdrCrc &&
        crc32(bytes, batchHeaderBytes, length) === batchBodyCrcAt(bytes, 0);
      if (!isSame) {
        const changed = Object.assign(new Error('it reads differently the second time'), {
          code: 'EIO',
        });
        return done(changed, batches);
      }
      batches.push(bytes);
      this.#readCarried(file, batches, done);
    });
  }

  #makeSegment(batches: readonly Uint8Array[]): void {
    const { found, survey, tail } = this.#facts;
    const { directory, segmentBytes } = this.#settings;
    const { current } = survey.store;
    const segId = current.newestSeg + 1;
    const carriedBytes = batches.reduce((sum, batch) => sum + batch.length, 0);
    const least = carriedBytes + 2 * pageBytes;
    this.#capacityBytes = Math.max(
      Math.min(carrySegmentBytes, segmentBytes),
      alignUp(least, pageBytes),
    );
    this.#isNewSegment = true;
    const kept = found.newestBatches.filter((batch) => batch.seq <= found.witnesses.all).at(-1);
    const prevLastSeq =
      this.#carried.length === 0 ? found.lastSeq : (kept?.seq ?? this.#newest.header.prevLastSeq);
    const prevHdrCrc =
      this.#carried.length === 0
        ? found.lastHdrCrc
        : (kept?.hdrCrc ?? this.#newest.header.prevHdrCrc);
    const firstSeq = found.seqSeen + 1;
    const header = encodeSegmentHeader({
      major: formatMajor,
      minor: formatMinor,
      headerLen: pageBytes,
      uuid: current.uuid,
      segId,
      salt: this.#salt,
      epoch: this.#epoch,
      firstSeq,
      oldestSeg: current.oldestSeg,
      prevSegId: current.newestSeg,
      prevEnd: this.#carried[0]?.offset ?? tail.offset,
      prevLastSeq,
      prevHdrCrc,
      capacityPages: this.#capacityBytes / pageBytes,
      incompat: 0,
      compat: 0,
      createdMs: Math.max(0, Math.floor(this.#world.clock.wallMs())),
    });
    const parts = [{ offset: 0, data: header }];
    let end: LogEnd = {
      lastSeq: prevLastSeq,
      nextSeq: firstSeq,
      lastHdrCrc: prevHdrCrc,
      offset: pageBytes,
    };
    batches.forEach((batch, i) => {
      const lastHdrCrc = this.#reseal(batch, segId, end);
      const place = this.#carried[i] as BatchPlace;
      const { index } = found;
      const oldSlot = survey.segments.length - 1;
      moveBatch(
        index,
        batch,
        0,
        batchBodyLenAt(batch, 0),
        { segSlot: oldSlot, offset: place.offset },
        { segSlot: oldSlot + 1, offset: end.offset },
      );
      parts.push({ offset: end.offset, data: batch });
      const { nextSeq } = end;
      end = {
        lastSeq: nextSeq,
        nextSeq: nextSeq + 1,
        lastHdrCrc,
        offset: end.offset + batch.length,
      };
    });
    this.#end = end;
    const spare = pathIn(directory, this.#freeSpareName());
    const path = pathIn(directory, segmentName(segId));
    this.#run(
      [
        ['write', spare, (done) => makeFile(this.#disk, spare, this.#capacityBytes, parts, done)],
        ['rename', spare, (done) => this.#disk.rename(spare, path, done)],
        ['sync', directory, (done) => this.#disk.syncDir(directory, done)],
      ],
      () => this.#acceptStore(),
    );
  }

  /** Gives a carried batch its new place in the stream; its body stays as it is. */
  #reseal(batch: Uint8Array, segId: number, end: LogEnd): number {
    return putBatchHeader(batch, 0, {
      flags: batchFlagsAt(batch, 0) | batchFlags.carryOver,
      segId,
      seq: end.nextSeq,
      salt: this.#salt,
      pageNo: end.offset / pageBytes,
      bodyLen: batchBodyLenAt(batch, 0),
      recordCount: batchRecordsAt(batch, 0),
      durableSeq: end.lastSeq,
      prevHdrCrc: end.lastHdrCrc,
      bodyCrc: batchBodyCrcAt(batch, 0),
      epoch: this.#epoch,
    });
  }

  #freeSpareName(): string {
    const taken = new Set(this.#facts.survey.spares.map((spare) => spare.name));
    let counter = 1;
    while (taken.has(spareName(counter))) counter++;
    return spareName(counter);
  }

  // --- The store is accepted -----------------------------------------------------------------------------------------

  #acceptStore(): void {
    const { survey } = this.#facts;
    const store = this.#store as StoreFile;
    const path = pathIn(this.#settings.directory, storeName);
    const newestSeg = survey.store.current.newestSeg + (this.#isNewSegment ? 1 : 0);
    const changes = { epoch: this.#epoch, newestSeg, durableSeq: this.#end.lastSeq, cleanSeq: 0 };
    store.update(changes, (error) => {
      if (error !== null) this.#refuse('write', path, error);
      else this.#openNewest(store, newestSeg);
    });
  }

  #openNewest(store: StoreFile, newestSeg: number): void {
    const path = pathIn(this.#settings.directory, segmentName(newestSeg));
    this.#disk.open(path, 'write', (error, file) => {
      if (error !== null) return this.#refuse('open', path, error);
      const segments = new SegmentSet(this.#settings.slabBytes);
      const { found, survey } = this.#facts;
      survey.segments.forEach(({ segId, header }, i) => {
        const capacityBytes = header.capacityPages * pageBytes;
        const place = { segId, salt: header.salt, capacityBytes, streamBase: 0, isOnDisk: true };
        const segment = segments.add(place);
        const next = survey.segments[i + 1]?.header;
        segment.end = next?.prevEnd ?? found.segments[i]?.end ?? 0;
        segment.lastSeq = next?.prevLastSeq ?? found.lastSeq;
        segment.lastHdrCrc = next?.prevHdrCrc ?? found.lastHdrCrc;
      });
      if (this.#isNewSegment) {
        const capacityBytes = this.#capacityBytes;
        segments.add({
          segId: newestSeg,
          salt: this.#salt,
          capacityBytes,
          streamBase: 0,
          isOnDisk: true,
        });
      }
      segments.newest.file = file;
      this.#settleSpares((spares) => this.#finish(store, segments, spares));
    });
  }

  /** Keeps one spare of the right size, removes the others. */
  #settleSpares(done: (spares: SpareMaker) => void): void {
    const { directory, segmentBytes } = this.#settings;
    const found = this.#facts.survey.spares;
    const kept = found.find((spare) => spare.bytes === segmentBytes);
    const unwanted = found.filter((spare) => spare !== kept);
    const numbers = found.map((spare) => Number.parseInt(spare.name.slice('spare-'.length), 10));
    const spares = new SpareMaker(
      this.#world,
      {
        directory,
        bytes: segmentBytes,
        nextCounter: Math.max(0, ...numbers) + 1,
        keepsReserve: this.#settings.hasReserve,
      },
      this.#fail,
      this.#settings.onInfo,
    );
    const paths = unwanted.map((spare) => pathIn(directory, spare.name));
    this.#removeAll(paths, () =>
      this.#settleReserve(spares, () => {
        if (kept === undefined) return done(spares);
        const path = pathIn(directory, kept.name);
        this.#disk.open(path, 'write', (error, file) => {
          const spare: Spare | null = error === null ? { path, file } : null;
          if (spare !== null) spares.adopt(spare);
          done(spares);
        });
      }),
    );
  }

  /** Keeps the reserve where it has the right size and one is wanted, else removes it. */
  #settleReserve(spares: SpareMaker, done: () => void): void {
    const path = pathIn(this.#settings.directory, reserveName);
    this.#disk.stat(path, (error, stat) => {
      if (error !== null) return done();
      const isFit = stat.kind === 'file' && stat.bytes === this.#settings.segmentBytes;
      if (isFit && stat.links === 1 && this.#settings.hasReserve) {
        spares.adoptReserve();
        return done();
      }
      if (stat.kind === 'directory') return done();
      this.#removeAll([path], done);
    });
  }

  #finish(store: StoreFile, segments: SegmentSet, spares: SpareMaker): void {
    const { found, tail, startedMs } = this.#facts;
    this.#callback(null, {
      lock: this.#lock,
      store,
      segments,
      spares,
      index: found.index,
      end: this.#end,
      report: {
        verdict: verdictOf(found),
        witnessedSeq: found.witnesses.all,
        lastSeq: this.#end.lastSeq,
        discardedBytes: found.verdict === 'torn' ? tail.discardedBytes : 0,
        carriedBatches: this.#carried.length,
        groups: found.index.groups.size,
        bytesScanned: found.bytesScanned,
        elapsedMs: this.#world.clock.monotonicMs() - startedMs,
      },
    });
  }
}

function verdictOf({ verdict }: Inspection): RecoveryReport['verdict'] {
  assert(verdict !== 'refused', 'what was refused is not recovered');
  return verdict;
}
