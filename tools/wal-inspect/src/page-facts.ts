// One page of a segment put into words: what stands there, whether its checksums hold, and which records are inside.
// Bytes only; whether the page continues the log is the inspection's question.

import { alignUp, crc32 } from '@flotilla/codec';
import {
  batchBodyBytesMax,
  batchHeaderAt,
  batchHeaderBytes,
  decodeSegmentHeader,
  isBatchHeader,
  pageBytes,
  pathIn,
  segmentName,
  sumOfFile,
  wholeBatchBytesMax,
} from '@flotilla/wal';
import type { Place } from './options.ts';
import { readPath, statOf, withOpen } from './read.ts';
import { eachRecord } from './record-walk.ts';
import type { Job } from './run.ts';
import { digits, hex32, segmentLabel } from './text.ts';

export function placeLabel(place: Place): string {
  return `${segmentLabel(place.segId)}:${place.page}`;
}

/** Reads of a page that a host may be writing, until it holds. */
const readsMax = 20;
const pauseMs = 10;

/** Lines about the page, each with a heading of eight characters. `isLive`: a batch may be half written. */
export async function describePage(job: Job, place: Place, isLive: boolean): Promise<string[]> {
  for (let reads = 1; ; reads++) {
    const lines = await describeOnce(job, place);
    if (!isLive || reads === readsMax || !lines.some((line) => line.includes('BAD'))) return lines;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

async function describeOnce(job: Job, place: Place): Promise<string[]> {
  const label = placeLabel(place);
  const path = pathIn(job.options.directory, segmentName(place.segId));
  const offset = place.page * pageBytes;
  let head: Uint8Array;
  let first: Uint8Array;
  try {
    head = await readPath(job.disk, path, offset, pageBytes);
    first = await readPath(job.disk, path, 0, pageBytes);
  } catch (error) {
    return [`page     ${label} cannot be read: ${(error as Error).message}`];
  }
  if (head.length < batchHeaderBytes) return [`page     ${label} is behind the end of the file`];
  if (place.page === 0) return [`page     ${label} is the segment's header`];
  if (head.every((byte) => byte === 0)) return [`page     ${label} holds only zeros`];
  const header = batchHeaderAt(head, 0);
  const computed = crc32(head, 0, batchHeaderBytes - 4);
  if (!isBatchHeader(head, 0)) {
    const magic = header.hasMagic ? '' : 'no magic, ';
    return [
      `header   BAD: ${magic}CRC says ${hex32(header.hdrCrc)}, bytes give ${hex32(computed)}`,
    ];
  }
  const lines = [
    `header   ok seq ${header.seq} body ${digits(header.bodyLen)} B ${header.recordCount} records ` +
      `epoch ${header.epoch} durable ${header.durableSeq}`,
  ];
  // The segment's own header names the life of the file that counts.
  const salt = decodeSegmentHeader(first)?.salt ?? header.salt;
  if (header.segId !== place.segId || header.salt !== salt)
    lines.push('life     of an earlier life of this file');
  if (header.pageNo !== place.page) lines.push(`place    BAD: it belongs to page ${header.pageNo}`);
  if (header.bodyLen > batchBodyBytesMax) {
    lines.push(`body     BAD: no batch has ${digits(header.bodyLen)} bytes`);
    return lines;
  }
  lines.push(...(await describeBody(job, path, offset, header)));
  return lines;
}

async function describeBody(
  job: Job,
  path: string,
  offset: number,
  header: { readonly bodyLen: number; readonly bodyCrc: number; readonly recordCount: number },
): Promise<string[]> {
  const lines: string[] = [];
  const length = alignUp(batchHeaderBytes + header.bodyLen, pageBytes);
  if (length > wholeBatchBytesMax) return describeLargeBody(job, path, offset, length, header);
  const batch = await readPath(job.disk, path, offset, length);
  const bodyCrc = crc32(batch, Math.min(batchHeaderBytes, batch.length), batch.length);
  if (batch.length < length) {
    lines.push(`body     BAD: the file ends ${digits(length - batch.length)} bytes before it does`);
  } else if (bodyCrc !== header.bodyCrc) {
    lines.push(`body     BAD: CRC says ${hex32(header.bodyCrc)}, bytes give ${hex32(bodyCrc)}`);
  } else lines.push('body     ok');
  let count = 0;
  const end = Math.min(batchHeaderBytes + header.bodyLen, batch.length);
  const span = {
    bytes: batch,
    recordsAt: batchHeaderBytes,
    recordsEnd: end,
    before: 0,
    isCut: false,
  };
  const reached = eachRecord(span, (facts) => {
    count++;
    if (facts.block === 'BAD') {
      lines.push(
        `inside   group ${facts.group} block ${facts.first}..${facts.last} term ${facts.term} BAD (${facts.note})`,
      );
    } else if (facts.note.startsWith('BAD')) {
      lines.push(`inside   group ${facts.group} ${facts.type} ${facts.note}`);
    }
  });
  const stopped = reached ? '' : ', then a head that cannot be';
  lines.push(`records  ${count} of ${header.recordCount}${stopped}`);
  return lines;
}

/** A body that is too large to be held: its checksum is told, its records are not looked at one by one. */
async function describeLargeBody(
  job: Job,
  path: string,
  offset: number,
  length: number,
  header: { readonly bodyCrc: number; readonly recordCount: number },
): Promise<string[]> {
  const { bytes } = await statOf(job.disk, path);
  if (bytes < offset + length)
    return [`body     BAD: the file ends ${digits(offset + length - bytes)} bytes before it does`];
  const range = { from: offset + batchHeaderBytes, to: offset + length, seed: 0 };
  const bodyCrc = await withOpen(
    job.disk,
    path,
    (file) =>
      new Promise<number>((resolve, reject) => {
        sumOfFile(job.disk, file, range, (error, crc) =>
          error === null ? resolve(crc) : reject(error),
        );
      }),
  );
  return [
    bodyCrc === header.bodyCrc
      ? 'body     ok'
      : `body     BAD: CRC says ${hex32(header.bodyCrc)}, bytes give ${hex32(bodyCrc)}`,
    `records  ${header.recordCount}, in a body too large to be shown one by one`,
  ];
}
