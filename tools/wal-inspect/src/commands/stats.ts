// stats: what the log is made of: sizes of batches and entries, padding, record types, what is live, and which groups
// keep the oldest segment from being freed.

import {
  blockBytesAt,
  blockCount,
  blockHeaderBytes,
  blockTableSlotBytes,
  codecOf,
  payloadCodecs,
  recordHeadBytes,
  storedLenOf,
  u32At,
} from '@flotilla/codec';
import {
  batchFlags,
  batchHeaderBytes,
  liveBytesOf,
  type ScannedBatch,
  type SegmentFile,
} from '@flotilla/wal';
import { outcomeOf } from '../exit-codes.ts';
import { Histogram } from '../histogram.ts';
import { lookAt } from '../look.ts';
import { eachRecord, type RecordFacts } from '../record-walk.ts';
import type { Job } from '../run.ts';
import { digits, segmentLabel } from '../text.ts';
import { untilLine } from '../until-line.ts';

const pinningShown = 10;
/** Groups that are gathered before all but those that keep most are forgotten. */
const pinningHeld = 1000;

/** A group with live entries in the oldest segment, and their bytes. */
interface Pinning {
  readonly group: number;
  readonly bytes: number;
}

function keepMostPinning(pinning: Pinning[]): void {
  pinning.sort((a, b) => b.bytes - a.bytes || a.group - b.group);
  pinning.length = Math.min(pinning.length, pinningShown);
}

/** What is counted while batches go by. */
class Counts {
  readonly batchSizes: Histogram = new Histogram();
  readonly entrySizes: Histogram = new Histogram();
  readonly types: Map<string, { count: number; bytes: number }> = new Map();
  bytes = 0;
  bodyBytes = 0;
  fillerBytes = 0;
  carried = 0;
  unsynced = 0;
  blockBytes = 0;
  compressed = 0;
  compressedStored = 0;
  compressedRaw = 0;

  batch(batch: ScannedBatch): void {
    if (batch.before === 0) this.#batch(batch);
    eachRecord(batch, (facts, at) => this.#record(batch.bytes, at, facts));
  }

  #batch(batch: ScannedBatch): void {
    this.batchSizes.add(batch.length);
    this.bytes += batch.length;
    this.bodyBytes += batch.bodyLen;
    if ((batch.flags & batchFlags.carryOver) !== 0) this.carried++;
    if ((batch.flags & batchFlags.unsynced) !== 0) this.unsynced++;
  }

  #record(bytes: Uint8Array, at: number, facts: RecordFacts): void {
    const known = this.types.get(facts.type) ?? { count: 0, bytes: 0 };
    known.count++;
    known.bytes += facts.recLen;
    this.types.set(facts.type, known);
    if (facts.type === 'PAD') this.fillerBytes += facts.recLen;
    if (facts.block !== 'ok') return;
    const block = at + recordHeadBytes;
    this.blockBytes += blockBytesAt(bytes, block);
    const count = blockCount(bytes, block);
    let payload = block + blockHeaderBytes + blockTableSlotBytes * count;
    for (let i = 0; i < count; i++) {
      const slot = u32At(bytes, block + blockHeaderBytes + blockTableSlotBytes * i);
      const stored = storedLenOf(slot);
      this.entrySizes.add(stored);
      if (codecOf(slot) === payloadCodecs.lz4 && stored >= 4) {
        this.compressed++;
        this.compressedStored += stored;
        this.compressedRaw += u32At(bytes, payload);
      }
      payload += stored;
    }
  }
}

export async function stats(job: Job): Promise<number> {
  const { out, options } = job;
  let counts = new Counts();
  const look = await lookAt(job, {
    begin: () => {
      counts = new Counts();
    },
    onBatch: (_segment: SegmentFile, batch: ScannedBatch) => counts.batch(batch),
  });
  const { inspection } = look;
  const segments = inspection.survey?.segments ?? [];
  const pinning: Pinning[] = [];
  let pinningGroups = 0;
  const live = liveBytesOf(inspection.index, segments.length, ({ groupId, oldestBytes }) => {
    if (oldestBytes === 0) return;
    pinningGroups++;
    pinning.push({ group: groupId, bytes: oldestBytes });
    if (pinning.length === pinningHeld) keepMostPinning(pinning);
  });
  keepMostPinning(pinning);
  const liveBytes = live.reduce((sum, bytes) => sum + bytes, 0);
  const { batchSizes, entrySizes } = counts;
  const paddingBytes =
    counts.bytes - counts.bodyBytes - batchHeaderBytes * batchSizes.count + counts.fillerBytes;
  const facts = {
    batches: {
      count: batchSizes.count,
      bytes: counts.bytes,
      meanBytes: batchSizes.mean,
      maxBytes: batchSizes.max,
      carried: counts.carried,
      unsynced: counts.unsynced,
      sizes: batchSizes.buckets(),
    },
    entries: {
      count: entrySizes.count,
      bytes: entrySizes.sum,
      meanBytes: entrySizes.mean,
      maxBytes: entrySizes.max,
      sizes: entrySizes.buckets(),
    },
    paddingShare: counts.bytes === 0 ? 0 : paddingBytes / counts.bytes,
    lz4: {
      entries: counts.compressed,
      storedBytes: counts.compressedStored,
      rawBytes: counts.compressedRaw,
    },
    records: Object.fromEntries([...counts.types].sort(([a], [b]) => (a < b ? -1 : 1))),
    groups: inspection.index.groups.size,
    liveBytes,
    liveShare: counts.bytes === 0 ? 0 : liveBytes / counts.bytes,
    oldestSegment: segments[0] === undefined ? null : segmentLabel(segments[0].segId),
    pinningGroups,
    pinning,
    refusal: inspection.refusal,
  };
  if (options.json) {
    out.line(JSON.stringify(facts));
    return outcomeOf(look).code;
  }
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  out.line(
    `batches ${digits(batchSizes.count)}, ${digits(counts.bytes)} bytes, mean ${digits(Math.round(batchSizes.mean))}, ` +
      `largest ${digits(batchSizes.max)}, carried over ${counts.carried}, unsynced ${counts.unsynced}`,
  );
  for (const line of batchSizes.lines()) out.line(line);
  out.line(
    `entries ${digits(entrySizes.count)}, ${digits(entrySizes.sum)} bytes stored, mean ${digits(Math.round(entrySizes.mean))}, ` +
      `largest ${digits(entrySizes.max)}`,
  );
  for (const line of entrySizes.lines()) out.line(line);
  out.line(`padding ${percent(facts.paddingShare)} of the batches`);
  if (counts.compressed > 0) {
    const ratio = counts.compressedRaw / counts.compressedStored;
    out.line(`lz4 ${digits(counts.compressed)} entries, ${ratio.toFixed(2)} to 1`);
  }
  for (const [type, { count, bytes }] of Object.entries(facts.records))
    out.line(`records ${type} ${digits(count)}, ${digits(bytes)} bytes`);
  out.line(
    `live ${digits(liveBytes)} bytes of entries in ${digits(facts.groups)} groups, ${percent(facts.liveShare)}`,
  );
  if (facts.oldestSegment !== null) {
    out.line(
      `oldest segment ${facts.oldestSegment} holds live entries of ${digits(pinningGroups)} groups`,
    );
  }
  for (const { group, bytes } of facts.pinning) out.line(`  group ${group} ${digits(bytes)} bytes`);
  const until = untilLine(inspection);
  if (until !== null) out.line(until);
  return outcomeOf(look).code;
}
