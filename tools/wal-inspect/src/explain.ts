// explain: why the log ends where it does, or what stands at one page of a segment and whether it holds.

import { alignUp, crc32 } from '@flotilla/codec';
import type { File, IoError } from '@flotilla/io';
import {
  batchHeaderAt,
  batchHeaderBytes,
  isBatchHeader,
  pageBytes,
  pathIn,
  type ScannedBatch,
  type SegmentFile,
  segmentIdOf,
  segmentName,
} from '@flotilla/wal';
import { type Look, lookAt } from './look.ts';
import type { Place } from './options.ts';
import { eachRecord } from './record-walk.ts';
import { exitCodes, type Job, outcomeOf } from './run.ts';
import { digits, hex32, segmentLabel } from './text.ts';

/** No batch is longer; a header that says more is not believed with memory. */
const batchBytesMax: number = 64 * 1024 * 1024 + pageBytes;

interface Placed {
  readonly offset: number;
  readonly length: number;
  readonly seq: number;
}

export async function explain(job: Job): Promise<number> {
  const batches: Placed[] = [];
  const wanted = job.options.at;
  const onBatch = (segment: SegmentFile, { offset, length, seq }: ScannedBatch): void => {
    if (wanted !== null && segment.segId === wanted.segId) batches.push({ offset, length, seq });
  };
  const look = await lookAt(job, onBatch, () => {
    batches.length = 0;
  });
  const { refusal, tail } = look.inspection;
  const { verdict, code } = outcomeOf(look);
  const lines: string[] = [];
  const at = wanted ?? placeOfVerdict(look);
  if (at !== null) lines.push(...(await explainPage(job, look, at, batches)));
  if (wanted === null) {
    const evidence = refusal?.evidence ?? tail?.evidence ?? [];
    lines.push(...evidence.map((line) => `evidence ${line}`));
    lines.push(
      `verdict  ${verdict}${refusal === null ? '' : ` ${refusal.reason}: ${refusal.summary}`}`,
    );
    lines.push(`next     ${adviceFor(look)}`);
  }
  if (job.options.json)
    job.out.line(JSON.stringify({ verdict, exit: code, at, lines, refusal, tail }));
  else for (const line of lines) job.out.line(line);
  return wanted !== null && lines.length === 0 ? exitCodes.usage : code;
}

function placeOfVerdict(look: Look): Place | null {
  const { refusal, tail } = look.inspection;
  if (refusal !== null) {
    const segId = segmentIdOf(refusal.file);
    return segId > 0 && refusal.page > 0 ? { segId, page: refusal.page } : null;
  }
  return tail === null ? null : { segId: tail.segId, page: tail.page };
}

function adviceFor(look: Look): string {
  const { refusal, verdict, tail } = look.inspection;
  if (refusal === null) {
    if (verdict === 'torn')
      return `opening drops ${tail?.discardedBytes ?? 0} bytes that nobody was told about`;
    return 'the log opens with all of its batches';
  }
  switch (refusal.reason) {
    case 'E_IO':
    case 'E_NOT_FILE':
      return 'make the file readable, then try again';
    case 'E_VERSION':
      return 'use a version that knows this format';
    case 'E_SUSPECT_BITFLIP':
      return 're-seed this replica; or open with suspectTail: discard, if nothing of this batch was acknowledged';
    default:
      return 're-seed this replica';
  }
}

async function explainPage(
  job: Job,
  look: Look,
  at: Place,
  batches: readonly Placed[],
): Promise<string[]> {
  const label = `${segmentLabel(at.segId)}:${at.page}`;
  const offset = at.page * pageBytes;
  const inside = batches.find(
    (batch) => batch.offset < offset && offset < batch.offset + batch.length,
  );
  if (inside !== undefined) {
    return [
      `page     ${label} is inside batch ${inside.seq}, which begins at page ${inside.offset / pageBytes} and is whole`,
    ];
  }
  const path = pathIn(job.options.directory, segmentName(at.segId));
  let head: Uint8Array;
  try {
    head = await readAt(job, path, offset, pageBytes);
  } catch (error) {
    return [`page     ${label} cannot be read: ${(error as Error).message}`];
  }
  if (head.length < batchHeaderBytes) return [`page     ${label} is behind the end of the file`];
  if (at.page === 0) return [`page     ${label} is the segment's header`];
  if (head.every((byte) => byte === 0)) return [`page     ${label} holds only zeros`];
  const header = batchHeaderAt(head, 0);
  const computed = crc32(head, 0, batchHeaderBytes - 4);
  const lines: string[] = [];
  const isWhole = isBatchHeader(head, 0);
  lines.push(
    isWhole
      ? `header   ok seq ${header.seq} body ${digits(header.bodyLen)} B ${header.recordCount} records ` +
          `epoch ${header.epoch} durable ${header.durableSeq}`
      : `header   BAD: ${header.hasMagic ? '' : 'no magic, '}CRC says ${hex32(header.hdrCrc)}, bytes give ${hex32(computed)}`,
  );
  const isOurs = look.inspection.survey?.segments.some(
    (segment) => segment.segId === at.segId && segment.header.salt === header.salt,
  );
  if (!isWhole) return lines;
  if (header.segId !== at.segId || isOurs !== true)
    lines.push('life     of an earlier life of this file');
  if (header.pageNo !== at.page) lines.push(`place    BAD: it belongs to page ${header.pageNo}`);
  const length = alignUp(batchHeaderBytes + header.bodyLen, pageBytes);
  const batch = await readAt(job, path, offset, Math.min(length, batchBytesMax));
  const bodyCrc = crc32(batch, batchHeaderBytes, batch.length);
  const isBodyOk = batch.length === length && bodyCrc === header.bodyCrc;
  lines.push(
    isBodyOk
      ? 'body     ok'
      : `body     BAD: CRC says ${hex32(header.bodyCrc)}, bytes give ${hex32(bodyCrc)}`,
  );
  let count = 0;
  const end = Math.min(batchHeaderBytes + header.bodyLen, batch.length);
  const form = { form: 'none', indexes: { from: 0, to: 0 } } as const;
  const reached = eachRecord(batch, batchHeaderBytes, end, form, (facts) => {
    count++;
    if (facts.block !== 'BAD') return;
    lines.push(
      `inside   group ${facts.group} block ${facts.first}..${facts.last} term ${facts.term} BAD (${facts.note})`,
    );
  });
  lines.push(
    `records  ${count} of ${header.recordCount}${reached ? '' : ', then a head that cannot be'}`,
  );
  return lines;
}

function readAt(job: Job, path: string, offset: number, bytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    job.disk.open(path, 'read', (openError, file) => {
      if (openError !== null) return reject(openError);
      const target = new Uint8Array(bytes);
      readInto(job, file, target, offset, 0, (error, length) => {
        job.disk.close(file, () => {
          if (error !== null) reject(error);
          else resolve(target.subarray(0, length));
        });
      });
    });
  });
}

function readInto(
  job: Job,
  file: File,
  target: Uint8Array,
  offset: number,
  filled: number,
  done: (error: IoError | null, length: number) => void,
): void {
  job.disk.read(file, target.subarray(filled), offset + filled, (error, bytes) => {
    if (error !== null) return done(error, filled);
    const length = filled + bytes;
    if (bytes === 0 || length === target.length) return done(null, length);
    readInto(job, file, target, offset, length, done);
  });
}
