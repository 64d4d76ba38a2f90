// Repair: builds a new directory from a damaged one. The old directory is read and locked, never changed. The new one
// gets its STORE last and is inspected before it is called repaired; one that would be refused is left without a STORE,
// so that nothing opens it.

import { type Clock, type Disk, FlotillaError, type IoError, type Rng } from '@flotilla/io';
import { makeEmptyDirectory, putFile, runSteps, type Step } from '../disk-steps.ts';
import { lockName, pageBytes, pathIn, storeName } from '../format.ts';
import { inspectDirectory } from '../inspect/inspect-directory.ts';
import { refusedBySystem } from '../refusal.ts';
import { planGroupDrop } from './drop-group.ts';
import { planBitFix, planDropAfter, planStore } from './make-plan.ts';
import type { RepairOutcome, RepairPlan, RepairRequest } from './plan.ts';
import { layTombstone } from './tombstone.ts';

export interface RepairWorld {
  readonly disk: Disk;
  readonly rng: Rng;
  readonly clock: Clock;
}

export type RepairCallback = (error: FlotillaError | null, outcome: RepairOutcome) => void;

/**
 * Repairs `from` into `to`, an absent or empty directory. Fails with WAL_LOCKED where a process has `from` open, with
 * WAL_NOT_EMPTY where `to` holds anything, with IO_REFUSED where the system says no.
 */
export function repairDirectory(
  world: RepairWorld,
  from: string,
  to: string,
  request: RepairRequest,
  callback: RepairCallback,
): void {
  const { disk } = world;
  const fail = (what: string, path: string, error: IoError): void =>
    callback(refusedBySystem(what, path, error), undefined as never);
  withLock(disk, from, callback, (release) => {
    const finish: RepairCallback = (error, outcome) => {
      release();
      callback(error, outcome);
    };
    const notEmpty = `${to} is not empty: a repair builds a new directory`;
    // Nothing is made before it is clear what to build.
    makePlan(world, from, request, (result) => {
      if ('why' in result) return finish(null, { kind: 'unfit', why: result.why });
      const { plan } = result;
      makeEmptyDirectory(disk, to, notEmpty, (error) => {
        if (error !== null) return finish(error, undefined as never);
        build(disk, from, to, plan, (buildError, what, path) => {
          if (buildError !== null) {
            release();
            return fail(what, path, buildError);
          }
          judge(world, to, plan, finish);
        });
      });
    });
  });
}

/** Holds the old directory's lock, where it has a LOCK file at all and may be written: else nobody has it open. */
function withLock(
  disk: Disk,
  from: string,
  callback: RepairCallback,
  use: (release: () => void) => void,
): void {
  const path = pathIn(from, lockName);
  disk.stat(path, (statError, stat) => {
    if (statError !== null || stat.kind !== 'file') return use(() => {});
    disk.lock(path, (error, lock) => {
      if (error === null) return use(() => lock.release());
      if (error.code === 'EROFS' || error.code === 'EACCES') return use(() => {});
      const message = `${from} is open in another process`;
      const refused =
        error.code === 'EWOULDBLOCK'
          ? new FlotillaError('WAL_LOCKED', message, { file: path }, error)
          : refusedBySystem('lock', path, error);
      callback(refused, undefined as never);
    });
  });
}

function makePlan(
  world: RepairWorld,
  from: string,
  request: RepairRequest,
  callback: (result: { readonly plan: RepairPlan } | { readonly why: string }) => void,
): void {
  const { disk, rng, clock } = world;
  switch (request.kind) {
    case 'fix-bitflip':
      return planBitFix(disk, from, request, callback);
    case 'drop-after':
      return planDropAfter(disk, from, rng, request, callback);
    case 'drop-group':
      return planGroupDrop(disk, from, rng, request.groupId, callback);
    case 'rebuild-store':
      return planStore(disk, from, rng, clock.wallMs(), callback);
  }
}

type BuildDone = (error: IoError | null, what: string, path: string) => void;

/** Segments, directory, STORE, directory: in this order, each synced. */
function build(disk: Disk, from: string, to: string, plan: RepairPlan, done: BuildDone): void {
  const sync: Step = ['sync', to, (next) => disk.syncDir(to, next)];
  const store = pathIn(to, storeName);
  const steps: readonly Step[] = [
    ...plan.segments.map(({ name, copy }): Step => {
      const target = pathIn(to, name);
      return ['copy', target, (next) => copy(disk, pathIn(from, name), target, next)];
    }),
    sync,
    ['write', store, (next) => putFile(disk, store, plan.store, next)],
    sync,
  ];
  runSteps(steps, done);
}

function judge(world: RepairWorld, to: string, plan: RepairPlan, finish: RepairCallback): void {
  const { disk } = world;
  const { instance, keepsInstance, done, lost, tombstone } = plan;
  const look = (accept: (lastSeq: number, capacityBytes: number) => void): void =>
    inspectDirectory(disk, to, {}, ({ refusal, lastSeq, survey }) => {
      const { capacityPages = 0 } = survey?.segments.at(-1)?.header ?? {};
      if (refusal === null) return accept(lastSeq, capacityPages * pageBytes);
      disk.unlink(pathIn(to, storeName), () =>
        disk.syncDir(to, () => finish(null, { kind: 'refused', refusal })),
      );
    });
  const succeed = (lastSeq: number): void =>
    finish(null, { kind: 'repaired', instance, keepsInstance, lastSeq, done, lost });
  look((lastSeq, capacityBytes) => {
    if (tombstone === undefined) return succeed(lastSeq);
    layTombstone(world, to, capacityBytes, tombstone(), (error) => {
      if (error !== null) return finish(error, undefined as never);
      look(succeed);
    });
  });
}
