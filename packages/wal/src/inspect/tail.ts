// The end of the log: gathers what the decision of verdict.ts needs (witnesses, what stands on later pages, whether one
// bit explains the damage) and puts the verdict into words with its evidence.

import type { Callback, Disk, File, IoError } from '@flotilla/io';
import { pageBytes } from '../format.ts';
import type { Refusal, RefusalReason } from '../refusal.ts';
import {
  type ExpectedBatch,
  type LookAhead,
  lookAhead,
  type ScanEnd,
  type ScanPlan,
  scanSegment,
} from '../scan.ts';
import { flippedBitOf, type MendingBit, searchFlippedBit } from '../suspect.ts';
import { decideTail, type TailFault } from '../verdict.ts';
import type { WindowBuffer } from '../window-reader.ts';
import type { TailReport, Witnesses } from './inspection.ts';
import type { SegmentFile, Survey } from './survey.ts';

export function gatherWitnesses(survey: Survey, newest: SegmentFile, inLog: number): Witnesses {
  const { slots, witness } = survey.store;
  let store = newest.header.prevLastSeq;
  for (const slot of slots) {
    if (slot !== null) store = Math.max(store, slot.durableSeq, slot.cleanSeq);
  }
  const lazy = witness === null ? 0 : witness.durableSeq;
  return { inLog, store, lazy, all: Math.max(inLog, store, lazy) };
}

export interface TailQuestion {
  readonly segment: SegmentFile;
  readonly plan: ScanPlan;
  readonly end: ScanEnd;
  readonly fault: TailFault;
  readonly witnesses: Witnesses;
  readonly suspectTail: 'refuse' | 'discard';
  readonly isLive: boolean;
  readonly window: WindowBuffer;
}

export interface TailAnswer {
  readonly report: TailReport;
  /** Null where the log may be opened. */
  readonly refusal: Refusal | null;
  /** Highest sequence number at or behind the end. */
  readonly seqSeen: number;
  readonly bytesScanned: number;
}

/** Judges the first page of the newest segment, open as `file`, that does not continue the log. */
export function judgeTail(
  disk: Disk,
  file: File,
  question: TailQuestion,
  callback: Callback<TailAnswer>,
): void {
  if (!question.isLive) return judgeSettled(disk, file, question, callback);
  judgeSettled(disk, file, question, (error, answer) => {
    if (error !== null || answer.report.verdict === 'cleanEnd') return callback(error, answer);
    // Later batches were seen after the page was read: by now the page must be whole, unless it is damaged.
    const { segment, plan, end } = question;
    const { hdrCrc: prevHdrCrc, epoch: epochMin, nextSeq: firstSeq, offset: from } = end;
    const rest = {
      ...plan,
      firstSeq,
      prevHdrCrc,
      epochMin,
      from,
      epochMax: Number.MAX_SAFE_INTEGER,
    };
    const enough = { fault: 'state', summary: '' } as const;
    let hasGrown = false;
    const visit = (): typeof enough => {
      hasGrown = true;
      return enough;
    };
    const onScanned = (scanError: IoError | null): void => {
      if (scanError !== null) return callback(scanError, undefined as never);
      callback(null, hasGrown ? grownAnswer(question, answer) : answer);
    };
    const memory = { window: question.window, ahead: null };
    scanSegment(disk, file, segment.bytes, rest, visit, onScanned, memory);
  });
}

function grownAnswer(question: TailQuestion, answer: TailAnswer): TailAnswer {
  const { report, bytesScanned } = answer;
  const evidence = [`the log grew behind batch ${question.end.nextSeq - 1} while it was read`];
  return {
    report: { ...report, verdict: 'cleanEnd', discardedBytes: 0, evidence },
    refusal: null,
    seqSeen: question.end.nextSeq - 1,
    bytesScanned,
  };
}

function judgeSettled(
  disk: Disk,
  file: File,
  question: TailQuestion,
  callback: Callback<TailAnswer>,
): void {
  const { segment, plan, end, fault } = question;
  const from = end.offset + pageBytes;
  const onLater = (error: IoError | null, later: LookAhead): void => {
    if (error !== null) return callback(error, undefined as never);
    if (fault !== 'header' && fault !== 'body') {
      return callback(null, answerOf(question, later, null));
    }
    searchFlippedBit(disk, file, end.offset, fault, expectedAt(plan, end), (bitError, bit) => {
      if (bitError !== null) callback(bitError, undefined as never);
      else callback(null, answerOf(question, later, bit));
    });
  };
  lookAhead(disk, file, segment.bytes, plan, from, end.nextSeq, onLater, question.window);
}

/** The batch that must stand where a walk ended. */
export function expectedAt(plan: ScanPlan, end: ScanEnd): ExpectedBatch {
  const limit = plan.end === 0 ? plan.capacityBytes : plan.end;
  return {
    segId: plan.segId,
    salt: plan.salt,
    page: end.offset / pageBytes,
    seq: end.nextSeq,
    prevHdrCrc: end.hdrCrc,
    epochMin: end.epoch,
    epochMax: plan.epochMax,
    bytesLeft: limit - end.offset,
  };
}

function answerOf(question: TailQuestion, later: LookAhead, bit: MendingBit | null): TailAnswer {
  const { segment, end, fault, witnesses } = question;
  const page = end.offset / pageBytes;
  const seq = end.nextSeq;
  const verdict = decideTail({
    fault,
    isWitnessed: seq <= witnesses.all,
    hasLater: later.laterBatches > 0,
    laterProves: later.laterDurableSeq >= seq,
    isOneBit: bit !== null,
    suspectTail: question.suspectTail,
  });
  const evidence = evidenceOf(question, later, bit);
  const report: TailReport = {
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
  const isAccepted = verdict === 'cleanEnd' || verdict === 'torn';
  return {
    report,
    refusal: isAccepted
      ? null
      : {
          reason: verdict,
          file: segment.name,
          page,
          seq,
          summary: summaryOf(verdict, seq, end.summary),
          evidence,
          ...flippedBitOf(bit),
        },
    seqSeen: verdict === 'cleanEnd' ? seq - 1 : Math.max(seq, later.laterSeqMax),
    bytesScanned: later.bytesScanned,
  };
}

function evidenceOf(question: TailQuestion, later: LookAhead, bit: MendingBit | null): string[] {
  const { end, witnesses } = question;
  const { inLog, store, lazy, all } = witnesses;
  const evidence = [
    `page ${end.offset / pageBytes} should hold batch ${end.nextSeq} and holds ${end.summary}`,
    `witnesses: batches up to ${all} were acknowledged (in the log ${inLog}, STORE ${store}, slot W ${lazy})`,
  ];
  if (later.laterBatches > 0) {
    evidence.push(
      `whole headers on later pages: ${later.laterBatches}, first on page ${later.laterPage}; ` +
        `they say that batch ${later.laterDurableSeq} was durable`,
    );
  }
  if (bit !== null) evidence.push(`${bit.text}: a media or memory fault, not a torn write`);
  return evidence;
}

/** Bytes from the end of the log to the last page that holds anything. */
function discardable(segment: SegmentFile, end: ScanEnd, later: LookAhead): number {
  const usedEnd = Math.max(end.offset + pageBytes, later.usedEnd);
  return Math.max(0, Math.min(usedEnd, segment.bytes) - end.offset);
}

function summaryOf(verdict: RefusalReason, seq: number, summary: string): string {
  if (verdict === 'E_CORRUPT_ACKED')
    return `batch ${seq} was acknowledged; in its place stands ${summary}`;
  if (verdict === 'E_SUSPECT_BITFLIP')
    return `batch ${seq} is one flipped bit away from being whole`;
  return summary;
}
