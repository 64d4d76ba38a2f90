// Whether a directory moves while it is read, and whether a refusal can come from that.
//
// What a running host does to its files, in this order: a segment gets its name, STORE counts it, batches follow; STORE
// stops to count the oldest, then its name goes or its bytes are used again. Ids are never used twice and what a counted
// segment holds does not change. So a refusal is the reader's own doing only if what it speaks of moved meanwhile: the
// name got another standing in STORE, the file became another one, or the store was opened anew.

import * as fs from 'node:fs';
import {
  lockName,
  pathIn,
  readStore,
  type Refusal,
  type StoreResult,
  segmentIdOf,
  segmentName,
} from '@flotilla/wal';
import type { Job } from './run.ts';

function storeOf(job: Job, directory: string): Promise<StoreResult> {
  return new Promise((resolve) => readStore(job.disk, directory, resolve));
}

/** What stands behind a name: another value means another file. Nothing is opened. */
function fileAt(path: string): string {
  try {
    const { dev, ino, mode } = fs.lstatSync(path);
    return `${dev}:${ino}:${mode}`;
  } catch {
    return 'gone';
  }
}

function changedAt(path: string): string {
  try {
    const { ino, mtimeNs, size } = fs.lstatSync(path, { bigint: true });
    return `${ino}:${mtimeNs}:${size}`;
  } catch {
    return 'gone';
  }
}

/** The counters of STORE, or why there are none. */
function countersOf(store: StoreResult): string {
  if ('refusal' in store) return `${store.refusal.reason} ${store.refusal.summary}`;
  const { slots, witness, current } = store.report;
  const seqs = slots.map((slot) => slot?.slotSeq ?? 0).join(':');
  return `${seqs}:${witness?.durableSeq ?? 0}:${current.epoch}`;
}

/** Equal before and after reading = nobody wrote meanwhile: names, STORE and the newest segment are as they were. */
export async function markOf(job: Job, directory: string): Promise<string> {
  const store = await storeOf(job, directory);
  const newest = 'refusal' in store ? '' : segmentName(store.report.current.newestSeg);
  const tail = newest === '' ? '' : changedAt(pathIn(directory, newest));
  return `${countersOf(store)} ${changedAt(directory)} ${tail}`;
}

/**
 * What a refusal speaks of, as it stands now. A running host can cause a refusal only by changing this: where two looks
 * come to the same refusal and this is the same after both, it did not move under the second, and the refusal is true. Null: a name that comes
 * and goes, of which no refusal proves anything.
 */
export async function standingOf(
  job: Job,
  directory: string,
  refusal: Refusal,
): Promise<string | null> {
  const { reason, file, page, seq } = refusal;
  const store = await storeOf(job, directory);
  const what = `${reason} ${file} ${page} ${seq} ${fileAt(pathIn(directory, file))}`;
  const segId = segmentIdOf(file);
  if (segId > 0 && 'report' in store) {
    const { epoch, oldestSeg, newestSeg } = store.report.current;
    if (segId < oldestSeg) return null;
    return `${what} ${segId > newestSeg ? 'beyond' : 'counted'} in epoch ${epoch}`;
  }
  // Spares are made, renamed and removed all the time.
  if (reason === 'E_IO' && what.endsWith('gone') && file !== directory) return null;
  return `${what} ${countersOf(store)}`;
}

/** Whether STORE still counts a segment among the log: then what it holds is what it held. True where nobody can tell. */
export async function isCounted(job: Job, directory: string, segId: number): Promise<boolean> {
  const store = await storeOf(job, directory);
  return 'refusal' in store || segId >= store.report.current.oldestSeg;
}

/** Whether somebody holds the flock, where the system tells (Linux); asking for the lock ourselves could refuse a host. */
export function isLocked(directory: string): boolean {
  try {
    const { ino } = fs.lstatSync(pathIn(directory, lockName));
    const locks = fs.readFileSync('/proc/locks', 'latin1').split('\n');
    return locks.some((line) => line.includes('FLOCK') && line.includes(`:${ino} `));
  } catch {
    return false;
  }
}
