// What a directory holds and whether it can be opened: the whole of recovery's reading and judging, without one write.
// Recovery and the tools call the same function, so that what a tool says is what opening does.
//
// Steps, each a file of this folder: survey (STORE, names, headers), segments beyond the newest, the sealed segments
// against what their successors declare, the newest to its first page that does not continue, and that page's verdict.

import type { Disk, File, IoError } from '@flotilla/io';
import { counterMax, epochLast, pageBytes, pathIn, segmentIdOf, segmentName } from '../format.ts';
import { heldLimits } from '../large-batch.ts';
import { LogIndex } from '../log-index.ts';
import type { Refusal, RefusalReason } from '../refusal.ts';
import { replayBatch, unfinishedGroup } from '../replay.ts';
import { helpedLogBytesMin, ScanAhead } from '../scan-ahead.ts';
import { type ScanEnd, type ScannedBatch, type ScanPlan, scanSegment } from '../scan.ts';
import { flippedBitOf, type MendingBit, searchFlippedBit } from '../suspect.ts';
import { WindowBuffer } from '../window-reader.ts';
import { lookBeyond } from './beyond.ts';
import { refuseIo, withFile } from './files.ts';
import type {
  BatchPlace,
  Inspection,
  InspectOptions,
  SegmentReport,
  TailReport,
  Witnesses,
} from './inspection.ts';
import { judgeHeader, type SegmentFile, type Survey, surveyDirectory } from './survey.ts';
import { expectedAt, gatherWitnesses, judgeTail, type TailAnswer } from './tail.ts';

/** Reads the whole directory. Never writes, takes no lock, and calls back once. */
export function inspectDirectory(
  disk: Disk,
  directory: string,
  options: InspectOptions,
  callback: (inspection: Inspection) => void,
): void {
  new Inspector(disk, directory, options, callback).run();
}

const nobody: Witnesses = { inLog: 0, store: 0, lazy: 0, all: 0 };

class Inspector {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #options: InspectOptions;
  readonly #callback: (inspection: Inspection) => void;

  readonly #index: LogIndex = new LogIndex();
  readonly #window: WindowBuffer = new WindowBuffer();
  #ahead: ScanAhead | null = null;
  readonly #segments: SegmentReport[] = [];
  #newestBatches: BatchPlace[] = [];
  #survey: Survey | null = null;
  #witnesses: Witnesses = nobody;
  #tail: TailReport | null = null;
  #inLog = 0;
  #lastSeq = 0;
  #lastHdrCrc = 0;
  #epoch = 0;
  #seqSeen = 0;
  #bytesScanned = 0;

  constructor(
    disk: Disk,
    directory: string,
    options: InspectOptions,
    callback: (inspection: Inspection) => void,
  ) {
    this.#disk = disk;
    this.#directory = directory;
    this.#options = options;
    this.#callback = callback;
  }

  run(): void {
    surveyDirectory(this.#disk, this.#directory, (result) => {
      if ('refusal' in result) return this.#finish('refused', result.refusal, result.cause);
      this.#survey = result.survey;
      const { help } = this.#options;
      const bytes = result.survey.segments.reduce((sum, segment) => sum + segment.bytes, 0);
      if (help !== undefined && bytes >= (help.logBytesMin ?? helpedLogBytesMin))
        this.#ahead = new ScanAhead(help);
      this.#checkBeyond(result.survey, 0);
    });
  }

  #finish(
    verdict: Inspection['verdict'],
    refusal: Refusal | null = null,
    cause: IoError | null = null,
  ): void {
    const inspection: Inspection = {
      survey: this.#survey,
      segments: this.#segments,
      witnesses: this.#witnesses,
      tail: this.#tail,
      refusal,
      cause,
      verdict,
      lastSeq: this.#lastSeq,
      lastHdrCrc: this.#lastHdrCrc,
      seqSeen: Math.max(this.#seqSeen, this.#lastSeq),
      epochSeen: this.#epoch,
      newestBatches: this.#newestBatches,
      abandoned: this.#survey?.beyond ?? [],
      index: this.#index,
      bytesScanned: this.#bytesScanned,
    };
    if (this.#ahead === null) this.#callback(inspection);
    else this.#ahead.end(() => this.#callback(inspection));
  }

  #refuseIo(what: string, file: string, error: IoError): void {
    const { refusal, cause } = refuseIo(what, file, error);
    this.#finish('refused', refusal, cause);
  }

  #refuse(
    reason: RefusalReason,
    file: string,
    at: { page: number; seq: number },
    summary: string,
    evidence: readonly string[] = [],
  ): void {
    this.#finish('refused', { reason, file, page: at.page, seq: at.seq, summary, evidence });
  }

  #checkBeyond(survey: Survey, at: number): void {
    const found = survey.beyond[at];
    if (found === undefined) return this.#scanFrom(survey, 0);
    lookBeyond(this.#disk, this.#directory, found, this.#window, (error, facts) => {
      if (error !== null) return this.#refuseIo('read it', found.name, error);
      this.#bytesScanned += facts.bytesScanned;
      this.#seqSeen = Math.max(this.#seqSeen, facts.seqMax);
      const misplaced =
        facts.header === null
          ? null
          : judgeHeader(found.name, segmentIdOf(found.name), facts.header, survey.store, undefined);
      if (misplaced !== null) return this.#finish('refused', misplaced.refusal, misplaced.cause);
      const { normalPage: page, normalSeq: seq } = facts;
      if (page === 0) return this.#checkBeyond(survey, at + 1);
      const newest = segmentName(survey.store.current.newestSeg);
      const summary = 'STORE is older than the data';
      this.#refuse('E_SEG_UNEXPECTED', found.name, { page, seq }, summary, [
        `STORE says that ${newest} is the newest segment`,
        `page ${page} of ${found.name} holds batch ${seq}`,
      ]);
    });
  }

  // --- The batches ---------------------------------------------------------------------------------------------------

  #scanFrom(survey: Survey, slot: number): void {
    const segment = survey.segments[slot] as SegmentFile;
    const { header } = segment;
    if (slot === 0) {
      this.#lastSeq = header.prevLastSeq;
      this.#lastHdrCrc = header.prevHdrCrc;
      this.#epoch = header.epoch;
    }
    const isNewEpoch = header.epoch > this.#epoch || slot === 0;
    const mayStart = header.firstSeq === this.#lastSeq + 1 || isNewEpoch;
    if (
      header.prevLastSeq !== this.#lastSeq ||
      header.prevHdrCrc !== this.#lastHdrCrc ||
      !mayStart
    ) {
      const summary = `it continues batch ${header.prevLastSeq}, but the log before it ends with ${this.#lastSeq}`;
      return this.#refuse('E_CORRUPT', segment.name, { page: 0, seq: header.firstSeq }, summary);
    }
    const isNewest = slot === survey.segments.length - 1;
    const plan = this.#planOf(survey, slot);
    const visit = (batch: ScannedBatch): ReturnType<typeof replayBatch> => {
      const fault = replayBatch(this.#index, batch, slot);
      if (fault !== null) return fault;
      if (batch.before + batch.recordsEnd - batch.recordsAt === batch.bodyLen)
        this.#lastSeq = batch.seq;
      if (isNewest && batch.before === 0) this.#noteNewest(batch);
      this.#options.onBatch?.(segment, batch);
      return null;
    };
    withFile<() => void>(
      this.#disk,
      pathIn(this.#directory, segment.name),
      (file, done) =>
        scanSegment(
          this.#disk,
          file,
          segment.bytes,
          plan,
          visit,
          (error, end) => {
            if (error !== null) return done(error, () => {});
            this.#noteSegment(segment, end, isNewest);
            if (!isNewest) return this.#judgeSealed(survey, slot, file, { end, plan }, done);
            this.#judgeNewest(survey, segment, file, { end, plan }, done);
          },
          { window: this.#window, ahead: this.#ahead },
        ),
      (error, goOn) => {
        if (error !== null) this.#refuseIo('read it', segment.name, error);
        else goOn();
      },
    );
  }

  #planOf(survey: Survey, slot: number): ScanPlan {
    const { segId, header } = survey.segments[slot] as SegmentFile;
    const next = survey.segments[slot + 1];
    // With one slot of STORE lost the other may be one opening behind.
    const [a, b] = survey.store.slots;
    const epochMax =
      a !== null && b !== null ? survey.store.current.epoch : Number.MAX_SAFE_INTEGER;
    return {
      segId,
      salt: header.salt,
      capacityBytes: header.capacityPages * pageBytes,
      firstSeq: header.firstSeq,
      prevHdrCrc: header.prevHdrCrc,
      epochMin: Math.max(this.#epoch, header.epoch),
      epochMax,
      end: next === undefined ? 0 : next.header.prevEnd,
      limits: this.#options.limits ?? heldLimits,
    };
  }

  /** Keeps the last batch that this one vouches for and all behind it: at depth one never more than two. */
  #noteNewest({ offset, length, seq, hdrCrc, durableSeq }: ScannedBatch): void {
    const open = this.#newestBatches;
    let covered = 0;
    while (covered < open.length && (open[covered] as BatchPlace).seq <= durableSeq) covered++;
    if (covered > 1) this.#newestBatches = open.slice(covered - 1);
    this.#newestBatches.push({ offset, length, seq, hdrCrc });
  }

  #noteSegment(segment: SegmentFile, end: ScanEnd, isNewest: boolean): void {
    this.#lastHdrCrc = end.hdrCrc;
    this.#epoch = Math.max(this.#epoch, end.epoch);
    this.#inLog = Math.max(this.#inLog, end.durableSeq);
    this.#bytesScanned += end.bytesScanned;
    this.#segments.push({
      segId: segment.segId,
      name: segment.name,
      bytes: segment.bytes,
      capacityBytes: segment.header.capacityPages * pageBytes,
      links: segment.links,
      state: isNewest ? 'active' : 'sealed',
      firstSeq: segment.header.firstSeq,
      lastSeq: end.batches === 0 ? 0 : end.nextSeq - 1,
      batches: end.batches,
      records: end.records,
      end: end.offset,
      fault: end.fault,
    });
  }

  #judgeSealed(
    survey: Survey,
    slot: number,
    file: File,
    { end, plan }: { readonly end: ScanEnd; readonly plan: ScanPlan },
    done: (error: IoError | null, goOn: () => void) => void,
  ): void {
    const { fault } = end;
    if (fault === 'end') return done(null, () => this.#scanFrom(survey, slot + 1));
    const segment = survey.segments[slot] as SegmentFile;
    const next = survey.segments[slot + 1] as SegmentFile;
    const refuse = (bit: MendingBit | null): void => {
      const page = next.header.prevEnd / pageBytes;
      const declared = `${next.name} declares this segment whole up to page ${page}, batch ${next.header.prevLastSeq}`;
      const mending = bit === null ? [] : [`${bit.text}: a media or memory fault`];
      this.#finish('refused', {
        reason: sealedReason(fault),
        file: segment.name,
        page: end.offset / pageBytes,
        seq: end.nextSeq,
        summary: end.summary,
        evidence: [declared, ...mending],
        ...flippedBitOf(bit),
      });
    };
    if (fault !== 'header' && fault !== 'body') return done(null, () => refuse(null));
    const expected = expectedAt(plan, end);
    searchFlippedBit(this.#disk, file, end.offset, fault, expected, (error, bit) =>
      done(error, () => refuse(bit)),
    );
  }

  #judgeNewest(
    survey: Survey,
    segment: SegmentFile,
    file: File,
    { end, plan }: { readonly end: ScanEnd; readonly plan: ScanPlan },
    done: (error: IoError | null, goOn: () => void) => void,
  ): void {
    const { fault } = end;
    const witnesses = gatherWitnesses(survey, segment, this.#inLog);
    this.#witnesses = witnesses;
    if (fault === 'state' || fault === 'hole') {
      const at = { page: end.offset / pageBytes, seq: end.nextSeq };
      const reason = fault === 'state' ? 'E_STATE' : 'E_HOLE';
      return done(null, () => this.#refuse(reason, segment.name, at, end.summary));
    }
    const { suspectTail = 'refuse', isLive = false } = this.#options;
    const question = {
      segment,
      plan,
      end,
      fault,
      witnesses,
      suspectTail,
      isLive,
      window: this.#window,
    };
    judgeTail(this.#disk, file, question, (error, answer) => {
      if (error !== null) done(error, () => {});
      else done(null, () => this.#conclude(survey, answer));
    });
  }

  #conclude(survey: Survey, answer: TailAnswer): void {
    const { report, refusal } = answer;
    this.#tail = report;
    this.#seqSeen = Math.max(this.#seqSeen, answer.seqSeen);
    this.#bytesScanned += answer.bytesScanned;
    if (refusal !== null) return this.#finish('refused', refusal);
    if (Math.max(this.#seqSeen, this.#lastSeq) > counterMax || this.#epoch > epochLast) {
      // Opening counts on from them.
      const summary = 'batch numbers or epochs at the end of their range';
      return this.#refuse('E_FORMAT', segmentName(report.segId), report, summary);
    }
    const missing = unfinishedGroup(this.#index);
    if (missing !== null) {
      const at = { page: report.page, seq: report.seq };
      const newest = segmentName(report.segId);
      return this.#refuse('E_HOLE', newest, at, missing, report.evidence);
    }
    // A log that was closed in good order ends where its mark says: what stands behind it in a file that was used before
    // is not the beginning of a batch that a crash tore.
    const { cleanSeq } = survey.store.current;
    if (cleanSeq > 0 && cleanSeq === this.#lastSeq) return this.#finish('clean');
    this.#finish(report.verdict === 'torn' ? 'torn' : 'cleanEnd');
  }
}

function sealedReason(fault: ScanEnd['fault']): RefusalReason {
  if (fault === 'version') return 'E_VERSION';
  if (fault === 'format') return 'E_FORMAT';
  if (fault === 'state') return 'E_STATE';
  return fault === 'hole' ? 'E_HOLE' : 'E_CORRUPT';
}
