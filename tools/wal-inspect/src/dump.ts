// dump: the records of the log in order, filtered.

import {
  batchFlags,
  batchHeaderBytes,
  pageBytes,
  type ScannedBatch,
  type SegmentFile,
} from '@flotilla/wal';
import { lookAt } from './look.ts';
import { eachRecord, type RecordFacts } from './record-walk.ts';
import { type Job, outcomeOf } from './run.ts';
import { segmentLabel } from './text.ts';

export async function dump(job: Job): Promise<number> {
  const { options, out } = job;
  const { group, indexes, seqs, type, payload, json } = options;
  let lines: string[] = [];
  const flush = (): void => {
    for (const line of lines) out.line(line);
    lines = [];
  };
  const isWanted = (facts: RecordFacts): boolean => {
    if (group !== null && facts.group !== group) return false;
    if (type !== null && facts.type !== type.toUpperCase()) return false;
    const isRanged = indexes.from > 0 || indexes.to < Number.MAX_SAFE_INTEGER;
    return (
      !isRanged ||
      (facts.first > 0 &&
        facts.first <= indexes.to &&
        Math.max(facts.last, facts.first) >= indexes.from)
    );
  };
  const onBatch = (segment: SegmentFile, batch: ScannedBatch): void => {
    if (batch.seq < seqs.from || batch.seq > seqs.to) return;
    const start = batch.at + batchHeaderBytes;
    const page = batch.offset / pageBytes;
    const carried = (batch.flags & batchFlags.carryOver) !== 0 ? ' carried over' : '';
    eachRecord(batch.bytes, start, start + batch.bodyLen, { form: payload, indexes }, (facts) => {
      if (!isWanted(facts)) return;
      const place = `${segmentLabel(segment.segId)}:${page}+${facts.offset + batchHeaderBytes}`;
      if (json) {
        lines.push(JSON.stringify({ place, seq: batch.seq, ...facts }));
        return;
      }
      const range =
        facts.first === 0
          ? ''
          : ` ${facts.first}${facts.last > facts.first ? `..${facts.last}` : ''}`;
      const term = facts.term === 0 ? '' : ` term ${facts.term}`;
      const block = facts.block === '-' ? '' : ` crc ${facts.block}`;
      const note = facts.note === '' ? '' : ` ${facts.note}`;
      lines.push(
        `${place} ${batch.seq} ${facts.type} group ${facts.group}${range}${term}${block}${note}${carried}`,
      );
      for (const line of facts.payloads) lines.push(`    ${line}`);
    });
  };
  const look = await lookAt(job, onBatch, () => {
    lines = [];
  });
  flush();
  const { refusal, lastSeq } = look.inspection;
  if (refusal !== null) {
    out.error(
      `wal-inspect: only up to batch ${lastSeq}: ${refusal.reason} in ${refusal.file}: ${refusal.summary}`,
    );
  }
  return outcomeOf(look).code;
}
