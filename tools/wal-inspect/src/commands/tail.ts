// tail: the last records of the log, and with --follow those that are written from now on. Reads the newest segments
// only and keeps nothing, so that it costs the same beside a log of any size.

import * as fs from 'node:fs';
import { LogFollower, type ScannedBatch, type SegmentFile } from '@flotilla/wal';
import { exitCodes } from '../exit-codes.ts';
import { markOf } from '../motion.ts';
import { payloadsOf } from '../payload.ts';
import { recordJson, recordLines } from '../record-line.ts';
import { eachRecord } from '../record-walk.ts';
import type { Job } from '../run.ts';

const pollMs = 200;
const firstPollsMax = 1000;
/** Text that is gathered before what is older than the wanted lines is forgotten. */
const heldCharsMax = 2 * 1024 * 1024;

export async function tail(job: Job): Promise<number> {
  const { out, options, signal } = job;
  const payload = {
    form: options.payload,
    decoder: options.decoder,
    indexes: { from: 0, to: Number.MAX_SAFE_INTEGER },
  };
  let last: string[][] = [];
  let heldChars = 0;
  let isFollowing = false;
  const tell = (lines: string[]): void => {
    for (const line of lines) out.line(line);
  };
  let previous: { readonly seq: number; readonly epoch: number } | null = null;
  const onBatch = (segment: SegmentFile, batch: ScannedBatch): void => {
    const expected = previous === null || batch.before > 0 ? batch.seq : previous.seq + 1;
    // An opening may count on behind what it dropped.
    if (batch.seq > expected && batch.epoch === previous?.epoch)
      out.error(
        `wal-inspect: batches ${expected}..${batch.seq - 1} were given up or cannot be read`,
      );
    previous = { seq: batch.seq, epoch: batch.epoch };
    const { offset, seq, flags } = batch;
    const facts = { segId: segment.segId, offset, seq, flags };
    eachRecord(batch, (record, at) => {
      if (record.type === 'PAD') return;
      const payloads = payloadsOf(batch.bytes, at, record, payload);
      const lines = options.json
        ? [recordJson(facts, record, payloads)]
        : recordLines(facts, record, payloads);
      if (isFollowing) return tell(lines);
      last.push(lines);
      for (const line of lines) heldChars += line.length;
      // Trimmed in steps: a shift for each record would cost more than the reading.
      if (last.length > 2 * options.lines + 64 || heldChars > heldCharsMax) {
        last = last.slice(Math.max(0, last.length - options.lines));
        heldChars = 0;
      }
    });
  };
  const follower = new LogFollower(job.disk, options.directory, onBatch);
  const poll = (): Promise<Error | null> => new Promise((resolve) => follower.poll(resolve));
  const failed = await firstPoll(job, poll);
  if (failed !== null) {
    out.error(`wal-inspect: ${failed.message}`);
    return exitCodes.io;
  }
  for (const lines of last.slice(Math.max(0, last.length - options.lines))) tell(lines);
  last = [];
  isFollowing = true;
  while (options.follow && !signal.aborted) {
    out.flush();
    await waitAWhile(signal);
    const error = await poll();
    if (error !== null && !fs.existsSync(options.directory)) {
      out.error(`wal-inspect: ${error.message}`);
      return exitCodes.io;
    }
  }
  return exitCodes.clean;
}

/** A running host may give the newest segment up between two steps of the first poll: that is tried again. */
async function firstPoll(job: Job, poll: () => Promise<Error | null>): Promise<Error | null> {
  const { directory } = job.options;
  for (let attempt = 1; ; attempt++) {
    const before = await markOf(job, directory);
    const error = await poll();
    const hasMoved = error !== null && (await markOf(job, directory)) !== before;
    if (!hasMoved || attempt === firstPollsMax) return error;
  }
}

function waitAWhile(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, pollMs);
    signal.addEventListener('abort', done, { once: true });
  });
}
