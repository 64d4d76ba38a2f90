// What an inspection finds: plain facts about segments, witnesses and the end of the log, and the verdict. Recovery opens
// by them, tools print them; neither asks the disk again for what stands here.

import type { IoError } from '@flotilla/io';
import type { HeldLimits } from '../large-batch.ts';
import type { LogIndex } from '../log-index.ts';
import type { Refusal } from '../refusal.ts';
import type { ScanHelp } from '../scan-ahead.ts';
import type { ScanEnd, ScannedBatch } from '../scan.ts';
import type { TailFault, TailVerdict } from '../verdict.ts';
import type { FoundFile, SegmentFile, Survey } from './survey.ts';

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
  /**
   * The newest segment's batches from the last one that a batch behind it vouches for (that one included) to the end:
   * those that no witness covers are among them, however long the segment is.
   */
  readonly newestBatches: readonly BatchPlace[];
  /** Files with ids above the newest that hold nothing that counts. */
  readonly abandoned: readonly FoundFile[];
  readonly index: LogIndex;
  readonly bytesScanned: number;
}

export interface InspectOptions {
  readonly suspectTail?: 'refuse' | 'discard';
  /**
   * Another process writes the directory while this one reads it: where the page that ended the walk holds the next
   * batch when it is looked at again, the log has grown since, and its end is where the walk ended.
   */
  readonly isLive?: boolean;
  /** Threads that check batches ahead of the walk; without, everything is done in this thread. */
  readonly help?: ScanHelp;
  /** What is held of a batch at once, where not the usual. */
  readonly limits?: HeldLimits;
  /**
   * Told of every batch of the log, in order, after it was applied; `segment` is its file. One too large to be held comes
   * in parts, the first of which has `before` 0.
   */
  readonly onBatch?: (segment: SegmentFile, batch: ScannedBatch) => void;
}
