// ls: the files of the directory as the log sees them, also where the log cannot be opened.

import { type ListedFile, listFiles, liveBytesOf, pageBytes, readStore } from '@flotilla/wal';
import { outcomeOf } from '../exit-codes.ts';
import { lookAt } from '../look.ts';
import type { Job } from '../run.ts';
import { tableTo } from '../text.ts';

interface Row {
  readonly name: string;
  readonly state: string;
  readonly bytes: number;
  readonly used: number;
  readonly live: number | null;
  readonly seqs: string;
  readonly links: number;
}

export async function list(job: Job): Promise<number> {
  const { out, options, disk } = job;
  const { directory } = options;
  const look = await lookAt(job);
  const { inspection } = look;
  const { refusal } = inspection;
  const scanned = new Map(inspection.segments.map((segment) => [segment.name, segment]));
  const slots = inspection.survey?.segments ?? [];
  const slotOf = new Map(slots.map(({ name }, slot) => [name, slot]));
  const live = liveBytesOf(inspection.index, slots.length);
  const rowOf = (file: ListedFile): Row => {
    const segment = scanned.get(file.name);
    const slot = slotOf.get(file.name);
    return {
      name: file.name,
      state: stateOf(file, segment?.state),
      bytes: file.bytes,
      used: segment?.end ?? 0,
      live: segment === undefined || slot === undefined ? null : (live[slot] as number),
      seqs: seqsOf(file, segment),
      links: file.links,
    };
  };
  const rows: Row[] = [];
  const store = await new Promise<{ oldestSeg: number; newestSeg: number } | null>((resolve) => {
    readStore(disk, directory, (result) =>
      resolve('refusal' in result ? null : result.report.current),
    );
  });
  const error = await new Promise<Error | null>((resolve) => {
    listFiles(
      disk,
      directory,
      store,
      (file) => {
        if (file.role !== 'own') rows.push(rowOf(file));
      },
      resolve,
    );
  });
  if (options.json) {
    out.line(JSON.stringify({ files: rows, refusal }));
  } else {
    if (error === null) {
      const head = ['file', 'state', 'bytes', 'used', 'live', 'batches', 'links'];
      tableTo(out, head, cellsOf(rows));
    }
    if (refusal !== null)
      out.line(`not opened: ${refusal.reason} in ${refusal.file}: ${refusal.summary}`);
  }
  return outcomeOf(look).code;
}

function stateOf(file: ListedFile, scanned: string | undefined): string {
  if (file.kind !== 'file') return file.kind === 'gone' ? 'gone' : `a ${file.kind}`;
  if (scanned !== undefined) return scanned;
  if (file.role !== 'segment') return file.role;
  return file.header === null ? 'bad header' : 'not read';
}

function seqsOf(
  file: ListedFile,
  segment:
    | { readonly batches: number; readonly firstSeq: number; readonly lastSeq: number }
    | undefined,
): string {
  if (segment !== undefined)
    return segment.batches === 0 ? '-' : `${segment.firstSeq}..${segment.lastSeq}`;
  return file.header === null ? '-' : `${file.header.firstSeq}..`;
}

/** Made as they are asked for: a directory may have very many files. */
function cellsOf(rows: readonly Row[]): Iterable<(string | number)[]> {
  return {
    *[Symbol.iterator]() {
      for (const row of rows) {
        const { name, state, bytes, used, seqs, links } = row;
        yield [name, state, bytes, used, liveShare(row), seqs, links];
      }
    },
  };
}

/** Live bytes of entries in percent of what is used. */
function liveShare(row: Row): string {
  if (row.live === null || row.used <= pageBytes) return '-';
  return `${Math.round((100 * row.live) / (row.used - pageBytes))} %`;
}
