// explain: why the log opens, drops its tail or refuses: what stands at the place that decided, the evidence, what the
// verdict means and what to do next. With --at: what stands at one page and whether it holds.

import { pageBytes, type ScannedBatch, type SegmentFile, segmentIdOf } from '@flotilla/wal';
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
  } else if (at !== null) {
    const segments = look.inspection.survey?.segments ?? [];
    const salts = segments.filter((one) => one.segId === at.segId).map((one) => one.header.salt);
    lines.push(...(await describePage(job, at, new Set(salts))));
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
  if (refusal !== null) {
    const page = refusal.page > 0 ? ` page ${refusal.page}` : '';
    const seq = refusal.seq > 0 ? `, where batch ${refusal.seq} belongs` : '';
    if (wanted === null) out.line(`where    ${refusal.file}${page}${seq}`);
  }
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
