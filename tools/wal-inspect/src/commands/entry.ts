// entry: one entry of one group: where it stands, how it is stored, whether it holds.

import { recordHeadBytes, u32At } from '@flotilla/codec';
import { batchHeaderBytes, pageBytes, type ScannedBatch, type SegmentFile } from '@flotilla/wal';
import { exitCodes, outcomeOf } from '../exit-codes.ts';
import { RunReader } from '../index-runs.ts';
import { lookAt } from '../look.ts';
import { numberArgument } from '../options.ts';
import { type EntryView, eachEntry, payloadLines } from '../payload.ts';
import { eachRecord } from '../record-walk.ts';
import type { Job } from '../run.ts';
import { digits, segmentLabel } from '../text.ts';
import { untilLine } from '../until-line.ts';

export async function entry(job: Job): Promise<number> {
  const { out, options } = job;
  const groupId = numberArgument(options, 1, 'GROUP');
  const wanted = numberArgument(options, 2, 'INDEX');
  const older: string[] = [];
  const look = await lookAt(job, {
    begin: () => {
      older.length = 0;
    },
    onBatch: (segment: SegmentFile, batch: ScannedBatch) => {
      eachRecord(batch, (facts) => {
        const isHere = facts.type === 'ENTRIES' && facts.group === groupId;
        if (!isHere || wanted < facts.first || wanted > facts.last) return;
        const page = batch.offset / pageBytes;
        older.push(`${segmentLabel(segment.segId)}:${page}+${facts.offset + batchHeaderBytes}`);
      });
    },
  });
  const { inspection } = look;
  const { refusal } = inspection;
  const reader = new RunReader(job, options.directory, inspection);
  const run = await reader.at(groupId, wanted);
  await reader.close();
  if (run === null) {
    const has = reader.rangeOf(groupId);
    const range = has === null ? '' : `; the log has ${has.first}..${has.last}`;
    const what = has === null ? `no group ${groupId}` : `group ${groupId} has no index ${wanted}`;
    out.error(`wal-inspect: ${what}${range}`);
    const until = untilLine(inspection);
    if (until !== null) out.error(`wal-inspect: ${until}`);
    return refusal === null ? exitCodes.usage : outcomeOf(look).code;
  }
  let view: EntryView | null = null;
  const only = { from: wanted, to: wanted };
  if (run.broken === null) {
    eachEntry(run.bytes, run.block, only, (found) => {
      view = found;
    });
  }
  const found = view as EntryView | null;
  const recLen = run.bytes.length < recordHeadBytes ? 0 : u32At(run.bytes, 4);
  const place = `${segmentLabel(run.segment.segId)}+${run.offset}`;
  const payloads =
    run.broken === null
      ? payloadLines(run.bytes, run.block, {
          form: options.payload,
          decoder: options.decoder,
          indexes: only,
        })
      : [];
  // Earlier records of the same index: overwritten, or copied on.
  const versions = older.length;
  if (options.json) {
    out.line(
      JSON.stringify({
        group: groupId,
        index: wanted,
        term: run.term,
        place,
        records: older,
        block: { first: run.first, last: run.last, bytes: recLen },
        crc: run.broken === null ? 'ok' : 'BAD',
        type: found?.type ?? null,
        codec: found?.codec ?? null,
        storedBytes: found?.storedBytes ?? null,
        payload: payloads[0] ?? null,
      }),
    );
  } else {
    out.line(`entry    group ${groupId} index ${wanted} term ${run.term}`);
    out.line(`place    ${run.segment.name} offset ${digits(run.offset)}`);
    out.line(
      `block    ${run.first}..${run.last} live, record of ${digits(recLen)} bytes, ` +
        `crc ${run.broken === null ? 'ok' : `BAD: ${run.broken}`}`,
    );
    if (found !== null) {
      const { type, codec, storedBytes } = found;
      out.line(`stored   ${type}, ${codec}, ${digits(storedBytes)} bytes`);
    }
    if (versions > 1) out.line(`records  ${versions} in this log: ${older.slice(-5).join(', ')}`);
    const hint = 'not shown: --payload hex, utf8 or msgpack shows it';
    if (found !== null) out.line(`payload  ${payloads[0] ?? hint}`);
  }
  if (run.broken !== null) return exitCodes.corrupt;
  return outcomeOf(look).code;
}
