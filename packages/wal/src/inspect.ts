// What a directory holds and whether it can be opened: the whole of recovery's reading and judging, without one write.
// Recovery and the tools call the same function, so that what a tool says is what opening does.
//
// Steps: survey (STORE, names, headers), segments beyond the newest, the sealed segments against what their successors
// declare, the newest to its first page that does not continue, witnesses, and the decision about that page (verdict.ts).

import type { Disk, File, IoError } from '@flotilla/io';
import {
  batchFlags,
  batchFlagsAt,
  batchSaltAt,
  batchSegIdAt,
  batchSeqAt,
  decodeSegmentHeader,
  isBatchHeader,
  pageBytes,
  pathIn,
  segmentIdOf,
  segmentName,
} from './format.ts';
import { LogIndex } from './log-index.ts';
import type { Refusal, RefusalReason } from './refusal.ts';
import { replayBatch } from './replay.ts';
import { type LookAhead, lookAhead, type ScanEnd, type ScannedBatch, scanSegment } from './scan.ts';
import {
  type FoundFile,
  refuseIo,
  type SegmentFile,
  type Survey,
  surveyDirectory,
  withFile,
} from './survey.ts';
import { searchFlippedBit } from './suspect.ts';
import { decideTail, type TailFault, type TailVerdict } from './verdict.ts';
import { WindowReader } from './window-reader.ts';

export interface SegmentReport {
  readonly segId: number;
  readonly name: string;
  readonly bytes: number;
  readonly capacityBytes: number;
  readonly links: number;
  readonly state: 'sealed' | 'active';
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly batches: number;
  readonly records: number;
  /** File offset behind the last batch. */
  readonly end: number;
  /** Why the walk ended there; `end` in a sealed segment that is whole. */
  readonly fault: ScanEnd['fault'];
}

export interface Witnesses {
  /** Highest durableSeq in a batch (W1), in slots A and B (W2), in slot W (W3). */
  readonly inLog: number;
  readonly store: number;
  readonly lazy: number;
  /** D: the highest of them. */
  readonly all: number;
}

export interface TailReport {
  readonly segId: number;
  readonly offset: number;
  readonly page: number;
  /** Batch expected there. */
  readonly seq: number;
  readonly fault: TailFault;
  readonly verdict: TailVerdict;
  readonly isZeroAfter: boolean;
  readonly discardedBytes: number;
  readonly evidence: readonly string[];
}

/** Where a batch of the newest segment stands. */
export interface BatchPlace {
  readonly offset: number;
  readonly length: number;
  readonly seq: number;
  readonly hdrCrc: number;
}

export interface Inspection {
  readonly survey: Survey | null;
  readonly segments: readonly SegmentReport[];
  readonly witnesses: Witnesses;
  readonly tail: TailReport | null;
  /** Null = the directory can be opened. */
  readonly refusal: Refusal | null;
  readonly cause: IoError | null;
  readonly verdict: 'clean' | 'cleanEnd' | 'torn' | 'refused';
  /** Last batch of the log, its chain value, and the highest sequence number seen anywhere, dropped ones included. */
  readonly lastSeq: number;
  readonly lastHdrCrc: number;
  readonly seqSeen: number;
  readonly epochSeen: number;
  readonly newestBatches: readonly BatchPlace[];
  /** Files with ids above the newest that hold nothing that counts. */
  readonly abandoned: readonly FoundFile[];
  readonly index: LogIndex;
  readonly bytesScanned: number;
}

export interface InspectOptions {
  readonly suspectTail?: 'refuse' | 'discard';
  /** Told of every batch of the log, in order, after it was applied; `segment` is its file. */
  readonly onBatch?: (segment: SegmentFile, batch: ScannedBatch) => void;
}

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
  readonly #segments: SegmentReport[] = [];
  readonly #newestBatches: BatchPlace[] = [];
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
      this.#checkBeyond(result.survey, 0);
    });
  }

  #finish(
    verdict: Inspection['verdict'],
    refusal: Refusal | null = null,
    cause: IoError | null = null,
  ): void {
    this.#callback({
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
    });
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

  // --- Segments with ids above the newest ----------------------------------------------------------------------------

  /** A rotation or a recovery that was cut short leaves no normal batch there; one means that STORE is older than the data. */
  #checkBeyond(survey: Survey, at: number): void {
    const found = survey.beyond[at];
    if (found === undefined) return this.#scanFrom(survey, 0);
    let normalPage = 0;
    let normalSeq = 0;
    withFile<void>(
      this.#disk,
      pathIn(this.#directory, found.name),
      (file, done) =>
        this.#eachHeader(
          file,
          found,
          (page, bytes, headerAt) => {
            const seq = batchSeqAt(bytes, headerAt);
            this.#seqSeen = Math.max(this.#seqSeen, seq);
            if ((batchFlagsAt(bytes, headerAt) & batchFlags.carryOver) !== 0 || normalPage > 0)
              return;
            normalPage = page;
            normalSeq = seq;
          },
          (error) => done(error, undefined),
        ),
      (error) => {
        if (error !== null) return this.#refuseIo('read it', found.name, error);
        if (normalPage === 0) return this.#checkBeyond(survey, at + 1);
        const newest = segmentName(survey.store.current.newestSeg);
        this.#refuse(
          'E_SEG_UNEXPECTED',
          found.name,
          { page: normalPage, seq: normalSeq },
          'STORE is older than the data',
          [
            `STORE says that ${newest} is the newest segment`,
            `page ${normalPage} of ${found.name} holds batch ${normalSeq}`,
          ],
        );
      },
    );
  }

  #eachHeader(
    file: File,
    found: FoundFile,
    visit: (page: number, bytes: Uint8Array, at: number) => void,
    done: (error: IoError | null) => void,
  ): void {
    const segId = segmentIdOf(found.name);
    const reader = new WindowReader(this.#disk, file, found.bytes);
    let salt = -1;
    let offset = 0;
    const step = (): void => {
      for (; offset + pageBytes <= reader.end; offset += pageBytes) {
        if (!reader.has(offset, pageBytes)) {
          return reader.load(offset, pageBytes, (error) => (error === null ? step() : done(error)));
        }
        const at = reader.at(offset);
        const { bytes } = reader;
        if (offset === 0)
          salt = decodeSegmentHeader(bytes.subarray(at, at + pageBytes))?.salt ?? -1;
        else if (isBatchHeader(bytes, at) && batchSegIdAt(bytes, at) === segId) {
          // Without a header to name the life of the file, any batch under its id counts.
          if (salt < 0 || batchSaltAt(bytes, at) === salt) visit(offset / pageBytes, bytes, at);
        }
      }
      this.#bytesScanned += reader.bytesRead;
      done(null);
    };
    step();
  }

  // --- The batches ---------------------------------------------------------------------------------------------------

  #scanFrom(survey: Survey, slot: number): void {
    const segment = survey.segments[slot] as SegmentFile;
    const next = survey.segments[slot + 1];
    const { header } = segment;
    const isFirst = slot === 0;
    if (isFirst) {
      this.#lastSeq = header.prevLastSeq;
      this.#lastHdrCrc = header.prevHdrCrc;
      this.#epoch = header.epoch;
    }
    const isNewEpoch = header.epoch > this.#epoch || isFirst;
    const mayStart = header.firstSeq === this.#lastSeq + 1 || isNewEpoch;
    if (
      header.prevLastSeq !== this.#lastSeq ||
      header.prevHdrCrc !== this.#lastHdrCrc ||
      !mayStart
    ) {
      const summary = `it continues batch ${header.prevLastSeq}, but the log before it ends with ${this.#lastSeq}`;
      return this.#refuse('E_CORRUPT', segment.name, { page: 0, seq: header.firstSeq }, summary);
    }
    // With one slot of STORE lost the other may be one opening behind.
    const [a, b] = survey.store.slots;
    const epochMax =
      a !== null && b !== null ? survey.store.current.epoch : Number.MAX_SAFE_INTEGER;
    const plan = {
      segId: segment.segId,
      salt: header.salt,
      capacityBytes: header.capacityPages * pageBytes,
      firstSeq: header.firstSeq,
      prevHdrCrc: header.prevHdrCrc,
      epochMin: Math.max(this.#epoch, header.epoch),
      epochMax,
      end: next === undefined ? 0 : next.header.prevEnd,
    };
    const visit = (batch: ScannedBatch): ReturnType<typeof replayBatch> => {
      const fault = replayBatch(this.#index, batch, slot);
      if (fault !== null) return fault;
      this.#lastSeq = batch.seq;
      if (next === undefined) {
        const { offset, length, seq, hdrCrc } = batch;
        this.#newestBatches.push({ offset, length, seq, hdrCrc });
      }
      this.#options.onBatch?.(segment, batch);
      return null;
    };
    withFile<() => void>(
      this.#disk,
      pathIn(this.#directory, segment.name),
      (file, done) =>
        scanSegment(this.#disk, file, segment.bytes, plan, visit, (error, end) => {
          if (error !== null) return done(error, () => {});
          this.#noteSegment(segment, end, next === undefined);
          if (next !== undefined)
            return done(null, () => this.#judgeSealed(survey, segment, end, slot));
          this.#judgeNewest(survey, segment, file, end, plan, done);
        }),
      (error, goOn) => {
        if (error !== null) this.#refuseIo('read it', segment.name, error);
        else goOn();
      },
    );
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

  #judgeSealed(survey: Survey, segment: SegmentFile, end: ScanEnd, slot: number): void {
    if (end.fault === 'end') return this.#scanFrom(survey, slot + 1);
    const next = survey.segments[slot + 1] as SegmentFile;
    const at = { page: end.offset / pageBytes, seq: end.nextSeq };
    this.#refuse(sealedReason(end.fault), segment.name, at, end.summary, [
      `${next.name} declares this segment whole up to page ${next.header.prevEnd / pageBytes}, batch ${next.header.prevLastSeq}`,
    ]);
  }

  // --- The end of the log --------------------------------------------------------------------------------------------

  #gatherWitnesses(survey: Survey, newest: SegmentFile): Witnesses {
    const { slots, witness } = survey.store;
    let store = newest.header.prevLastSeq;
    for (const slot of slots) {
      if (slot !== null) store = Math.max(store, slot.durableSeq, slot.cleanSeq);
    }
    const inLog = this.#inLog;
    const lazy = witness === null ? 0 : witness.durableSeq;
    return { inLog, store, lazy, all: Math.max(inLog, store, lazy) };
  }

  #judgeNewest(
    survey: Survey,
    segment: SegmentFile,
    file: File,
    end: ScanEnd,
    plan: {
      readonly segId: number;
      readonly salt: number;
      readonly capacityBytes: number;
      readonly epochMin: number;
      readonly epochMax: number;
    },
    done: (error: IoError | null, goOn: () => void) => void,
  ): void {
    const at = { page: end.offset / pageBytes, seq: end.nextSeq };
    const { fault } = end;
    this.#witnesses = this.#gatherWitnesses(survey, segment);
    if (fault === 'state' || fault === 'hole') {
      const reason = fault === 'state' ? 'E_STATE' : 'E_HOLE';
      return done(null, () => this.#refuse(reason, segment.name, at, end.summary));
    }
    lookAhead(
      this.#disk,
      file,
      segment.bytes,
      plan,
      end.offset + pageBytes,
      end.nextSeq,
      (error, later) => {
        if (error !== null) return done(error, () => {});
        this.#bytesScanned += later.bytesScanned;
        const decide = (bit: string | null): void =>
          done(null, () => this.#decide(survey, segment, end, fault, later, bit));
        if (fault !== 'header' && fault !== 'body') return decide(null);
        const expected = {
          segId: plan.segId,
          salt: plan.salt,
          page: at.page,
          seq: at.seq,
          prevHdrCrc: end.hdrCrc,
          epochMin: end.epoch,
          epochMax: plan.epochMax,
          bytesLeft: plan.capacityBytes - end.offset,
        };
        searchFlippedBit(this.#disk, file, end.offset, fault, expected, (bitError, bit) => {
          if (bitError !== null) return done(bitError, () => {});
          decide(bit);
        });
      },
    );
  }

  #decide(
    survey: Survey,
    segment: SegmentFile,
    end: ScanEnd,
    fault: TailFault,
    later: LookAhead,
    bit: string | null,
  ): void {
    const page = end.offset / pageBytes;
    const seq = end.nextSeq;
    const { inLog, store, lazy, all } = this.#witnesses;
    const verdict = decideTail({
      fault,
      isWitnessed: seq <= all,
      hasLater: later.laterBatches > 0,
      laterProves: later.laterDurableSeq >= seq,
      isOneBit: bit !== null,
      suspectTail: this.#options.suspectTail ?? 'refuse',
    });
    const evidence = [
      `page ${page} should hold batch ${seq} and holds ${end.summary}`,
      `witnesses: batches up to ${all} were acknowledged (in the log ${inLog}, STORE ${store}, slot W ${lazy})`,
    ];
    if (later.laterBatches > 0) {
      evidence.push(
        `whole headers on later pages: ${later.laterBatches}, first on page ${later.laterPage}; ` +
          `they say that batch ${later.laterDurableSeq} was durable`,
      );
    }
    if (bit !== null) evidence.push(`${bit}: a media or memory fault, not a torn write`);
    const isDamage = verdict !== 'cleanEnd';
    const seqSeen = isDamage ? Math.max(seq, later.laterSeqMax) : seq - 1;
    this.#seqSeen = Math.max(this.#seqSeen, seqSeen);
    this.#tail = {
      segId: segment.segId,
      offset: end.offset,
      page,
      seq,
      fault,
      verdict,
      isZeroAfter: later.isZero && (fault === 'zero' || fault === 'end'),
      discardedBytes: verdict === 'torn' ? discardable(segment, end, later) : 0,
      evidence,
    };
    if (verdict === 'cleanEnd') {
      const isClean =
        survey.store.current.cleanSeq > 0 && survey.store.current.cleanSeq === this.#lastSeq;
      return this.#finish(isClean ? 'clean' : 'cleanEnd');
    }
    if (verdict === 'torn') return this.#finish('torn');
    this.#refuse(
      verdict,
      segment.name,
      { page, seq },
      summaryOf(verdict, seq, end.summary),
      evidence,
    );
  }
}

/** Bytes from the end of the log to the last page that holds anything. */
function discardable(segment: SegmentFile, end: ScanEnd, later: LookAhead): number {
  const usedEnd = Math.max(end.offset + pageBytes, later.usedEnd);
  return Math.max(0, Math.min(usedEnd, segment.bytes) - end.offset);
}

function sealedReason(fault: ScanEnd['fault']): RefusalReason {
  if (fault === 'version') return 'E_VERSION';
  if (fault === 'format') return 'E_FORMAT';
  if (fault === 'state') return 'E_STATE';
  return fault === 'hole' ? 'E_HOLE' : 'E_CORRUPT';
}

function summaryOf(verdict: RefusalReason, seq: number, summary: string): string {
  if (verdict === 'E_CORRUPT_ACKED')
    return `batch ${seq} was acknowledged; in its place stands ${summary}`;
  if (verdict === 'E_SUSPECT_BITFLIP')
    return `batch ${seq} is one flipped bit away from being whole`;
  return summary;
}
