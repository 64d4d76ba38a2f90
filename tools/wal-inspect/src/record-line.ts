// One record as one line of dump, tail and group, or as one JSON object.

import { batchFlags, batchHeaderBytes, pageBytes } from '@flotilla/wal';
import type { RecordFacts } from './record-walk.ts';
import { segmentLabel } from './text.ts';

/** The batch that a record stands in. */
export interface BatchFacts {
  readonly segId: number;
  readonly offset: number;
  readonly seq: number;
  readonly flags: number;
}

/** `2c:9114+544`: segment, page of the batch, offset from its header. */
export function placeOf(batch: BatchFacts, facts: RecordFacts): string {
  const page = batch.offset / pageBytes;
  return `${segmentLabel(batch.segId)}:${page}+${facts.offset + batchHeaderBytes}`;
}

export function recordJson(
  batch: BatchFacts,
  facts: RecordFacts,
  payloads: readonly string[],
): string {
  return JSON.stringify({ place: placeOf(batch, facts), seq: batch.seq, ...facts, payloads });
}

/** The line, and one more for each payload. */
export function recordLines(
  batch: BatchFacts,
  facts: RecordFacts,
  payloads: readonly string[],
): string[] {
  const { first, last, term, block, note } = facts;
  const range = first === 0 ? '' : ` ${first}${last > first ? `..${last}` : ''}`;
  const parts = [
    `${placeOf(batch, facts)} ${batch.seq} ${facts.type} group ${facts.group}${range}`,
    term === 0 ? '' : ` term ${term}`,
    block === '-' ? '' : ` crc ${block}`,
    note === '' ? '' : ` ${note}`,
    (batch.flags & batchFlags.carryOver) !== 0 ? ' carried over' : '',
  ];
  return [parts.join(''), ...payloads.map((line) => `    ${line}`)];
}
