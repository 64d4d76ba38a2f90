// verify: every checksum, the chain and the records; one line a segment, what was tolerated, then the verdict that
// opening would come to. --strict makes what opening tolerates a finding, --index reads every run back through the index.

import {
  batchFlags,
  carveFile,
  checkIndex,
  type IndexCheck,
  type IndexFault,
  listFiles,
  pageBytes,
  pathIn,
} from '@flotilla/wal';
import { exitCodes, outcomeOf } from '../exit-codes.ts';
import { jobsAtOnceMax, type Look, lookAt } from '../look.ts';
import { isCounted } from '../motion.ts';
import { notesOf } from '../notes.ts';
import { itemsTo, type Output } from '../output.ts';
import { withOpen } from '../read.ts';
import type { Job } from '../run.ts';
import { storeLine } from '../store-line.ts';
import { digits, segmentLabel } from '../text.ts';

/** A segment that the walk did not come to, because it was refused before. */
interface Unreached {
  readonly name: string;
  readonly batches: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly broken: number;
  readonly error: string | null;
}

const faultsShown = 20;

export async function verify(job: Job): Promise<number> {
  const { out, options } = job;
  let unsynced = 0;
  if (options.jobs !== null && options.jobs > jobsAtOnceMax)
    out.error(
      `wal-inspect: --jobs ${options.jobs}: ${jobsAtOnceMax} threads at most, for the memory`,
    );
  const look = await lookAt(job, {
    jobs: options.jobs,
    begin: () => {
      unsynced = 0;
    },
    onBatch: (_segment, { flags, before }) => {
      if (before === 0 && (flags & batchFlags.unsynced) !== 0) unsynced++;
    },
  });
  const { inspection } = look;
  const { segments, refusal, tail } = inspection;
  const unreached = refusal === null ? [] : await lookAtRest(job, look);
  const notes = notesOf(inspection, unsynced);
  const indexFaults: IndexFault[] = [];
  const faultsOf = new Map<number, number>();
  const check = options.index
    ? await checkedIndex(job, look, (fault) => {
        faultsOf.set(fault.segId, (faultsOf.get(fault.segId) ?? 0) + 1);
        if (indexFaults.length < faultsShown) indexFaults.push(fault);
      })
    : null;
  // What a running host gave up while it was read is no fault.
  let indexFaultCount = 0;
  let givenUp = 0;
  for (const [segId, count] of faultsOf) {
    if (await isCounted(job, options.directory, segId)) indexFaultCount += count;
    else givenUp += count;
  }
  const outcome = outcomeOf(look);
  const isBad = indexFaultCount > 0 || (options.strict && notes.length > 0);
  const code = outcome.code === exitCodes.clean && isBad ? exitCodes.corrupt : outcome.code;
  const verdict = indexFaultCount > 0 && refusal === null ? 'CORRUPT' : outcome.verdict;
  if (options.json) {
    const { witnesses, lastSeq, bytesScanned, index } = inspection;
    const faults = { faults: indexFaultCount, givenUp, first: indexFaults };
    jsonTo(
      out,
      {
        verdict,
        exit: code,
        isLive: look.isLive,
        segments,
        witnesses,
        lastSeq,
        tail,
        refusal,
        groups: index.groups.size,
        bytesScanned,
      },
      { notes, unreached },
      { index: check === null ? null : { ...check, ...faults } },
    );
    return code;
  }
  if (inspection.survey !== null) out.line(storeLine(inspection));
  for (const segment of segments) {
    const isRefused = refusal !== null && refusal.file === segment.name;
    const pages = digits(Math.ceil(segment.bytes / pageBytes));
    const batches =
      segment.batches === 0 ? 'no batches' : `batches ${segment.firstSeq}..${segment.lastSeq}`;
    const state = isRefused ? `${refusal.reason} at page ${refusal.page}` : 'ok';
    out.line(`${segment.name} ${segment.state} ${pages} pages ${batches} ${state}`);
  }
  for (const rest of unreached) out.line(unreachedLine(rest));
  for (const note of notes) out.line(`note ${note}`);
  if (check !== null) {
    for (const fault of indexFaultCount > 0 ? indexFaults : []) {
      const range = `${fault.firstIndex}..${fault.lastIndex}`;
      const place = `${segmentLabel(fault.segId)}+${fault.offset}`;
      out.line(`index group ${fault.groupId} ${range} at ${place}: ${fault.summary}`);
    }
    const bad = indexFaultCount === 0 ? 'all hold' : `${indexFaultCount} do not hold`;
    out.line(`index ${digits(check.runs)} runs, ${digits(check.bytes)} bytes read back: ${bad}`);
    if (givenUp > 0) out.line(`index ${digits(givenUp)} runs were given up while they were read`);
  }
  const said = `verdict ${verdict} (exit ${code})`;
  if (refusal !== null) {
    out.line(`${said}: ${refusal.reason} in ${refusal.file}: ${refusal.summary}`);
  } else if (inspection.verdict === 'torn' && tail !== null) {
    const bytes = `${tail.discardedBytes} bytes`;
    out.line(
      `${said}: batch ${tail.seq} at page ${tail.page} is incomplete and was never acknowledged (${bytes})`,
    );
  } else {
    out.line(options.strict && notes.length > 0 ? `${said}: not clean by --strict` : said);
  }
  return code;
}

/**
 * One object of all three, what is in the lists one by one: a hundred thousand files may each have a note, and the text of
 * all of them would be held several times over.
 */
function jsonTo(
  out: Output,
  head: object,
  lists: Readonly<Record<string, readonly unknown[]>>,
  rest: object,
): void {
  out.part(JSON.stringify(head).slice(0, -1));
  for (const [name, values] of Object.entries(lists)) {
    out.part(`,"${name}":[`);
    const item = itemsTo(out);
    for (const value of values) item(JSON.stringify(value));
    out.part(']');
  }
  out.line(`,${JSON.stringify(rest).slice(1)}`);
}

/** The segments behind a refusal, page by page: what of them is whole, so that all damage is seen and not the first only. */
async function lookAtRest(job: Job, look: Look): Promise<Unreached[]> {
  const { directory } = job.options;
  const reached = new Set(look.inspection.segments.map((segment) => segment.name));
  const files: { name: string; bytes: number }[] = [];
  await new Promise<void>((resolve) => {
    listFiles(
      job.disk,
      directory,
      null,
      (file) => {
        if (file.role === 'segment' && file.kind === 'file' && !reached.has(file.name))
          files.push({ name: file.name, bytes: file.bytes });
      },
      () => resolve(),
    );
  });
  const found: Unreached[] = [];
  for (const { name, bytes } of files) {
    if (bytes === 0) continue;
    let batches = 0;
    let broken = 0;
    let firstSeq = 0;
    let lastSeq = 0;
    let error: string | null = null;
    try {
      await withOpen(
        job.disk,
        pathIn(directory, name),
        (file) =>
          new Promise<void>((resolve, reject) => {
            carveFile(
              job.disk,
              file,
              bytes,
              ({ header, isWhole }) => {
                if (!isWhole) broken++;
                else {
                  if (batches++ === 0) firstSeq = header.seq;
                  lastSeq = header.seq;
                }
              },
              (failed) => (failed === null ? resolve() : reject(failed)),
            );
          }),
      );
    } catch (failed) {
      error = (failed as Error).message;
    }
    found.push({ name, batches, firstSeq, lastSeq, broken, error });
  }
  return found;
}

function unreachedLine({ name, batches, firstSeq, lastSeq, broken, error }: Unreached): string {
  if (error !== null) return `${name} not reached, and cannot be read: ${error}`;
  const bad = broken === 0 ? '' : `, ${broken} headers without a whole body`;
  const whole =
    batches === 0 ? 'no whole batch' : `${batches} whole batches, ${firstSeq}..${lastSeq}`;
  return `${name} not reached; by its pages alone: ${whole}${bad}`;
}

function checkedIndex(
  job: Job,
  look: Look,
  visit: (fault: IndexFault) => void,
): Promise<IndexCheck> {
  const { index, survey } = look.inspection;
  return new Promise((resolve, reject) => {
    checkIndex(
      job.disk,
      job.options.directory,
      index,
      survey?.segments ?? [],
      visit,
      (error, check) => (error === null ? resolve(check) : reject(error)),
    );
  });
}
