// ls: the files of the directory as the log sees them.

import type { Look } from './look.ts';
import { type Job, outcomeOf } from './run.ts';
import { table } from './text.ts';

interface Row {
  readonly name: string;
  readonly state: string;
  readonly bytes: number;
  readonly used: number;
  readonly seqs: string;
  readonly links: number;
}

export function list(job: Job, look: Look): number {
  const { inspection } = look;
  const { survey, refusal } = inspection;
  const { out, options } = job;
  const rows: Row[] = [];
  const scanned = new Map(inspection.segments.map((segment) => [segment.name, segment]));
  for (const { name, bytes, links } of survey?.segments ?? []) {
    const segment = scanned.get(name);
    const seqs =
      segment === undefined || segment.batches === 0
        ? '-'
        : `${segment.firstSeq}..${segment.lastSeq}`;
    rows.push({
      name,
      state: segment?.state ?? 'not read',
      bytes,
      used: segment?.end ?? 0,
      seqs,
      links,
    });
  }
  const other = (state: string, found: readonly { name: string; bytes: number }[]): void => {
    for (const { name, bytes } of found)
      rows.push({ name, state, bytes, used: 0, seqs: '-', links: 1 });
  };
  other('beyond', survey?.beyond ?? []);
  other('spare', survey?.spares ?? []);
  other(
    'leftover',
    (survey?.leftovers ?? []).map((name) => ({ name, bytes: 0 })),
  );
  other(
    'stray',
    (survey?.strays ?? []).map((name) => ({ name, bytes: 0 })),
  );
  if (options.json) {
    out.line(JSON.stringify({ files: rows, refusal }));
  } else {
    const cells = rows.map(({ name, state, bytes, used, seqs, links }) => [
      name,
      state,
      bytes,
      used,
      seqs,
      links,
    ]);
    for (const line of table(['file', 'state', 'bytes', 'used', 'batches', 'links'], cells))
      out.line(line);
    if (refusal !== null)
      out.line(`not opened: ${refusal.reason} in ${refusal.file}: ${refusal.summary}`);
  }
  return outcomeOf(look).code;
}
