// The bytes of a page as named fields, for hexdump: what stands where, as FORMAT.md has it. Only names are laid over the
// bytes; nothing here decides whether they are right.

import {
  blockBytesAt,
  blockCount,
  blockHeaderBytes,
  blockTableSlotBytes,
  recordHeadAt,
  recordTypes,
  storedLenOf,
  u16At,
  u32At,
  u64At,
  verifyBlockInRecord,
} from '@flotilla/codec';
import { batchHeaderBytes } from '@flotilla/wal';
import { typeNames } from './record-walk.ts';
import { hex32 } from './text.ts';

export interface Field {
  readonly at: number;
  readonly bytes: number;
  readonly text: string;
}

type Kind = 'u8' | 'u16' | 'u32' | 'u64' | 'crc' | 'magic' | 'bytes';
type Layout = readonly (readonly [name: string, kind: Kind, bytes?: number])[];

const segmentHeader: Layout = [
  ['magic', 'magic', 8],
  ['major', 'u16'],
  ['minor', 'u16'],
  ['headerLen', 'u32'],
  ['store uuid', 'bytes', 16],
  ['segId', 'u64'],
  ['salt', 'crc'],
  ['epoch', 'u32'],
  ['firstSeq', 'u64'],
  ['oldestSeg', 'u64'],
  ['prevSegId', 'u64'],
  ['prevEnd', 'u64'],
  ['prevLastSeq', 'u64'],
  ['prevHdrCrc', 'crc'],
  ['capacity in pages', 'u32'],
  ['incompat', 'u32'],
  ['compat', 'u32'],
  ['createdMs', 'u64'],
  ['zero', 'bytes', 12],
  ['header CRC', 'crc'],
];

const batchHeader: Layout = [
  ['magic', 'magic', 4],
  ['major', 'u8'],
  ['flags', 'u8'],
  ['headerLen', 'u16'],
  ['segId', 'u64'],
  ['seq', 'u64'],
  ['salt', 'crc'],
  ['page', 'u32'],
  ['bodyLen', 'u32'],
  ['records', 'u32'],
  ['durableSeq', 'u64'],
  ['prevHdrCrc', 'crc'],
  ['bodyCrc', 'crc'],
  ['epoch', 'u32'],
  ['header CRC', 'crc'],
];

const recordHead: Layout = [
  ['type', 'u8'],
  ['flags', 'u8'],
  ['generation (low)', 'u16'],
  ['recLen', 'u32'],
  ['group', 'u64'],
];

const blockHeader: Layout = [
  ['firstIndex', 'u64'],
  ['term', 'u64'],
  ['count', 'u32'],
  ['blockBytes', 'u32'],
  ['block CRC', 'crc'],
  ['reserved', 'u32'],
];

const vote: Layout = [
  ['vote nodeId', 'u32'],
  ['vote generation', 'u32'],
  ['vote instance', 'u64'],
];

/** Bodies of fixed fields; what follows them is shown as bytes. */
const bodies: Readonly<Record<number, Layout>> = {
  [recordTypes.hardState]: [['term', 'u64'], ...vote, ['commit', 'u64']],
  [recordTypes.truncateSuffix]: [['from', 'u64']],
  [recordTypes.compact]: [
    ['firstIndex', 'u64'],
    ['prevTerm', 'u64'],
  ],
  [recordTypes.snapshot]: [
    ['index', 'u64'],
    ['term', 'u64'],
    ['snapshot id', 'bytes', 16],
    ['size', 'u64'],
    ['crc', 'crc'],
    ['configuration bytes', 'u32'],
  ],
  [recordTypes.groupOpen]: [
    ['generation', 'u64'],
    ['replicaId', 'u64'],
  ],
  [recordTypes.groupRemove]: [['generation', 'u64'], ['term', 'u64'], ...vote],
  [recordTypes.groupState]: [
    ['generation', 'u64'],
    ['replicaId', 'u64'],
    ['term', 'u64'],
    ...vote,
    ['commit', 'u64'],
    ['firstIndex', 'u64'],
    ['prevTerm', 'u64'],
    ['lastIndex', 'u64'],
    ['configuration bytes', 'u32'],
    ['snapshot bytes', 'u32'],
  ],
};

const widths: Readonly<Record<Kind, number>> = {
  u8: 1,
  u16: 2,
  u32: 4,
  u64: 8,
  crc: 4,
  magic: 8,
  bytes: 0,
};

function valueText(bytes: Uint8Array, at: number, kind: Kind, length: number): string {
  switch (kind) {
    case 'u8':
      return ` ${bytes[at]}`;
    case 'u16':
      return ` ${u16At(bytes, at)}`;
    case 'u32':
      return ` ${u32At(bytes, at)}`;
    case 'u64': {
      const value = u64At(bytes, at);
      return value < 0 ? ' above 2^53 - 1' : ` ${value}`;
    }
    case 'crc':
      return ` ${hex32(u32At(bytes, at))}`;
    case 'magic':
      return ` ${JSON.stringify(Buffer.from(bytes.subarray(at, at + length)).toString('latin1'))}`;
    case 'bytes':
      return '';
  }
}

/** Lays the fields over the bytes up to `end`; answers where the next would begin. */
function lay(
  bytes: Uint8Array,
  from: number,
  end: number,
  layout: Layout,
  fields: Field[],
): number {
  let at = from;
  for (const [name, kind, given] of layout) {
    const length = given ?? widths[kind];
    if (at + length > end) break;
    fields.push({ at, bytes: length, text: name + valueText(bytes, at, kind, length) });
    at += length;
  }
  return at;
}

export function segmentHeaderFields(page: Uint8Array): Field[] {
  const fields: Field[] = [];
  const end = lay(page, 0, page.length, segmentHeader, fields);
  fields.push({ at: end, bytes: page.length - end, text: 'zero' });
  return fields;
}

/** Fields of a batch whose header stands at 0: header, records as far as they can be walked, and what is left. */
export function batchFields(batch: Uint8Array, bodyLen: number): Field[] {
  const fields: Field[] = [];
  let at = lay(batch, 0, batch.length, batchHeader, fields);
  const end = Math.min(batch.length, batchHeaderBytes + bodyLen);
  while (at < end) {
    const head = recordHeadAt(batch, at, end);
    if (head === null) {
      fields.push({ at, bytes: end - at, text: 'no record head can stand here' });
      at = end;
      break;
    }
    fields.push({ at, bytes: 0, text: `record ${typeNames[head.type] ?? `of type ${head.type}`}` });
    const recordEnd = at + head.recLen;
    let body = lay(batch, at, recordEnd, recordHead, fields);
    if (head.type === recordTypes.entries) body = layBlock(batch, body, recordEnd, fields);
    else body = lay(batch, body, recordEnd, bodies[head.type] ?? [], fields);
    if (body < recordEnd)
      fields.push({ at: body, bytes: recordEnd - body, text: 'rest of the record' });
    at = recordEnd;
  }
  if (at < batch.length)
    fields.push({ at, bytes: batch.length - at, text: 'to the end of the page' });
  return fields;
}

function layBlock(batch: Uint8Array, block: number, end: number, fields: Field[]): number {
  const verdict = verifyBlockInRecord(batch, block, end);
  fields.push({
    at: block,
    bytes: 0,
    text: `block, ${verdict === 'ok' ? 'whole' : `BAD (${verdict})`}`,
  });
  let at = lay(batch, block, end, blockHeader, fields);
  if (end - block < blockHeaderBytes) return at;
  const count = Math.min(blockCount(batch, block), Math.floor((end - at) / blockTableSlotBytes));
  const first = u64At(batch, block);
  const table = at;
  fields.push({ at, bytes: count * blockTableSlotBytes, text: `table of ${count} lengths` });
  at += count * blockTableSlotBytes;
  const blockEnd = Math.min(end, block + blockBytesAt(batch, block));
  for (let i = 0; i < count && at < blockEnd; i++) {
    const stored = storedLenOf(u32At(batch, table + blockTableSlotBytes * i));
    const length = Math.min(stored, blockEnd - at);
    fields.push({ at, bytes: length, text: `payload of index ${first + i}, ${stored} bytes` });
    at += length;
  }
  return at;
}

/** Rows of 16 bytes with the field's name beside the first; rows that repeat are one `*`. */
export function fieldRows(
  bytes: Uint8Array,
  fields: readonly Field[],
  from: number,
  to: number,
): string[] {
  const rows: string[] = [];
  for (const field of fields) {
    const start = Math.max(field.at, from);
    const end = Math.min(field.at + field.bytes, to);
    if (field.bytes === 0) {
      if (field.at >= from && field.at < to) rows.push(`-- ${field.text}`);
      continue;
    }
    let previous = '';
    let isSkipping = false;
    for (let at = start; at < end; at += 16) {
      const part = Buffer.from(bytes.subarray(at, Math.min(at + 16, end))).toString('hex');
      const isRepeated = at > start && part === previous && at + 16 < end;
      if (isRepeated && !isSkipping) rows.push('*');
      isSkipping = isRepeated;
      previous = part;
      if (isRepeated) continue;
      const spaced = part.replace(/../g, '$& ').trimEnd().padEnd(47);
      const name = at === start ? `  ${field.text}` : '';
      rows.push(`${(at - from).toString(16).padStart(4, '0')}  ${spaced}${name}`.trimEnd());
    }
  }
  return rows;
}
