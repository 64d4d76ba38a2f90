// dump: the records of the log in order, filtered, printed as they are met.

import { type ScannedBatch, type SegmentFile } from '@flotilla/wal';
import { outcomeOf } from '../exit-codes.ts';
import { lookOnce } from '../look.ts';
import { payloadsOf } from '../payload.ts';
import { recordJson, recordLines } from '../record-line.ts';
import { eachRecord, type RecordFacts } from '../record-walk.ts';
import type { Job } from '../run.ts';
import { untilLine } from '../until-line.ts';

export async function dump(job: Job): Promise<number> {
  const { options, out } = job;
  const { group, indexes, seqs, type, json } = options;
  const payload = { form: options.payload, decoder: options.decoder, indexes };
  const isRanged = indexes.from > 0 || indexes.to < Number.MAX_SAFE_INTEGER;
  const isWanted = (facts: RecordFacts): boolean => {
    if (group !== null && facts.group !== group) return false;
    if (type !== null && facts.type.toUpperCase() !== type) return false;
    if (!isRanged) return true;
    const last = Math.max(facts.last, facts.first);
    return facts.first > 0 && facts.first <= indexes.to && last >= indexes.from;
  };
  const onBatch = (segment: SegmentFile, batch: ScannedBatch): void => {
    if (batch.seq < seqs.from || batch.seq > seqs.to) return;
    const { offset, seq, flags } = batch;
    const facts = { segId: segment.segId, offset, seq, flags };
    eachRecord(batch, (record, at) => {
      if (!isWanted(record)) return;
      const payloads = payloadsOf(batch.bytes, at, record, payload);
      if (json) out.line(recordJson(facts, record, payloads));
      else for (const line of recordLines(facts, record, payloads)) out.line(line);
    });
  };
  const look = await lookOnce(job, onBatch);
  const until = untilLine(look.inspection);
  if (until !== null) out.error(`wal-inspect: ${until}`);
  return outcomeOf(look).code;
}
