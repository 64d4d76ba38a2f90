// verify: one line a segment, then the verdict that opening would come to.

import { pageBytes } from '@flotilla/wal';
import type { Look } from './look.ts';
import { type Job, outcomeOf } from './run.ts';
import { storeLine } from './store.ts';
import { digits } from './text.ts';

export function verify(job: Job, look: Look): number {
  const { inspection } = look;
  const { segments, refusal, tail } = inspection;
  const { verdict, code } = outcomeOf(look);
  if (job.options.json) {
    const { witnesses, lastSeq, bytesScanned } = inspection;
    const tailFacts = tail === null ? null : { ...tail, evidence: [...tail.evidence] };
    job.out.line(
      JSON.stringify({
        verdict,
        exit: code,
        isLive: look.isLive,
        segments,
        witnesses,
        lastSeq,
        tail: tailFacts,
        refusal,
        groups: inspection.index.groups.size,
        bytesScanned,
      }),
    );
    return code;
  }
  const { out } = job;
  if (inspection.survey !== null) out.line(storeLine(inspection));
  for (const segment of segments) {
    const isBad = refusal !== null && refusal.file === segment.name;
    const pages = digits(Math.ceil(segment.bytes / pageBytes));
    const batches =
      segment.batches === 0 ? 'no batches' : `batches ${segment.firstSeq}..${segment.lastSeq}`;
    const state = isBad ? `${refusal.reason} at page ${refusal.page}` : 'ok';
    out.line(`${segment.name} ${segment.state} ${pages} pages ${batches} ${state}`);
  }
  if (refusal !== null) {
    out.line(
      `verdict ${verdict} (exit ${code}): ${refusal.reason} in ${refusal.file}: ${refusal.summary}`,
    );
    return code;
  }
  const dropped =
    inspection.verdict === 'torn' && tail !== null
      ? `: batch ${tail.seq} at page ${tail.page} is incomplete and was never acknowledged (${tail.discardedBytes} bytes)`
      : '';
  out.line(`verdict ${verdict} (exit ${code})${dropped}`);
  return code;
}
