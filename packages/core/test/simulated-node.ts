// One host of the network simulation: a core, its log in memory and on disk, and the queue between them. Effects become
// operations in the order that effects.ts demands; a `mark` ends each turn and carries what may leave once all before it
// is durable. A crash keeps some prefix of the queue; a new replica of the node keeps term and vote (a tombstone).

import {
  type Configuration,
  type ConfigurationAt,
  type CoreConfig,
  type CoreEvent,
  Effects,
  emptyConfiguration,
  type LogView,
  type Message,
  RaftCore,
  type TermEnd,
} from '@flotilla/core';
import { SteadyTwin } from './steady-twin.ts';

export interface Entry {
  readonly term: number;
  readonly id: number;
  readonly bytes: number;
  readonly configuration: Configuration | null;
}

/** What stands before the first entry: a snapshot, or what the group was created with. */
export interface Base {
  readonly index: number;
  readonly term: number;
  readonly at: ConfigurationAt;
}

export type Operation =
  | { kind: 'hardState'; term: number; votedFor: number; votedGeneration: number; commit: number }
  | { kind: 'commit'; commit: number }
  | { kind: 'truncate'; from: number }
  | { kind: 'entries'; first: number; entries: readonly Entry[] }
  | { kind: 'compact'; base: Base }
  | { kind: 'install'; base: Base }
  | { kind: 'mark'; messages: Message[]; persisted: CoreEvent };

export interface Parcel {
  readonly message: Message;
  readonly entries: readonly Entry[];
  readonly base: Base | null;
}

export interface OpenRead {
  readonly token: number;
  readonly floor: number;
}

export function expectTrue(condition: boolean, what: () => string): void {
  if (!condition) throw new Error(what());
}

export function present<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new Error(what);
  return value;
}

/** A log: what stands before its first entry, and the entries. */
export class Log {
  base: Base;
  entries: Entry[] = [];

  constructor(configuration: Configuration) {
    this.base = { index: 0, term: 0, at: { index: 0, configuration } };
  }

  get lastIndex(): number {
    return this.base.index + this.entries.length;
  }

  at(index: number): Entry | undefined {
    return this.entries[index - this.base.index - 1];
  }

  slice(first: number, last: number): Entry[] {
    return this.entries.slice(first - this.base.index - 1, last - this.base.index);
  }

  truncate(from: number): void {
    this.entries.length = from - this.base.index - 1;
  }

  compact(base: Base): void {
    if (base.index <= this.base.index) return;
    this.entries.splice(0, base.index - this.base.index);
    this.base = base;
  }

  install(base: Base): void {
    this.entries = [];
    this.base = base;
  }

  copyTo(target: Log): void {
    target.base = this.base;
    target.entries = [...this.entries];
  }

  configurations(): ConfigurationAt[] {
    const found: ConfigurationAt[] = [];
    for (const [at, { configuration }] of this.entries.entries()) {
      if (configuration !== null) found.push({ index: this.base.index + 1 + at, configuration });
    }
    return found;
  }

  /** The configuration as of the entry at `index`, which is present or the last before. */
  configurationAt(index: number): ConfigurationAt {
    const before = this.configurations().filter((found) => found.index <= index);
    return before.at(-1) ?? this.base.at;
  }

  termEnds(): TermEnd[] {
    const ends: TermEnd[] = [];
    for (const [at, { term }] of this.entries.entries()) {
      if (this.entries[at + 1]?.term !== term) {
        ends.push({ term, lastIndex: this.base.index + 1 + at });
      }
    }
    return ends;
  }
}

export class Disk {
  term = 0;
  votedFor = 0;
  votedGeneration = 0;
  commit = 0;
  readonly log: Log;

  constructor(configuration: Configuration) {
    this.log = new Log(configuration);
  }

  apply(operation: Operation): void {
    switch (operation.kind) {
      case 'hardState':
        this.term = operation.term;
        this.votedFor = operation.votedFor;
        this.votedGeneration = operation.votedGeneration;
        this.commit = Math.max(this.commit, operation.commit);
        break;
      case 'commit':
        this.commit = operation.commit;
        break;
      case 'truncate':
        this.log.truncate(operation.from);
        break;
      case 'entries':
        this.log.truncate(operation.first);
        this.log.entries.push(...operation.entries);
        break;
      case 'compact':
        this.log.compact(operation.base);
        break;
      case 'install':
        this.log.install(operation.base);
        break;
      case 'mark':
        break;
    }
  }
}

export class SimulatedNode {
  readonly id: number;
  generation = 1;
  core!: RaftCore;
  /** The same core, lent to a row where it is steady. */
  twin: SteadyTwin | null = null;
  readonly out: Effects = new Effects();
  log: Log;
  disk: Disk;
  queue: Operation[] = [];
  openReads: OpenRead[] = [];
  lastTerm = 0;
  lastCommit = 0;
  lastRole = 'follower';
  /** Highest term that any message of this node promised to keep. */
  promisedTerm = 0;
  /** Payload of the message being stepped. */
  incoming: Parcel | null = null;
  /** Its clock runs this much faster than true time, and began elsewhere. */
  readonly rate: number;
  readonly offsetMs: number;
  #lives = 0;
  /** What the replicas held whose disks were lost: it was counted on while it was there. */
  readonly #lost = new Map<number, Log>();

  constructor(id: number, configuration: Configuration, rate: number) {
    this.id = id;
    this.rate = rate;
    this.offsetMs = 1000 * id;
    this.log = new Log(configuration);
    this.disk = new Disk(configuration);
  }

  /** What its disk holds when it starts for the first time, being the first replica of its node. */
  startFrom(start: { term: number; votedFor: number; commit: number; log: Log }): void {
    const { disk } = this;
    disk.term = start.term;
    disk.votedFor = start.votedFor;
    disk.votedGeneration = start.votedFor === 0 ? 0 : 1;
    disk.commit = start.commit;
    start.log.copyTo(disk.log);
    this.promisedTerm = start.term;
  }

  clockMs(trueMs: number): number {
    return this.offsetMs + Math.floor(trueMs * this.rate);
  }

  boot(config: CoreConfig, trueMs: number, seed: number, withTwin: boolean): void {
    const { disk, log } = this;
    disk.log.copyTo(log);
    this.queue = [];
    this.openReads = [];
    this.out.clear();
    const boot: ConstructorParameters<typeof RaftCore> = [
      config,
      {
        term: disk.term,
        votedFor: disk.votedFor,
        votedGeneration: disk.votedGeneration,
        commit: disk.commit,
        firstIndex: log.base.index + 1,
        prevTerm: log.base.term,
        termEnds: log.termEnds(),
        log: this.#view(),
        configuration: log.base.at.configuration,
        configurations: log.configurations(),
        generation: this.generation,
        tokenBase: this.#lives++ * 1_000_000,
        seed,
      },
      this.clockMs(trueMs),
    ];
    this.core = new RaftCore(...boot);
    this.twin = withTwin ? new SteadyTwin(boot) : null;
    this.lastTerm = this.core.term;
    this.lastCommit = this.core.commitIndex;
    this.lastRole = 'follower';
  }

  /**
   * The node's replica is gone; another one begins, with nothing but the term and the vote of the one before (its
   * tombstone), or, where the disk is lost, with nothing at all.
   */
  renew(isDiskLost: boolean): void {
    const { term, votedFor, votedGeneration } = this.core;
    if (isDiskLost) this.#lost.set(this.generation, this.disk.log);
    this.generation++;
    this.disk = new Disk(emptyConfiguration);
    this.log = new Log(emptyConfiguration);
    if (isDiskLost) {
      this.promisedTerm = 0;
      return;
    }
    this.disk.term = term;
    this.disk.votedFor = votedFor;
    this.disk.votedGeneration = votedGeneration;
  }

  /** Whether a member identity is this replica. */
  is(member: { readonly nodeId: number; readonly generation: number }): boolean {
    return member.nodeId === this.id && member.generation === this.generation;
  }

  /** Whether the entry `id` at `index` is, or was until its disk was lost, durable on that replica, by itself or in a snapshot. */
  holds(generation: number, index: number, id: number): boolean {
    const log = generation === this.generation ? this.disk.log : this.#lost.get(generation);
    return log !== undefined && (index <= log.base.index || log.at(index)?.id === id);
  }

  #view(): LogView {
    const { log } = this;
    const entryAt = (index: number): Entry =>
      present(log.at(index), `LogView: asked about ${index}, which is not laid`);
    return {
      lastIndexWithin: (first, last, bytesMax) => {
        expectTrue(first <= last, () => 'LogView: first <= last');
        entryAt(last);
        let end = first;
        let bytes = entryAt(first).bytes;
        while (end < last) {
          bytes += entryAt(end + 1).bytes;
          if (bytes > bytesMax) break;
          end++;
        }
        return end;
      },
      bytesBetween: (first, last) => {
        let bytes = 0;
        for (let index = first; index <= last; index++) bytes += entryAt(index).bytes;
        return bytes;
      },
    };
  }
}
