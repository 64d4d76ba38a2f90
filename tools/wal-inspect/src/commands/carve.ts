// carve: the whole batches of one file, found page by page without STORE, header or order; runs of them are one line.

import { dirname } from 'node:path';
import {
  batchFlags,
  type CarvedBatch,
  type CarveEnd,
  carveFile,
  kindText,
  pageBytes,
} from '@flotilla/wal';
import { exitCodes } from '../exit-codes.ts';
import { isLocked } from '../motion.ts';
import { statOf, withOpen } from '../read.ts';
import type { Job } from '../run.ts';
import { digits, hex32, segmentLabel } from '../text.ts';

interface CarvedRun {
  readonly segId: number;
  readonly salt: number;
  readonly firstPage: number;
  readonly firstSeq: number;
  lastSeq: number;
  /** Page behind the last batch. */
  endPage: number;
  batches: number;
  carried: number;
  readonly isWhole: boolean;
}

export async function carve(job: Job): Promise<number> {
  const { out, options, disk } = job;
  const path = options.directory;
  const stat = await statOf(disk, path);
  if (stat.kind !== 'file') {
    out.error(`wal-inspect: ${path} is a ${kindText(stat.kind)}, not a file`);
    return exitCodes.io;
  }
  // While a host writes the file, a batch may be caught half written: what is broken was so before, too.
  const isLive = isLocked(dirname(path));
  const brokenBefore = new Set<string>();
  const keyOf = ({ offset, header }: CarvedBatch): string => `${offset} ${header.hdrCrc}`;
  const pass = (visit: (batch: CarvedBatch) => void): Promise<CarveEnd> =>
    withOpen(
      disk,
      path,
      (file) =>
        new Promise<CarveEnd>((resolve, reject) => {
          carveFile(disk, file, stat.bytes, visit, (error, found) =>
            error === null ? resolve(found) : reject(error),
          );
        }),
    );
  if (isLive) {
    await pass((batch) => {
      if (!batch.isWhole) brokenBefore.add(keyOf(batch));
    });
  }
  let writing = 0;
  let run: CarvedRun | null = null;
  let whole = 0;
  let broken = 0;
  const endRun = (): void => {
    if (run !== null) out.line(options.json ? JSON.stringify(run) : runLine(run));
    run = null;
  };
  const visit = (batch: CarvedBatch): void => {
    const { header, offset, length, isWhole } = batch;
    if (isLive && !isWhole && !brokenBefore.has(keyOf(batch))) {
      writing++;
      return;
    }
    const page = offset / pageBytes;
    if (isWhole) whole++;
    else broken++;
    const { segId, salt, seq } = header;
    const continues =
      run !== null &&
      run.isWhole &&
      isWhole &&
      run.segId === segId &&
      run.salt === salt &&
      seq === run.lastSeq + 1 &&
      page === run.endPage;
    if (!continues || run === null) {
      endRun();
      run = {
        segId,
        salt,
        firstPage: page,
        firstSeq: seq,
        lastSeq: seq,
        endPage: page,
        batches: 0,
        carried: 0,
        isWhole,
      };
    }
    run.lastSeq = seq;
    run.batches++;
    run.endPage = page + (isWhole ? length / pageBytes : 1);
    if ((header.flags & batchFlags.carryOver) !== 0) run.carried++;
  };
  const end = await pass(visit);
  endRun();
  if (options.json) {
    out.line(JSON.stringify({ whole, broken, writing, ...end }));
  } else {
    out.line(
      `${digits(whole)} whole batches, ${digits(broken)} headers without a whole body; of ${digits(end.pages)} pages ` +
        `${digits(end.zeroPages)} hold zeros and ${digits(end.otherPages)} something else`,
    );
    if (writing > 0) out.line(`${digits(writing)} more are being written`);
  }
  return broken > 0 ? exitCodes.corrupt : exitCodes.clean;
}

function runLine(run: CarvedRun): string {
  const { segId, salt, firstPage, endPage, firstSeq, lastSeq, carried } = run;
  const pages =
    endPage - firstPage > 1 ? `pages ${firstPage}..${endPage - 1}` : `page ${firstPage}`;
  const life = `segment ${segmentLabel(segId)} life ${hex32(salt)}`;
  if (!run.isWhole)
    return `${pages} batch ${firstSeq} ${life}: the header holds, the body does not`;
  const batches = lastSeq > firstSeq ? `batches ${firstSeq}..${lastSeq}` : `batch ${firstSeq}`;
  return `${pages} ${batches} ${life}${carried > 0 ? `, ${carried} carried over` : ''}`;
}
