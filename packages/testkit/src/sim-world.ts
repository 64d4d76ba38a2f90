// Machines that run one process each: SimHost makes the World (packages/io) for each life of its process on one kernel,
// one network and a disk that outlives the process. SimWorld is the whole of them.
//
// After kill() or powerCut() everything the old life scheduled vanishes, and whatever still holds its World calls into
// nothing: no callback ever comes. start() begins the next life on the disk as it was left.

import type {
  AlignedMemory,
  Callback,
  Disk,
  Done,
  File,
  FileLock,
  FileStat,
  OpenMode,
  VolumeInfo,
  World,
} from '@flotilla/io';
import { assert } from '@flotilla/io';
import type { CrashPolicy } from './disk-crash.ts';
import { SimClock, type SimClockOptions } from './sim-clock.ts';
import { type DiskScheduler, SimDisk, type SimDiskOptions } from './sim-disk.ts';
import { type KernelOptions, SimKernel, type SimOwner } from './sim-kernel.ts';
import type { SimMachine } from './sim-link.ts';
import { SimNetwork, type SimNetworkOptions } from './sim-net.ts';
import type { SimRng } from './sim-rng.ts';

export interface SimWorldOptions extends KernelOptions {
  readonly network?: SimNetworkOptions;
  readonly disk?: SimDiskOptions;
}

export interface SimHostOptions {
  /** Host part of its addresses, default `10.0.0.<number>`. */
  readonly address?: string;
  readonly clock?: SimClockOptions;
  readonly disk?: SimDiskOptions;
}

export class SimWorld {
  readonly kernel: SimKernel;
  readonly network: SimNetwork;
  readonly #hosts: Map<string, SimHost> = new Map();
  readonly #options: SimWorldOptions;

  constructor(options: SimWorldOptions) {
    this.#options = options;
    this.kernel = new SimKernel(options);
    this.network = new SimNetwork(this.kernel, this.kernel.rng.fork('network'), options.network);
  }

  addHost(name: string, options: SimHostOptions = {}): SimHost {
    const machine = this.network.addMachine(name, options.address);
    const disk = options.disk ?? this.#options.disk ?? {};
    const host = new SimHost(this.kernel, this.network, machine, { ...options, disk });
    this.#hosts.set(name, host);
    return host;
  }

  host(name: string): SimHost {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`there is no host ${name}`);
    return host;
  }

  get hosts(): SimHost[] {
    return [...this.#hosts.values()];
  }
}

export class SimHost {
  readonly name: string;
  readonly machine: SimMachine;
  readonly disk: SimDisk;
  readonly #kernel: SimKernel;
  readonly #network: SimNetwork;
  readonly #rng: SimRng;
  readonly #clockOptions: SimClockOptions;
  #owner: SimOwner | null = null;
  #clock: SimClock | null = null;
  #frozenAtUs: number | null = null;
  #lives = 0;
  #monotonicStartMs: number;
  #wallStartMs: number | undefined;
  #rate: number;

  constructor(
    kernel: SimKernel,
    network: SimNetwork,
    machine: SimMachine,
    options: SimHostOptions,
  ) {
    this.name = machine.name;
    this.machine = machine;
    this.#kernel = kernel;
    this.#network = network;
    this.#rng = kernel.rng.fork(`host ${machine.name}`);
    this.disk = new SimDisk(noScheduler, this.#rng.fork('disk'), options.disk);
    this.#clockOptions = options.clock ?? {};
    this.#rate = options.clock?.rate ?? 1;
    this.#wallStartMs = options.clock?.wallStartMs;
    this.#monotonicStartMs = options.clock?.monotonicStartMs ?? this.#drawBoot();
  }

  get isRunning(): boolean {
    return this.#owner !== null;
  }

  get isPaused(): boolean {
    return this.#owner?.paused === true;
  }

  /** Lives begun so far. */
  get lives(): number {
    return this.#lives;
  }

  /** The owner of this life's events; only while running. */
  get owner(): SimOwner {
    assert(this.#owner !== null, `${this.name} is not running`);
    return this.#owner;
  }

  /** This life's clock, also for faults; only while running. */
  get clock(): SimClock {
    assert(this.#clock !== null, `${this.name} is not running`);
    return this.#clock;
  }

  /** Begins a life, with power on. */
  start(): World {
    assert(this.#owner === null, `${this.name} runs already`);
    this.#lives += 1;
    const owner = this.#kernel.owner(`${this.name}#${this.#lives}`);
    const rng = this.#rng.fork(`life ${this.#lives}`);
    const clock = new SimClock(this.#kernel, owner, rng.fork('clock'), {
      ...this.#clockOptions,
      rate: this.#rate,
      monotonicStartMs: this.#monotonicStartMs,
      ...(this.#wallStartMs === undefined ? {} : { wallStartMs: this.#wallStartMs }),
    });
    this.#owner = owner;
    this.#clock = clock;
    this.disk.attach(schedulerOf(this.#kernel, owner));
    this.#network.powerRestored(this.machine);
    return {
      clock,
      rng,
      disk: new DiskOfLife(this.disk, owner),
      net: this.#network.netFor(this.machine, owner),
    };
  }

  /** SIGKILL: the process ends, the system lives: page cache and clocks go on, peers get their connections closed. */
  kill(): void {
    const owner = this.owner;
    this.#monotonicStartMs = this.clock.monotonicMs();
    this.#kernel.crash(owner);
    this.#network.processDied(this.machine);
    this.disk.kill();
    this.#end();
  }

  /** The power goes: unsynced data survives as the policy says, peers are told nothing. */
  powerCut(policy?: CrashPolicy): void {
    if (this.#owner !== null) this.#kernel.crash(this.#owner);
    this.#network.powerLost(this.machine);
    this.disk.crash(policy);
    this.#monotonicStartMs = this.#drawBoot();
    this.#end();
  }

  #end(): void {
    this.disk.attach(null);
    if (this.#clock !== null) {
      this.#rate = this.#clock.rate;
      this.#wallStartMs = this.#clock.wallStartMs;
    }
    this.#owner = null;
    this.#clock = null;
    this.#frozenAtUs = null;
  }

  /** SIGSTOP: nothing of the process runs, its clocks go on. */
  pause(): void {
    if (this.#owner !== null) this.#kernel.pause(this.#owner);
  }

  /** As pause(), but monotonic time stands still too: a suspended virtual machine. */
  freeze(): void {
    if (this.#owner === null || this.#owner.paused) return;
    this.#frozenAtUs = this.#kernel.nowUs;
    this.pause();
  }

  /** Ends pause() and freeze(). */
  resume(): void {
    if (this.#owner === null) return;
    if (this.#frozenAtUs !== null) {
      const lostMs = ((this.#kernel.nowUs - this.#frozenAtUs) * this.clock.rate) / 1000;
      this.clock.loseMonotonic(lostMs);
      this.#frozenAtUs = null;
    }
    this.#kernel.resume(this.#owner);
  }

  /** A machine that has just started shows anything up to a day. */
  #drawBoot(): number {
    return this.#rng.fork(`boot ${this.#lives}`).between(1, 86_400_000);
  }
}

const noScheduler: DiskScheduler = { after() {}, fold() {}, nowUs: () => 0 };

function schedulerOf(kernel: SimKernel, owner: SimOwner): DiskScheduler {
  return {
    after: (delayUs, label, run) => void kernel.schedule(delayUs, owner, label, run),
    fold: (word) => kernel.fold(word),
    nowUs: () => kernel.nowUs,
  };
}

/** The disk as one life of a process sees it: a dead one's calls do nothing. */
class DiskOfLife implements Disk {
  readonly #disk: SimDisk;
  readonly #owner: SimOwner;

  constructor(disk: SimDisk, owner: SimOwner) {
    this.#disk = disk;
    this.#owner = owner;
  }

  alignedMemory(bytes: number): AlignedMemory | null {
    return this.#disk.alignedMemory(bytes);
  }
  open(path: string, mode: OpenMode, callback: Callback<File>): void {
    if (this.#owner.alive) this.#disk.open(path, mode, callback);
  }
  close(file: File, done: Done): void {
    if (this.#owner.alive) this.#disk.close(file, done);
  }
  writev(
    file: File,
    buffers: readonly Uint8Array[],
    offset: number,
    callback: Callback<number>,
  ): void {
    if (this.#owner.alive) this.#disk.writev(file, buffers, offset, callback);
  }
  read(file: File, target: Uint8Array, offset: number, callback: Callback<number>): void {
    if (this.#owner.alive) this.#disk.read(file, target, offset, callback);
  }
  datasync(file: File, done: Done): void {
    if (this.#owner.alive) this.#disk.datasync(file, done);
  }
  truncate(file: File, bytes: number, done: Done): void {
    if (this.#owner.alive) this.#disk.truncate(file, bytes, done);
  }
  syncDir(path: string, done: Done): void {
    if (this.#owner.alive) this.#disk.syncDir(path, done);
  }
  mkdir(path: string, done: Done): void {
    if (this.#owner.alive) this.#disk.mkdir(path, done);
  }
  rename(from: string, to: string, done: Done): void {
    if (this.#owner.alive) this.#disk.rename(from, to, done);
  }
  unlink(path: string, done: Done): void {
    if (this.#owner.alive) this.#disk.unlink(path, done);
  }
  link(from: string, to: string, done: Done): void {
    if (this.#owner.alive) this.#disk.link(from, to, done);
  }
  volume(path: string, callback: Callback<VolumeInfo>): void {
    if (this.#owner.alive) this.#disk.volume(path, callback);
  }
  list(path: string, callback: Callback<readonly string[]>): void {
    if (this.#owner.alive) this.#disk.list(path, callback);
  }
  stat(path: string, callback: Callback<FileStat>): void {
    if (this.#owner.alive) this.#disk.stat(path, callback);
  }
  lock(path: string, callback: Callback<FileLock>): void {
    if (this.#owner.alive) this.#disk.lock(path, callback);
  }
}
