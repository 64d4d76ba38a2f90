// explain: why the log opens, drops its tail or refuses: what stands at the place that decided, the evidence, what the
// verdict means and what to do next. With --at: what stands at one page and whether it holds.

import {
  pageBytes,
  type ScannedBatch,
  type SegmentFile,
  segmentIdOf,
  segmentName,
} from '@flotilla/wal';
import { adviceFor } from '../advice.ts';
import { exitCodes, outcomeOf } from '../exit-codes.ts';
import { type Look, lookAt } from '../look.ts';
import type { Place } from '../options.ts';
import { describePage, placeLabel } from '../page-facts.ts';
import type { Job } from '../run.ts';

/** The batch that the wanted page lies inside of, where the walk met one. */
interface Around {
  seq: number;
  page: number;
}

export async function explain(job: Job): Promise<number> {
  const { out, options } = job;
  const wanted = options.at;
  const around: Around = { seq: 0, page: 0 };
  const onBatch = (segment: SegmentFile, { offset, length, seq }: ScannedBatch): void => {
    if (wanted === null || segment.segId !== wanted.segId) return;
    const at = wanted.page * pageBytes;
    if (offset >= at || at >= offset + length) return;
    around.seq = seq;
    around.page = offset / pageBytes;
  };
  const look = await lookAt(job, { onBatch });
  const { refusal, tail } = look.inspection;
  const { verdict, code } = outcomeOf(look);
  const at = wanted ?? placeOfVerdict(look);
  const lines: string[] = [];
  if (around.seq > 0 && at !== null) {
    const begins = `begins at page ${around.page} and is whole`;
    lines.push(`page     ${placeLabel(at)} is inside batch ${around.seq}, which ${begins}`);
  } else if (at !== null && wanted === null && look.isLive && refusal === null) {
    lines.push(`page     ${placeLabel(at)} is where the next batch goes`);
  } else if (at !== null) {
    lines.push(...(await describePage(job, at, look.isLive)));
  }
  const advice = adviceFor(look.inspection, options.directory, look.isLive);
  const evidence = refusal?.evidence ?? tail?.evidence ?? [];
  if (options.json) {
    out.line(
      JSON.stringify({
        verdict,
        exit: code,
        isLive: look.isLive,
        at,
        lines,
        evidence,
        ...advice,
        refusal,
        tail,
      }),
    );
    return wanted !== null && lines.length === 0 ? exitCodes.usage : code;
  }
  const where = wanted === null ? whereOf(look) : '';
  if (where !== '') out.line(`where    ${where}`);
  for (const line of lines) out.line(line);
  if (wanted !== null) return code;
  for (const line of evidence) out.line(`evidence ${line}`);
  const reason = refusal === null ? '' : ` ${refusal.reason}: ${refusal.summary}`;
  out.line(`verdict  ${verdict} (exit ${code})${reason}`);
  out.line(`meaning  ${advice.meaning}`);
  for (const line of advice.next) out.line(`next     ${line}`);
  return code;
}

function placeOfVerdict(look: Look): Place | null {
  const { refusal, tail } = look.inspection;
  if (refusal !== null) {
    const segId = segmentIdOf(refusal.file);
    return segId > 0 && refusal.page > 0 ? { segId, page: refusal.page } : null;
  }
  return tail === null ? null : { segId: tail.segId, page: tail.page };
}

/** The file, page and batch that decided, or nothing where all is in order. */
function whereOf({ inspection }: Look): string {
  const { refusal, tail, verdict } = inspection;
  const torn = verdict === 'torn' && tail !== null ? tail : null;
  if (refusal === null && torn === null) return '';
  const file = refusal?.file ?? segmentName(torn?.segId ?? 0);
  const page = refusal?.page ?? torn?.page ?? 0;
  const seq = refusal?.seq ?? torn?.seq ?? 0;
  return `${file}${page > 0 ? ` page ${page}` : ''}${seq > 0 ? `, where batch ${seq} belongs` : ''}`;
}
