// ls: the files of the directory as the log sees them, also where the log cannot be opened. There may be a hundred
// thousand strays: as JSON they are written as they are listed, and for the table no more is kept than its cells.

import {
  type Inspection,
  type ListedFile,
  listFiles,
  liveBytesOf,
  pageBytes,
  readStore,
  type Refusal,
} from '@flotilla/wal';
import { outcomeOf } from '../exit-codes.ts';
import { lookAt } from '../look.ts';
import { itemsTo } from '../output.ts';
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

/** What is needed of a look; the rest of it, which names every file too, goes before the files are listed. */
interface Known {
  readonly refusal: Refusal | null;
  readonly code: number;
  readonly rowOf: (file: ListedFile) => Row;
}

export async function list(job: Job): Promise<number> {
  const { out, options } = job;
  const { refusal, code, rowOf } = await known(job);
  if (options.json) {
    out.part('{"files":[');
    const item = itemsTo(out);
    await listTo(job, (file) => item(JSON.stringify(rowOf(file))));
    out.line(`],"refusal":${JSON.stringify(refusal)}}`);
    return code;
  }
  const rows: Row[] = [];
  const error = await listTo(job, (file) => rows.push(rowOf(file)));
  if (error === null) {
    const head = ['file', 'state', 'bytes', 'used', 'live', 'batches', 'links'];
    tableTo(out, head, cellsOf(rows));
  }
  if (refusal !== null)
    out.line(`not opened: ${refusal.reason} in ${refusal.file}: ${refusal.summary}`);
  return code;
}

async function known(job: Job): Promise<Known> {
  const look = await lookAt(job);
  const { segments, survey, index, refusal } = look.inspection;
  const scanned = new Map(segments.map((segment) => [segment.name, segment]));
  const slots = survey?.segments ?? [];
  const slotOf = new Map(slots.map(({ name }, slot) => [name, slot]));
  return {
    refusal,
    code: outcomeOf(look).code,
    rowOf: rowsOf(scanned, slotOf, liveBytesOf(index, slots.length)),
  };
}

/** Closes over nothing but its arguments. */
function rowsOf(
  scanned: ReadonlyMap<string, Inspection['segments'][number]>,
  slotOf: ReadonlyMap<string, number>,
  live: Float64Array,
): Known['rowOf'] {
  return (file) => {
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
}

/** Visits the files that not every log has, in order of name; answers why they cannot be listed. */
async function listTo(job: Job, visit: (file: ListedFile) => void): Promise<Error | null> {
  const { disk } = job;
  const { directory } = job.options;
  const store = await new Promise<{ oldestSeg: number; newestSeg: number } | null>((resolve) => {
    readStore(disk, directory, (result) =>
      resolve('refusal' in result ? null : result.report.current),
    );
  });
  return new Promise((resolve) => {
    listFiles(
      disk,
      directory,
      store,
      (file) => {
        if (file.role !== 'own') visit(file);
      },
      resolve,
    );
  });
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
