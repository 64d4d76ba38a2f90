// hexdump: the bytes of one page of a segment, with what they mean beside them. A page inside a batch is shown with the
// batch's fields.

import { alignUp } from '@flotilla/codec';
import {
  batchBodyBytesMax,
  batchHeaderAt,
  batchHeaderBytes,
  kindText,
  pageBytes,
  pathIn,
  segmentName,
  wholeBatchBytesMax,
} from '@flotilla/wal';
import { exitCodes } from '../exit-codes.ts';
import { batchFields, type Field, fieldRows, segmentHeaderFields } from '../layout.ts';
import { lookAt } from '../look.ts';
import { parsePlace } from '../options.ts';
import { placeLabel } from '../page-facts.ts';
import { readAt, statOf, withOpen } from '../read.ts';
import type { Job } from '../run.ts';

export async function hexdump(job: Job): Promise<number> {
  const { out, options, disk } = job;
  const place = parsePlace('the place', options.arguments[1] as string);
  const path = pathIn(options.directory, segmentName(place.segId));
  const offset = place.page * pageBytes;
  const { kind, bytes: fileBytes } = await statOf(disk, path);
  if (kind !== 'file') {
    out.error(`wal-inspect: ${path} is a ${kindText(kind)}, not a file`);
    return exitCodes.io;
  }
  if (offset >= fileBytes) {
    out.error(`wal-inspect: ${placeLabel(place)} is behind the end of ${path}`);
    return exitCodes.usage;
  }
  let start = offset;
  if (place.page > 0) {
    await lookAt(job, {
      onBatch: (segment, batch) => {
        const isInside = batch.offset <= offset && offset < batch.offset + batch.length;
        if (segment.segId !== place.segId || !isInside) return;
        // Of a batch that is not held at once the page is shown alone.
        if (batch.length <= wholeBatchBytesMax) start = batch.offset;
      },
    });
  }
  const { bytes, fields } = await withOpen(disk, path, async (file) => {
    const head = await readAt(disk, file, start, pageBytes);
    if (place.page === 0) return { bytes: head, fields: segmentHeaderFields(head) };
    const isBatch = head.length >= batchHeaderBytes && batchHeaderAt(head, 0).hasMagic;
    if (!isBatch) return { bytes: head, fields: plainField(head) };
    const { bodyLen } = batchHeaderAt(head, 0);
    // A length that cannot be shows the page alone.
    const wanted = alignUp(batchHeaderBytes + Math.min(bodyLen, batchBodyBytesMax), pageBytes);
    const upTo = wanted > wholeBatchBytesMax ? pageBytes : Math.min(wanted, fileBytes - start);
    const batch = await readAt(disk, file, start, upTo);
    return { bytes: batch, fields: batchFields(batch, bodyLen) };
  });
  const from = offset - start;
  const to = Math.min(from + pageBytes, bytes.length);
  if (options.json) {
    const shown = fields.filter((field) => field.at + field.bytes > from && field.at < to);
    const hex = Buffer.from(bytes.subarray(from, to)).toString('hex');
    const batchAt = start === offset ? place.page : start / pageBytes;
    const relative = shown.map((field) => ({ ...field, at: field.at - from }));
    out.line(JSON.stringify({ place: placeLabel(place), batchAt, hex, fields: relative }));
    return exitCodes.clean;
  }
  const inside =
    start === offset ? '' : `, inside the batch that begins at page ${start / pageBytes}`;
  out.line(`${segmentName(place.segId)} page ${place.page}, file offset ${offset}${inside}`);
  for (const row of fieldRows(bytes, fields, from, to)) out.line(row);
  return exitCodes.clean;
}

function plainField(bytes: Uint8Array): Field[] {
  const text = bytes.every((byte) => byte === 0) ? 'zeros' : 'no batch begins here';
  return [{ at: 0, bytes: bytes.length, text }];
}
