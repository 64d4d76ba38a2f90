// The log on a simulated host: virtual time, a disk that tears, loses and fails as told, power cuts.

import type { CrashPolicy, SimDisk } from '@flotilla/testkit';
import { loseEverything, type SimHost, SimWorld } from '@flotilla/testkit';
import type { FlotillaError, World } from '@flotilla/io';
import { expect } from 'vitest';
import { RecordRef, type Wal, type WalOptions } from '../src/api.ts';
import { segmentName } from '../src/format.ts';
import { inspectDirectory } from '../src/inspect/inspect-directory.ts';
import type { Inspection } from '../src/inspect/inspection.ts';
import { openWal } from '../src/open.ts';
import { layEntries, noVote, small } from './harness.ts';

export const directory = '/data/wal';
export const segment = (id: number): string => `${directory}/${segmentName(id)}`;

export interface SimLog {
  readonly wal: Wal;
  readonly durable: number[];
  readonly poison: FlotillaError[];
}

export class SimLogHost {
  readonly world: SimWorld;
  readonly host: SimHost;
  readonly info: string[] = [];
  #life: World | null = null;

  constructor(seed = 1) {
    this.world = new SimWorld({ seed, recentEventsMax: 0 });
    this.host = this.world.addHost('a');
    this.host.disk.surgery.putDirectory('/data');
    this.host.disk.surgery.putDirectory(directory);
  }

  get disk(): SimDisk {
    return this.host.disk;
  }

  /** The world of the life that runs, a new life where none does. */
  get life(): World {
    this.#life ??= this.host.start();
    return this.#life;
  }

  /** Begins a life where none runs. */
  start(): void {
    this.#life ??= this.host.start();
  }

  run(condition: () => boolean): void {
    this.world.kernel.runUntil(condition, { untilUs: this.world.kernel.nowUs + 60_000_000 });
  }

  runMs(durationMs: number): void {
    this.world.kernel.runForUs(durationMs * 1000);
  }

  tryOpen(options: Partial<WalOptions> = {}): SimLog | FlotillaError {
    let answer: SimLog | FlotillaError | null = null;
    const durable: number[] = [];
    const poison: FlotillaError[] = [];
    const create = options.create ?? !this.disk.surgery.exists(`${directory}/STORE`);
    openWal(
      this.life,
      {
        ...small,
        directory,
        create,
        instance: 77,
        onInfo: (line) => this.info.push(line),
        ...options,
      },
      {
        onDurable: (position) => durable.push(position),
        onPoisoned: (error) => poison.push(error),
      },
      (error, wal) => {
        answer = error ?? { wal, durable, poison };
      },
    );
    this.run(() => answer !== null);
    return answer as unknown as SimLog | FlotillaError;
  }

  open(options: Partial<WalOptions> = {}): SimLog {
    const log = this.tryOpen(options);
    if (log instanceof Error) throw log;
    return log;
  }

  /** Opens, or acts as told, with the disk stopping at its n-th operation from now on; whether it came to that. */
  stopsAt(n: number, act: () => unknown = () => this.open()): boolean {
    this.start();
    this.disk.crashAfter(n);
    try {
      act();
    } catch (error) {
      if (!this.disk.isStopped) throw error;
    }
    return this.disk.isStopped;
  }

  refusal(options: Partial<WalOptions> = {}): FlotillaError {
    const error = this.tryOpen(options);
    if (!(error instanceof Error))
      throw new Error(`opened with verdict ${error.wal.report.verdict}`);
    this.end();
    return error;
  }

  /** Ends the turn and runs until it is durable (or the log is poisoned). */
  sync(log: SimLog): void {
    const position = log.wal.endTurn();
    this.run(() => log.wal.durablePosition >= position || log.poison.length > 0);
  }

  close(log: SimLog): FlotillaError | null {
    let isDone = false;
    let outcome: FlotillaError | null = null;
    log.wal.close((error) => {
      isDone = true;
      outcome = error as FlotillaError | null;
    });
    this.run(() => isDone);
    const left = this.disk.openFiles.map(({ path, mode }) => `${path} (${mode})`);
    this.end();
    if (isDone && left.length > 0) throw new Error(`closed with files open: ${left.join(', ')}`);
    return outcome;
  }

  /** The process ends without closing; the page cache stays. */
  kill(): void {
    this.host.kill();
    this.#life = null;
  }

  powerCut(policy?: CrashPolicy): void {
    this.host.powerCut(policy);
    this.#life = null;
  }

  /** A life that has nothing left to do. */
  end(): void {
    if (this.#life !== null) this.kill();
  }

  inspect(): Inspection {
    let found: Inspection | null = null;
    inspectDirectory(this.life.disk, directory, {}, (inspection) => {
      found = inspection;
    });
    this.run(() => found !== null);
    this.end();
    return found as unknown as Inspection;
  }

  /** A host of its own whose disk starts as this one's is now, everything durable. */
  fork(seed = 2): SimLogHost {
    const copy = new SimLogHost(seed);
    for (const name of this.disk.surgery.list(directory)) {
      const path = `${directory}/${name}`;
      copy.disk.surgery.putFile(path, this.disk.surgery.read(path));
    }
    return copy;
  }
}

export function openGroup(log: SimLog, groupId: number, term = 100): number {
  const slot = log.wal.openGroup(groupId, 1, groupId, new Uint8Array(0));
  log.wal.layHardState(slot, term, noVote, 0);
  return slot;
}

export function append(
  log: SimLog,
  slot: number,
  first: number,
  payloads: readonly string[],
  term = 1,
): void {
  layEntries(log.wal, slot, first, payloads, term);
}

/** Last index of each group, by id. */
export function lastIndexes(log: SimLog): Record<number, number> {
  return Object.fromEntries(
    log.wal.recoveredGroups().map((group) => [group.groupId, group.lastIndex]),
  );
}

export interface Built {
  readonly host: SimLogHost;
  /** File and header offset of each batch, in order. */
  readonly batches: readonly {
    readonly path: string;
    readonly offset: number;
    readonly length: number;
    readonly seq: number;
  }[];
}

/** A store with `count` batches of one entry each, in one group, cut off (killed) right after the last became durable. */
export function storeWith(
  count: number,
  options: { payloadBytes?: number; closed?: boolean; witnessed?: boolean } = {},
): Built {
  const host = new SimLogHost();
  const log = host.open();
  const slot = openGroup(log, 1);
  host.sync(log);
  for (let index = 1; index <= count - 1; index++) {
    append(log, slot, index, [`${index}`.padEnd(options.payloadBytes ?? 100, '.')]);
    host.sync(log);
  }
  if (options.witnessed === true) host.runMs(500);
  if (options.closed === true) host.close(log);
  else host.kill();
  host.disk.settle();
  const batches: { path: string; offset: number; length: number; seq: number }[] = [];
  let isDone = false;
  inspectDirectory(
    host.life.disk,
    directory,
    {
      onBatch: (segment, batch) =>
        batches.push({
          path: `${directory}/${segment.name}`,
          offset: batch.offset,
          length: batch.length,
          seq: batch.seq,
        }),
    },
    () => {
      isDone = true;
    },
  );
  host.run(() => isDone);
  host.end();
  return { host, batches };
}

/** A log of one group whose oldest segment holds the entries up to `sealed` and nothing else. */
export function withEntriesOnly(): { host: SimLogHost; log: SimLog; last: number; sealed: number } {
  const host = new SimLogHost(7);
  const log = host.open();
  const slot = openGroup(log, 1);
  const { counters } = log.wal;
  const lasts: number[] = [];
  let last = 0;
  while (counters.rotations < 4) {
    append(log, slot, ++last, ['x'.repeat(7000)]);
    host.sync(log);
    lasts[counters.rotations] = last;
  }
  log.wal.noteCommit(slot, last);
  // What the group is moves out of the first segment, which then goes.
  log.wal.layCompact(slot, lasts[0] as number);
  log.wal.endTurn();
  host.run(() => counters.segmentsFreed > 0);
  host.runMs(1000);
  return { host, log, last, sealed: lasts[1] as number };
}

/** A log with one group and one durable entry. */
export function started(options: Partial<WalOptions> = {}): {
  host: SimLogHost;
  log: SimLog;
  slot: number;
} {
  const host = new SimLogHost();
  const log = host.open(options);
  const slot = openGroup(log, 1);
  append(log, slot, 1, ['one']);
  host.sync(log);
  host.runMs(300);
  return { host, log, slot };
}

/** What is acknowledged stays, nothing more is written; `acked` is the least last index of each group after a power cut. */
export function expectPoisoned(host: SimLogHost, log: SimLog, acked: Record<number, number>): void {
  expect(log.poison).toHaveLength(1);
  expect(log.wal.poisoned).toBe(log.poison[0]);
  const calls = host.disk.callCount;
  const durable = log.wal.durablePosition;
  const { syncs } = log.wal.counters;
  expect(() => append(log, 0, 2, ['no'])).toThrow(log.poison[0]);
  log.wal.endTurn();
  host.runMs(2000);
  expect(log.wal.durablePosition).toBe(durable);
  expect(log.wal.counters.syncs).toBe(syncs);
  const ref = new RecordRef();
  expect(log.wal.lookup(0, 1, ref)).toBe(true);
  expect(host.close(log)).toBeNull();
  // Only descriptors are closed: nothing is written, synced or renamed any more.
  expect(host.disk.callLog.slice(calls).every((call) => call.op === 'close')).toBe(true);
  host.powerCut(loseEverything);
  const again = host.open();
  for (const [group, last] of Object.entries(acked)) {
    expect(lastIndexes(again)[Number(group)]).toBeGreaterThanOrEqual(last);
  }
}
