// One look at a directory, which may be open in another process: while its lock is held, files come and go under the
// reader, so a refusal is looked at again before it is believed.

import * as fs from 'node:fs';
import {
  type Inspection,
  type InspectOptions,
  inspectDirectory,
  lockName,
  pathIn,
} from '@flotilla/wal';
import type { Job } from './run.ts';

export interface Look {
  readonly inspection: Inspection;
  /** Another process has the store open. */
  readonly isLive: boolean;
}

const triesOnLive = 3;

export interface LookOptions {
  readonly directory?: string;
  readonly onBatch?: InspectOptions['onBatch'];
  /** Called before each try, to forget what an earlier one gathered. */
  readonly begin?: () => void;
}

export async function lookAt(job: Job, options: LookOptions = {}): Promise<Look> {
  const { directory = job.options.directory, onBatch, begin } = options;
  for (let attempt = 1; ; attempt++) {
    begin?.();
    const isLive = isLocked(pathIn(directory, lockName));
    const inspection = await new Promise<Inspection>((resolve) => {
      const how: InspectOptions = onBatch === undefined ? { isLive } : { isLive, onBatch };
      inspectDirectory(job.disk, directory, how, resolve);
    });
    const mayPass = inspection.refusal !== null && isLive;
    if (!mayPass || attempt === triesOnLive) return { inspection, isLive };
  }
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
  return lookAt(job, {
    begin,
    onBatch: (segment, batch) => {
      if (batch.seq <= told) return;
      told = batch.seq;
      onBatch(segment, batch);
    },
  });
}

/** Whether somebody holds the flock, where the system tells (Linux); asking for the lock ourselves could refuse a host. */
export function isLocked(path: string): boolean {
  try {
    const { ino } = fs.lstatSync(path);
    const locks = fs.readFileSync('/proc/locks', 'latin1').split('\n');
    return locks.some((line) => line.includes('FLOCK') && line.includes(`:${ino} `));
  } catch {
    return false;
  }
}
