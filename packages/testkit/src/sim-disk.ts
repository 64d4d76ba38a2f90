// A disk in memory that behaves like a real one on its worst day. It implements Disk of packages/io and adds what a
// test needs: power cuts, planned faults, latencies, damage (disk-surgery.ts), images to compare, a list of calls.
//
// Guarantees and checks. Every completion comes from the scheduler, never from inside the call. A write takes effect
// at its completion and fails the run if its buffers changed meanwhile: a real disk may read them at any moment. A
// read's target is overwritten with 0xDB at once, so that nobody looks early. Closing a file with an operation in
// flight, or using one after closing, fails the run too. A datasync covers the writes that had completed when it was
// asked for. After crash() and kill() nothing that was in flight calls back, and old files answer EBADF.

import type {
  AlignedMemory,
  Callback,
  Disk,
  Done,
  File,
  FileLock,
  FileStat,
  IoError,
  OpenMode,
  VolumeInfo,
} from '@flotilla/io';
import { AssertionFailure } from '@flotilla/io';
import { crc32 } from '@flotilla/codec';
import { assertUnchanged, concatenate } from './byte-runs.ts';
import { applyCrash, type CrashCounts, type CrashPolicy, randomCrash } from './disk-crash.ts';
import {
  type DiskCall,
  type DiskLatency,
  type DiskOp,
  defaultDiskLatency,
  drawLatencyUs,
  type FaultEffect,
  type FaultRule,
  PlannedFault,
} from './disk-faults.ts';
import { SimFile, SimFileLock } from './disk-handles.ts';
import { DiskImage } from './disk-image.ts';
import { DiskSurgery } from './disk-surgery.ts';
import { alignedMemory, isTaken, shortWrite } from './direct-memory.ts';
import { DiskTree, type Inode, ioError } from './disk-tree.ts';
import { pageBytes } from './page-store.ts';
import { QueueScheduler } from './queue-scheduler.ts';
import type { SimRng } from './sim-rng.ts';

/** Where completions run: a kernel's owner, or the queue of a stand-alone disk. */
export interface DiskScheduler {
  after(delayUs: number, label: string, run: () => void): void;
  /** Folds what happened into the trace hash. */
  fold(word: number): void;
  nowUs(): number;
}

export interface SimDiskOptions {
  readonly latency?: DiskLatency;
  /** Room for file content; default no limit. Counted in pages of 4 KiB, holes are free. */
  readonly capacityBytes?: number;
  /** Calls kept in `callLog`; default 100,000, after that only counted. */
  readonly callLogMax?: number;
}

interface Operation {
  readonly call: DiskCall;
  readonly file: SimFile | null;
  /** Does it: effects and the answer; throws IoError. */
  readonly perform: () => void;
}

const silentScheduler: DiskScheduler = { after() {}, fold() {}, nowUs: () => 0 };

export class SimDisk implements Disk {
  /** Damage at rest and files laid out by hand; never delayed, never failing, durable at once. */
  readonly surgery: DiskSurgery;
  /** Calls so far, newest last, up to `callLogMax`. */
  readonly callLog: DiskCall[] = [];
  /** What became of pending writes, over all power cuts. */
  readonly crashCounts: CrashCounts = { lost: 0, kept: 0, torn: 0, zeros: 0, stale: 0 };
  /** Every changing operation answers EROFS. */
  readOnly = false;
  /** Files can be written past the page cache. */
  hasDirect = true;
  /** Room for content in bytes; may change at any time. */
  capacityBytes: number;
  /** Multiplies every latency: a disk that has become slow. */
  slowness = 1;
  latency: DiskLatency;
  /** What volume() tells: an ext4, unless a test says otherwise. */
  volumeType = 0xef53;
  #tree: DiskTree;
  #scheduler: DiskScheduler;
  #rng: SimRng;
  #faults: PlannedFault[] = [];
  #inFlight: Set<Operation> = new Set();
  #locks: Map<Inode, SimFileLock> = new Map();
  #life = 1;
  #calls = 0;
  #stalledUntilUs = 0;
  /** Operations to go until crashAfter() strikes. */
  #stopIn = Number.POSITIVE_INFINITY;
  #stopAmong: ((call: DiskCall) => boolean) | null = null;
  #onStopped: (() => void) | null = null;
  #stopped = false;
  #isLanding = false;
  /** Files that are open in this life. */
  readonly #open: Set<SimFile> = new Set();
  readonly #callLogMax: number;
  readonly #queue: QueueScheduler | null;

  constructor(
    scheduler: DiskScheduler,
    rng: SimRng,
    options: SimDiskOptions = {},
    tree?: DiskTree,
  ) {
    this.#scheduler = scheduler;
    this.#queue = scheduler instanceof QueueScheduler ? scheduler : null;
    this.#rng = rng;
    this.#tree = tree ?? new DiskTree();
    this.latency = options.latency ?? defaultDiskLatency;
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
    this.#callLogMax = options.callLogMax ?? 100_000;
    this.surgery = new DiskSurgery(() => this.#tree);
  }

  /** A disk without a kernel: completions wait until drain(), in the order of the calls. */
  static standalone(rng: SimRng, options: SimDiskOptions = {}): SimDisk {
    return new SimDisk(new QueueScheduler(), rng, options);
  }

  /** Stand-alone only: runs completions, and what they start, until nothing waits. Answers how many ran. */
  drain(): number {
    if (this.#queue === null) throw new Error('drain() is for a stand-alone disk');
    return this.#queue.drain();
  }

  /** Stand-alone only: runs the next completion; false where none waits. */
  drainOne(): boolean {
    if (this.#queue === null) throw new Error('drainOne() is for a stand-alone disk');
    return this.#queue.drainOne();
  }

  /** Operations asked for over the life of this disk. */
  get callCount(): number {
    return this.#calls;
  }

  get inFlightCount(): number {
    return this.#inFlight.size;
  }

  /** Paths and modes of the files that are open, as they were named when they were opened, oldest first. */
  get openFiles(): { readonly path: string; readonly mode: OpenMode }[] {
    return [...this.#open].map(({ path, mode }) => ({ path, mode }));
  }

  /** Number of the oldest call that has not completed; Infinity where there is none. */
  get oldestInFlight(): number {
    for (const { call } of this.#inFlight) return call.number;
    return Number.POSITIVE_INFINITY;
  }

  /** Whether crashAfter() has struck: nothing happens any more until crash() or kill(). */
  get isStopped(): boolean {
    return this.#stopped;
  }

  // --- faults ---------------------------------------------------------------------------------------------------

  /** Puts a fault rule in force. The first rule that hits an operation decides. */
  plan(rule: FaultRule): PlannedFault {
    const fault = new PlannedFault(rule);
    this.#faults.push(fault);
    return fault;
  }

  clearFaults(): void {
    this.#faults = [];
  }

  /** Nothing completes for this long. */
  stall(durationUs: number): void {
    this.#stalledUntilUs = Math.max(this.#stalledUntilUs, this.#scheduler.nowUs() + durationUs);
  }

  /**
   * The machine stops with the n-th operation from now on (n >= 1): that one is in flight, so a crash may leave any
   * part of it, and no later one is begun or completed. `onStopped` is called at once, from inside the n-th call: a
   * SimHost may lose its power there; a stand-alone disk's crash() comes when the caller has returned. With `among` only
   * those operations count.
   */
  crashAfter(n: number, onStopped?: () => void, among?: (call: DiskCall) => boolean): void {
    this.#stopIn = n;
    this.#stopAmong = among ?? null;
    this.#onStopped = onStopped ?? null;
  }

  /** The power goes: unsynced data and names survive as the policy says; files and locks of the process are gone. */
  crash(policy: CrashPolicy = randomCrash()): void {
    this.#landInFlight();
    applyCrash(this.#tree, policy, this.#rng.fork(`crash ${this.#life}`), this.crashCounts);
    this.#endLife();
  }

  /** The process dies and the system lives: the page cache stays, unsynced data may still be lost by a later crash(). */
  kill(): void {
    this.#landInFlight();
    this.#endLife();
  }

  /**
   * What was in flight may or may not have got as far as the page cache. A write that would have been durable when it was
   * answered was not answered: the crash may tear it like any other.
   */
  #landInFlight(): void {
    const rng = this.#rng.fork(`in flight ${this.#life}`);
    this.#isLanding = true;
    for (const operation of this.#inFlight) {
      if (!rng.chance(0.5)) continue;
      try {
        operation.perform();
      } catch (error) {
        if (error instanceof AssertionFailure) throw error;
      }
    }
    this.#isLanding = false;
  }

  #endLife(): void {
    this.#inFlight.clear();
    this.#open.clear();
    this.#locks.clear();
    this.#life += 1;
    this.#stalledUntilUs = 0;
    this.#stopIn = Number.POSITIVE_INFINITY;
    this.#stopped = false;
  }

  /** From now on completions run elsewhere: the disk of a host that starts again. */
  attach(scheduler: DiskScheduler | null): void {
    this.#scheduler = scheduler ?? silentScheduler;
  }

  /** Pending writes and names, oldest first: what a crash policy will be asked about. */
  pendingOrders(): {
    order: number;
    what: 'write' | 'truncate' | 'name';
    path: string;
    bytes: number;
  }[] {
    const out = [];
    const paths = new Map(this.#tree.list().map(({ path, inode }) => [inode, path]));
    for (const inode of this.#tree.inodes()) {
      for (const write of inode.pending) {
        const { kind: what, order } = write;
        out.push({ order, what, path: paths.get(inode) ?? '?', bytes: write.bytes.length });
      }
    }
    for (const change of this.#tree.pendingNames) {
      const path = change.adds?.name ?? change.removes[0]?.name ?? '?';
      out.push({ order: change.order, what: 'name' as const, path, bytes: 0 });
    }
    return out.sort((a, b) => a.order - b.order);
  }

  /** Everything seen now becomes durable, as after a long quiet time. */
  settle(): void {
    this.#tree.syncEverything();
  }

  // --- images ---------------------------------------------------------------------------------------------------

  /** The whole state, to compare or to start another disk from. Costs one reference a page. */
  image(): DiskImage {
    return new DiskImage(this.#tree.clone());
  }

  /** A disk with the same state, unsynced parts included; without faults, open files and locks. */
  clone(options: { scheduler?: DiskScheduler; rng?: SimRng } = {}): SimDisk {
    return SimDisk.fromImage(
      this.image(),
      options.rng ?? this.#rng.fork('clone'),
      options.scheduler,
    );
  }

  static fromImage(image: DiskImage, rng: SimRng, scheduler?: DiskScheduler): SimDisk {
    return new SimDisk(scheduler ?? new QueueScheduler(), rng, {}, image.tree.clone());
  }

  // --- Disk -----------------------------------------------------------------------------------------------------

  alignedMemory(bytes: number): AlignedMemory | null {
    return alignedMemory(bytes);
  }

  open(path: string, mode: OpenMode, callback: Callback<File>): void {
    this.#submit({ op: 'open', path }, null, callback, () => {
      const file = new SimFile(path, this.#inodeFor(path, mode), mode, this.#life);
      this.#open.add(file);
      return file;
    });
  }

  #inodeFor(path: string, mode: OpenMode): Inode {
    if (mode === 'create') return this.#create(path);
    const inode = this.#tree.at(path);
    if (inode.kind === 'symlink') throw ioError('ELOOP', path);
    if (mode === 'writeDirect' && !this.hasDirect) throw ioError('EINVAL', path);
    if (mode !== 'read') {
      if (inode.kind === 'directory') throw ioError('EISDIR', path);
      this.#refuseIfReadOnly(path);
      if (inode.readOnly) throw ioError('EACCES', path);
    }
    return inode;
  }

  #create(path: string): Inode {
    const place = this.#tree.place(path);
    if (place.directory.entries.has(place.name)) throw ioError('EEXIST', path);
    this.#refuseIfReadOnly(path, place.directory);
    const inode = this.#tree.newInode('file');
    this.#tree.change([], { ...place, inode });
    return inode;
  }

  close(file: File, done: Done): void {
    const open = file as SimFile;
    if (open.life === this.#life) {
      if (!open.isOpen) throw new AssertionFailure(`${open.path} is closed twice`);
      if (open.inFlight > 0)
        throw new AssertionFailure(
          `${open.path} is closed with ${open.inFlight} operations in flight`,
        );
      open.isOpen = false;
      this.#open.delete(open);
    }
    this.#submit({ op: 'close', path: open.path }, null, done, () => {
      if (open.life !== this.#life) throw ioError('EBADF', open.path);
    });
  }

  writev(
    file: File,
    buffers: readonly Uint8Array[],
    offset: number,
    callback: Callback<number>,
  ): void {
    const open = file as SimFile;
    checkOffset('offset', offset);
    const takesIt = isTaken(open.mode, buffers, offset);
    const taken = concatenate(buffers);
    const head = { op: 'writev' as const, path: open.path, offset, bytes: taken.length };
    this.#submit(head, open, callback, (effect) => {
      assertUnchanged(
        buffers,
        taken,
        `a buffer of a write to ${open.path} changed while the disk owned it`,
      );
      this.#scheduler.fold(crc32(taken, 0, taken.length));
      if (!takesIt) throw ioError('EINVAL', open.path);
      return this.#writeNow(open, taken, offset, effect);
    });
  }

  #writeNow(file: SimFile, bytes: Uint8Array, offset: number, effect: FaultEffect | null): number {
    const inode = this.#usable(file, 'write');
    if (inode.kind !== 'file') throw ioError('ESPIPE', file.path);
    let count = bytes.length;
    if (effect?.kind === 'error') {
      const applied = effect.applied ?? 'none';
      if (applied === 'part') count = this.#rng.below(count + 1);
      if (applied !== 'none') this.#tree.write(inode, offset, bytes.subarray(0, count));
      throw ioError(effect.code, file.path);
    }
    if (effect?.kind === 'short') {
      const asked = typeof effect.bytes === 'number' ? effect.bytes : effect.bytes(count);
      count = shortWrite(file.mode, count, asked);
    }
    count = this.#countThatFits(inode, offset, count);
    if (count === 0 && bytes.length > 0) throw ioError('ENOSPC', file.path);
    this.#tree.write(inode, offset, bytes.subarray(0, count));
    const isSynced = file.mode === 'writeSync' || file.mode === 'writeDirect';
    if (isSynced && !this.#isLanding) this.#tree.syncRange(inode, offset, offset + count);
    return count;
  }

  read(file: File, target: Uint8Array, offset: number, callback: Callback<number>): void {
    const open = file as SimFile;
    checkOffset('offset', offset);
    target.fill(0xdb);
    const head = { op: 'read' as const, path: open.path, offset, bytes: target.length };
    this.#submit(head, open, callback, (effect) => {
      const inode = this.#usable(open, 'read');
      if (inode.kind === 'directory') throw ioError('EISDIR', open.path);
      if (effect?.kind === 'error') throw ioError(effect.code, open.path);
      let part = target;
      if (effect?.kind === 'short') {
        const asked = typeof effect.bytes === 'number' ? effect.bytes : effect.bytes(target.length);
        part = target.subarray(0, Math.max(0, asked));
      }
      return inode.current.read(part, offset);
    });
  }

  datasync(file: File, done: Done): void {
    const open = file as SimFile;
    const order = this.#tree.order;
    this.#submit({ op: 'datasync', path: open.path }, open, done, (effect) => {
      const inode = this.#usable(open, 'read');
      if (effect?.kind === 'error') throw ioError(effect.code, open.path);
      if (effect?.kind === 'syncError') {
        this.#failSync(inode, order, effect.pages);
        throw ioError(effect.code, open.path);
      }
      this.#tree.syncData(inode, order);
    });
  }

  #failSync(inode: Inode, order: number, pages: 'dropped' | 'rolledBack' | 'kept'): void {
    if (pages === 'kept') return;
    inode.pending = inode.pending.filter((write) => write.order > order);
    if (pages === 'rolledBack') {
      inode.current = inode.durable.clone();
      const later = inode.pending;
      inode.pending = [];
      for (const write of later) {
        if (write.kind === 'truncate') this.#tree.truncate(inode, write.end);
        else this.#tree.write(inode, write.offset, write.bytes);
      }
    }
  }

  truncate(file: File, bytes: number, done: Done): void {
    const open = file as SimFile;
    checkOffset('bytes', bytes);
    this.#submit({ op: 'truncate', path: open.path, bytes: 0, offset: bytes }, open, done, () => {
      const inode = this.#usable(open, 'write');
      if (inode.kind !== 'file') throw ioError('EINVAL', open.path);
      this.#tree.truncate(inode, bytes);
    });
  }

  syncDir(path: string, done: Done): void {
    const order = this.#tree.order;
    this.#submit({ op: 'syncDir', path }, null, done, () => {
      const inode = this.#tree.at(path);
      if (inode.kind === 'file') this.#tree.syncData(inode, order);
      else this.#tree.syncDirectory(inode, order);
    });
  }

  mkdir(path: string, done: Done): void {
    this.#submit({ op: 'mkdir', path }, null, done, () => {
      const place = this.#tree.place(path);
      if (place.directory.entries.has(place.name)) throw ioError('EEXIST', path);
      this.#refuseIfReadOnly(path, place.directory);
      this.#tree.change([], { ...place, inode: this.#tree.newInode('directory') });
    });
  }

  rename(from: string, to: string, done: Done): void {
    this.#submit({ op: 'rename', path: from, toPath: to }, null, done, () => {
      const source = this.#tree.place(from);
      const target = this.#tree.place(to);
      const inode = this.#tree.at(from);
      this.#refuseIfReadOnly(from, source.directory);
      this.#refuseIfReadOnly(to, target.directory);
      const replaced = target.directory.entries.get(target.name);
      if (replaced === inode) return;
      if (replaced !== undefined) {
        if (replaced.kind === 'directory' && inode.kind !== 'directory')
          throw ioError('EISDIR', to);
        if (replaced.kind !== 'directory' && inode.kind === 'directory')
          throw ioError('ENOTDIR', to);
        if (replaced.entries.size > 0) throw ioError('ENOTEMPTY', to);
      }
      this.#tree.change([source], { ...target, inode });
    });
  }

  unlink(path: string, done: Done): void {
    this.#submit({ op: 'unlink', path }, null, done, () => {
      const place = this.#tree.place(path);
      if (this.#tree.at(path).kind === 'directory') throw ioError('EISDIR', path);
      this.#refuseIfReadOnly(path, place.directory);
      this.#tree.change([place], null);
    });
  }

  link(from: string, to: string, done: Done): void {
    this.#submit({ op: 'link', path: from, toPath: to }, null, done, () => {
      const inode = this.#tree.at(from);
      const target = this.#tree.place(to);
      if (inode.kind === 'directory') throw ioError('EPERM', from);
      if (target.directory.entries.has(target.name)) throw ioError('EEXIST', to);
      this.#refuseIfReadOnly(to, target.directory);
      this.#tree.change([], { ...target, inode });
    });
  }

  volume(path: string, callback: Callback<VolumeInfo>): void {
    this.#submit({ op: 'volume', path }, null, callback, () => {
      this.#tree.at(path);
      let used = 0;
      for (const each of this.#tree.inodes()) used += each.current.allocatedPages;
      const freeBytes = Math.max(0, this.capacityBytes - used * pageBytes);
      return { type: this.volumeType, freeBytes };
    });
  }

  list(path: string, callback: Callback<readonly string[]>): void {
    this.#submit({ op: 'list', path }, null, callback, () => {
      const inode = this.#tree.at(path);
      if (inode.kind !== 'directory') throw ioError('ENOTDIR', path);
      return [...inode.entries.keys()].sort();
    });
  }

  stat(path: string, callback: Callback<FileStat>): void {
    this.#submit({ op: 'stat', path }, null, callback, () => {
      const inode = this.#tree.at(path);
      return { kind: inode.kind, bytes: inode.current.bytes, links: this.#tree.linksOf(inode) };
    });
  }

  lock(path: string, callback: Callback<FileLock>): void {
    this.#submit({ op: 'lock', path }, null, callback, () => {
      const inode = this.#tree.find(path) ?? this.#create(path);
      if (inode.kind === 'symlink') throw ioError('ELOOP', path);
      if (inode.kind === 'directory') throw ioError('EISDIR', path);
      if (this.readOnly) throw ioError('EROFS', path);
      if (inode.readOnly) throw ioError('EACCES', path);
      if (this.#locks.has(inode)) throw ioError('EWOULDBLOCK', path);
      const isIntact = (): boolean => {
        try {
          return this.#tree.find(path) === inode;
        } catch {
          return false;
        }
      };
      const lock: SimFileLock = new SimFileLock(isIntact, () => {
        if (this.#locks.get(inode) === lock) this.#locks.delete(inode);
      });
      this.#locks.set(inode, lock);
      return lock;
    });
  }

  // --- machinery ------------------------------------------------------------------------------------------------

  #submit<T>(
    head: { readonly op: DiskOp; readonly path: string } & Partial<DiskCall>,
    file: SimFile | null,
    callback: Callback<T>,
    perform: (effect: FaultEffect | null) => T,
  ): void {
    if (this.#stopped) return;
    if (file !== null && file.life === this.#life && !file.isOpen) {
      throw new AssertionFailure(`${head.op} on ${file.path}, which is closed`);
    }
    this.#calls += 1;
    const call: DiskCall = { number: this.#calls, toPath: '', offset: 0, bytes: 0, ...head };
    if (this.callLog.length < this.#callLogMax) this.callLog.push(call);
    const effect = this.#effectOn(call);

    let value: T = undefined as T;
    const operation: Operation = {
      call,
      file,
      perform: () => {
        const own = head.op === 'writev' || head.op === 'read' || head.op === 'datasync';
        if (effect?.kind === 'error' && !own) throw ioError(effect.code, head.path);
        value = perform(effect);
      },
    };
    this.#inFlight.add(operation);
    if (file !== null && file.life === this.#life) file.inFlight += 1;
    if (this.#stopAmong === null || this.#stopAmong(call)) this.#stopIn -= 1;
    if (this.#stopIn <= 0) {
      this.#stopped = true;
      this.#onStopped?.();
      return;
    }
    if (effect?.kind === 'hang') return;
    const complete = (): void => {
      if (this.#stopped || !this.#inFlight.delete(operation)) return;
      if (file !== null && file.life === this.#life) file.inFlight -= 1;
      const error = this.#attempt(operation);
      callback(error, value);
    };
    this.#scheduler.after(this.#delayUs(call, effect), `disk ${head.op}`, complete);
  }

  /** Performs the operation; an IoError is its answer, anything else is a bug and ends the run. */
  #attempt(operation: Operation): IoError | null {
    try {
      operation.perform();
      return null;
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error)) throw error;
      return error as IoError;
    }
  }

  #effectOn(call: DiskCall): FaultEffect | null {
    let decided: FaultEffect | null = null;
    for (const fault of this.#faults) {
      const effect = fault.effectOn(call, this.#rng, decided !== null);
      decided ??= effect;
    }
    return decided;
  }

  #delayUs(call: DiskCall, effect: FaultEffect | null): number {
    const nowUs = this.#scheduler.nowUs();
    const added = effect?.kind === 'delay' ? effect.delayUs : 0;
    const drawn = drawLatencyUs(this.latency, call, this.#rng) * this.slowness + added;
    return Math.max(drawn, this.#stalledUntilUs - nowUs);
  }

  #usable(file: SimFile, need: 'read' | 'write'): Inode {
    if (file.life !== this.#life) throw ioError('EBADF', file.path);
    if (need === 'write') {
      if (file.mode === 'read') throw ioError('EBADF', file.path);
      this.#refuseIfReadOnly(file.path);
    }
    return file.inode;
  }

  #refuseIfReadOnly(path: string, directory?: Inode): void {
    if (this.readOnly) throw ioError('EROFS', path);
    if (directory?.readOnly === true) throw ioError('EACCES', path);
  }

  /** How many of the bytes there is room for: all, or up to the page that does not fit. */
  #countThatFits(inode: Inode, offset: number, count: number): number {
    if (this.capacityBytes === Number.POSITIVE_INFINITY) return count;
    let used = 0;
    for (const each of this.#tree.inodes()) used += each.current.allocatedPages;
    const free = Math.max(0, Math.floor(this.capacityBytes / pageBytes) - used);
    let fits = count;
    while (fits > 0 && inode.current.newPagesFor(offset, fits) > free) {
      fits = Math.max(0, Math.floor((offset + fits - 1) / pageBytes) * pageBytes - offset);
    }
    return fits;
  }
}

function checkOffset(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${name} must be a non-negative safe integer, not ${value}`);
  }
}
