// group: the history of one group, record by record; appends that continue each other are one line.

import { recoveredGroupAt, type ScannedBatch, type SegmentFile } from '@flotilla/wal';
import { exitCodes, outcomeOf } from '../exit-codes.ts';
import { lookOnce } from '../look.ts';
import { numberArgument } from '../options.ts';
import { type BatchFacts, placeOf } from '../record-line.ts';
import { eachRecord, type RecordFacts } from '../record-walk.ts';
import type { Job } from '../run.ts';
import { untilLine } from '../until-line.ts';

/** Appends of one term, each continuing the one before. */
interface Run {
  readonly place: string;
  readonly fromSeq: number;
  toSeq: number;
  readonly first: number;
  last: number;
  readonly term: number;
  records: number;
}

export async function group(job: Job): Promise<number> {
  const { out, options } = job;
  const wanted = numberArgument(options, 1, 'GROUP');
  let run: Run | null = null;
  let last = 0;
  let events = 0;
  const tell = (event: Readonly<Record<string, unknown>>, text: string): void => {
    events++;
    out.line(options.json ? JSON.stringify(event) : text);
  };
  const endRun = (): void => {
    if (run === null) return;
    const { place, fromSeq, toSeq, first, last: end, term, records } = run;
    const batches = toSeq > fromSeq ? `batches ${fromSeq}..${toSeq}` : `batch ${fromSeq}`;
    tell(
      { event: 'append', place, fromSeq, toSeq, first, last: end, term, records },
      `${place} ${batches} append ${first}..${end} term ${term} in ${records} records`,
    );
    run = null;
  };
  const visit = (batch: BatchFacts, facts: RecordFacts): void => {
    const { seq } = batch;
    const { first, term } = facts;
    if (facts.type === 'ENTRIES' && !facts.note.includes('rewritten')) {
      if (run !== null && run.term === term && first === run.last + 1) {
        run.last = facts.last;
        run.toSeq = seq;
        run.records++;
      } else {
        endRun();
        if (first <= last) {
          tell(
            { event: 'conflict', place: placeOf(batch, facts), seq, first, dropped: last },
            `${placeOf(batch, facts)} batch ${seq} conflict: ${first}..${last} are overwritten`,
          );
        }
        run = {
          place: placeOf(batch, facts),
          fromSeq: seq,
          toSeq: seq,
          first,
          last: facts.last,
          term,
          records: 1,
        };
      }
      last = facts.last;
      return;
    }
    endRun();
    if (facts.type === 'TRUNCATE') last = first - 1;
    const place = placeOf(batch, facts);
    const range = first === 0 ? '' : ` ${first}${facts.last > first ? `..${facts.last}` : ''}`;
    const told = `${range}${term === 0 ? '' : ` term ${term}`} ${facts.note}`;
    tell(
      { event: facts.type, place, seq, first, last: facts.last, term, note: facts.note },
      `${place} batch ${seq} ${facts.type}${told}`,
    );
  };
  const onBatch = (segment: SegmentFile, batch: ScannedBatch): void => {
    const { offset, seq, flags } = batch;
    const facts = { segId: segment.segId, offset, seq, flags };
    eachRecord(batch, (record) => {
      if (record.group === wanted && record.type !== 'PAD') visit(facts, record);
    });
  };
  const look = await lookOnce(job, onBatch);
  endRun();
  const { index } = look.inspection;
  const slot = index.groups.slotOf(wanted);
  if (slot >= 0 && !options.json) {
    const { generation, firstIndex, lastIndex, commit, term } = recoveredGroupAt(index, slot);
    out.line(
      `now: generation ${generation} log ${firstIndex}..${lastIndex} commit ${commit} term ${term}`,
    );
  }
  const until = untilLine(look.inspection);
  if (until !== null) out.error(`wal-inspect: ${until}`);
  const { code } = outcomeOf(look);
  if (events > 0 || slot >= 0 || code !== exitCodes.clean) return code;
  out.error(`wal-inspect: no group ${wanted} in this log`);
  return exitCodes.usage;
}
