// One look at a directory, which may be open in another process: while its lock is held, files may come and go under
// the reader, so a refusal that such a change explains is looked at again.

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
const passing = ['E_SEG_UNEXPECTED', 'E_SEG_MISSING', 'E_IO', 'E_STORE'];

/** `begin` is called before each try, to forget what an earlier one gathered. */
export async function lookAt(
  job: Job,
  onBatch?: InspectOptions['onBatch'],
  begin: () => void = () => {},
): Promise<Look> {
  const { directory } = job.options;
  const options: InspectOptions = onBatch === undefined ? {} : { onBatch };
  for (let attempt = 1; ; attempt++) {
    begin();
    const isLive = isLocked(pathIn(directory, lockName));
    const inspection = await new Promise<Inspection>((resolve) => {
      inspectDirectory(job.disk, directory, options, resolve);
    });
    const { refusal } = inspection;
    const mayPass = refusal !== null && isLive && passing.includes(refusal.reason);
    if (!mayPass || attempt === triesOnLive) return { inspection, isLive };
  }
}

/** Whether somebody holds the flock, where the system tells (Linux); asking for the lock ourselves could refuse a host. */
function isLocked(path: string): boolean {
  try {
    const { ino } = fs.statSync(path);
    const locks = fs.readFileSync('/proc/locks', 'latin1').split('\n');
    return locks.some((line) => line.includes('FLOCK') && line.includes(`:${ino} `));
  } catch {
    return false;
  }
}
