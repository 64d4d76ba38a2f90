// The records of a batch as lines, one fact each. Works on damaged bodies too: it stops at the first head that cannot be.

import {
  blockBytesAt,
  blockCount,
  blockFirstIndex,
  blockHeaderBytes,
  blockTableSlotBytes,
  blockTerm,
  recordHeadAt,
  recordHeadBytes,
  recordTypes,
  storedLenOf,
  u32At,
  u64At,
  verifyBlockInRecord,
} from '@flotilla/codec';
import { hardStateAt } from '@flotilla/wal';
import type { PayloadForm, Range } from './options.ts';

export const typeNames: Readonly<Record<number, string>> = {
  [recordTypes.entries]: 'ENTRIES',
  [recordTypes.hardState]: 'HARDSTATE',
  [recordTypes.truncateSuffix]: 'TRUNCATE',
  [recordTypes.compact]: 'COMPACT',
  [recordTypes.snapshot]: 'SNAPSHOT',
  [recordTypes.groupOpen]: 'GROUP_OPEN',
  [recordTypes.groupRemove]: 'GROUP_REMOVE',
  [recordTypes.groupState]: 'GROUP_STATE',
  [recordTypes.footer]: 'FOOTER',
  [recordTypes.pad]: 'PAD',
};

export interface RecordFacts {
  readonly type: string;
  readonly group: number;
  /** Offset from the batch header. */
  readonly offset: number;
  readonly recLen: number;
  readonly first: number;
  readonly last: number;
  readonly term: number;
  /** ENTRIES: whether the block's CRC and shape hold. */
  readonly block: 'ok' | 'BAD' | '-';
  readonly note: string;
  readonly payloads: readonly string[];
}

/** Visits the records of the body bytes[start, end); answers false where the walk had to stop before `end`. */
export function eachRecord(
  bytes: Uint8Array,
  start: number,
  end: number,
  payload: { readonly form: PayloadForm; readonly indexes: Range },
  visit: (facts: RecordFacts) => void,
): boolean {
  let at = start;
  while (at < end) {
    const head = recordHeadAt(bytes, at, end);
    if (head === null) return false;
    const type = typeNames[head.type] ?? `type ${head.type}`;
    const base = { type, group: head.groupId, offset: at - start, recLen: head.recLen };
    visit({ ...base, ...bodyFacts(bytes, at, head.type, head.recLen, payload) });
    at += head.recLen;
  }
  return true;
}

type BodyFacts = Omit<RecordFacts, 'type' | 'group' | 'offset' | 'recLen'>;
const plain: BodyFacts = { first: 0, last: 0, term: 0, block: '-', note: '', payloads: [] };

function bodyFacts(
  bytes: Uint8Array,
  at: number,
  type: number,
  recLen: number,
  payload: { readonly form: PayloadForm; readonly indexes: Range },
): BodyFacts {
  if (type === recordTypes.entries && recLen >= recordHeadBytes + blockHeaderBytes) {
    const block = at + recordHeadBytes;
    const first = blockFirstIndex(bytes, block);
    const verdict = verifyBlockInRecord(bytes, block, at + recLen);
    const isOk = verdict === 'ok';
    return {
      first,
      last: first + blockCount(bytes, block) - 1,
      term: blockTerm(bytes, block),
      block: isOk ? 'ok' : 'BAD',
      note: isOk ? `${blockBytesAt(bytes, block)} bytes` : verdict,
      payloads: isOk ? payloadsOf(bytes, block, payload) : [],
    };
  }
  if (type === recordTypes.hardState && recLen >= 48) {
    const { term, vote, commit } = hardStateAt(bytes, at);
    return {
      ...plain,
      term,
      note: `commit=${commit} vote=${vote.nodeId}/${vote.generation}/${vote.instance}`,
    };
  }
  if (type === recordTypes.truncateSuffix && recLen >= 24) {
    return { ...plain, first: u64At(bytes, at + 16), note: 'drops from there on' };
  }
  if (type === recordTypes.groupOpen && recLen >= 32) {
    const note = `generation ${u64At(bytes, at + 16)} replica ${u64At(bytes, at + 24)}`;
    return { ...plain, note };
  }
  return plain;
}

function payloadsOf(
  bytes: Uint8Array,
  block: number,
  payload: { readonly form: PayloadForm; readonly indexes: Range },
): string[] {
  if (payload.form === 'none') return [];
  const count = blockCount(bytes, block);
  const first = blockFirstIndex(bytes, block);
  const lines: string[] = [];
  let at = block + blockHeaderBytes + blockTableSlotBytes * count;
  for (let i = 0; i < count; i++) {
    const length = storedLenOf(u32At(bytes, block + blockHeaderBytes + blockTableSlotBytes * i));
    const index = first + i;
    if (index >= payload.indexes.from && index <= payload.indexes.to) {
      const view = Buffer.from(bytes.buffer, bytes.byteOffset + at, length);
      // JSON keeps control characters of a payload off the terminal.
      const text =
        payload.form === 'hex' ? view.toString('hex') : JSON.stringify(view.toString('utf8'));
      lines.push(`${index}: ${text}`);
    }
    at += length;
  }
  return lines;
}
