// One look at a directory, which may be open in another process: files come and go under the reader then, so a refusal
// is believed only on evidence (motion.ts), however often that takes, up to a bound of time.

import {
  type Inspection,
  type InspectOptions,
  inspectDirectory,
  type Refusal,
  scanThreadsOf,
} from '@flotilla/wal';
import { isLocked, markOf, standingOf } from './motion.ts';
import type { Job } from './run.ts';

export interface Look {
  readonly inspection: Inspection;
  /** Another process has the store open. */
  readonly isLive: boolean;
}

/** A log that moves faster than it can be read for this long is given up on, without a word about its state. */
const settleMsMax = 120_000;
const pauseMsMax = 50;

const mib = 1024 * 1024;
/**
 * Each thread takes 10 to 12 MiB and its window; three beside the thread that replays would not stay below the 64 MiB
 * that a command may take, and two check as fast as one replays.
 */
export const jobsAtOnceMax = 2;
/** Windows that threads check, and what is held of a batch beside them: smaller than without threads, for the same bound. */
const helpWindowBytes: number = mib;
const heldBesideThreads = { wholeBatchBytesMax: 6 * mib, partBytes: 2 * mib } as const;

export interface LookOptions {
  readonly directory?: string;
  readonly onBatch?: InspectOptions['onBatch'];
  /** Threads beside this one, of which two run at most; null: as many as there are processors for. */
  readonly jobs?: number | null;
  /** Called before each try, to forget what an earlier one gathered. */
  readonly begin?: () => void;
}

export async function lookAt(job: Job, options: LookOptions = {}): Promise<Look> {
  const { directory = job.options.directory, onBatch, begin, jobs = 0 } = options;
  const help = helpOf(job, jobs);
  const { clock } = job.world;
  const startedMs = clock.monotonicMs();
  /** Somebody wrote during the last look, also where the system does not tell of the lock. */
  let isMoving = false;
  const standings = new Set<string>();
  for (let attempt = 1; ; attempt++) {
    begin?.();
    const isHeld = isLocked(directory);
    const isLive = isHeld || isMoving;
    const before = await markOf(job, directory);
    const inspection = await new Promise<Inspection>((resolve) => {
      const how = onBatch === undefined ? { isLive, ...help } : { isLive, onBatch, ...help };
      inspectDirectory(job.disk, directory, how, resolve);
    });
    const { refusal, verdict } = inspection;
    if (refusal === null && verdict !== 'torn') return { inspection, isLive };
    isMoving = (await markOf(job, directory)) !== before;
    if (!isLive && !isMoving && !isLocked(directory)) return { inspection, isLive };
    const isLate = clock.monotonicMs() - startedMs > settleMsMax;
    if (refusal === null) {
      // Looked at as a log that is written, and it was: the tail is in the making.
      if (isLate || (isLive && (isHeld || isMoving))) return { inspection, isLive };
    } else {
      const standing = await standingOf(job, directory, refusal);
      if (standing !== null && standings.has(standing)) return { inspection, isLive };
      if (standing !== null) standings.add(standing);
      if (isLate) return { inspection: unsettled(inspection, directory, refusal, attempt), isLive };
    }
    await pause(attempt);
  }
}

function helpOf({ world, out }: Job, jobs: number | null): Pick<InspectOptions, 'help' | 'limits'> {
  const { clock, workers } = world;
  if (workers === undefined || jobs === 0) return {};
  const onInfo = (line: string): void => out.error(`wal-inspect: ${line}`);
  const threads = Math.min(jobsAtOnceMax, scanThreadsOf(workers, jobs));
  if (threads === 0) return {};
  return {
    help: { workers, clock, threads, onInfo, windowBytes: helpWindowBytes },
    limits: heldBesideThreads,
  };
}

/** Says only that nothing could be found out. */
function unsettled(
  inspection: Inspection,
  directory: string,
  last: Refusal,
  looks: number,
): Inspection {
  const refusal: Refusal = {
    reason: 'E_IO',
    file: directory,
    page: 0,
    seq: 0,
    summary: 'a running host changes it faster than it can be read',
    evidence: [
      `${looks} looks, each of which the files moved under; the last met ${last.reason} in ${last.file}, which proves nothing`,
    ],
  };
  return { ...inspection, refusal, cause: null, verdict: 'refused' };
}

/** Short at first, and of uneven length, so as not to keep step with a log that rotates at regular intervals. */
function pause(attempt: number): Promise<void> {
  const ms = Math.min(pauseMsMax, attempt) * Math.random();
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * A look whose batches are told once, in order, also where the directory had to be looked at again: for commands that
 * print as they go and keep nothing.
 */
export function lookOnce(
  job: Job,
  onBatch: NonNullable<InspectOptions['onBatch']>,
  begin: () => void = () => {},
): Promise<Look> {
  let told = 0;
  let toldBytes = 0;
  return lookAt(job, {
    begin,
    onBatch: (segment, batch) => {
      const { seq, before } = batch;
      if (seq < told || (seq === told && before < toldBytes)) return;
      told = seq;
      toldBytes = before + batch.recordsEnd - batch.recordsAt;
      onBatch(segment, batch);
    },
  });
}
