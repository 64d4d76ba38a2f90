// The records of a batch as facts, one after the other. Works on damaged bodies too: it stops at the first head that
// cannot be, and a body that is none is called BAD.

import {
  blockBytesAt,
  blockCount,
  blockFirstIndex,
  blockHeaderBytes,
  blockTerm,
  entriesFlagRewrite,
  recordHeadAt,
  recordHeadBytes,
  recordTypes,
  u64At,
  verifyBlockInRecord,
} from '@flotilla/codec';
import {
  compactAt,
  groupRemoveAt,
  groupStateAt,
  hardStateAt,
  snapshotAt,
  snapshotFlagReset,
  type VoteIdentity,
} from '@flotilla/wal';

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
  /** Offset from the first record of the batch. */
  readonly offset: number;
  readonly recLen: number;
  readonly first: number;
  readonly last: number;
  readonly term: number;
  /** ENTRIES: whether the block's CRC and shape hold. */
  readonly block: 'ok' | 'BAD' | '-';
  readonly note: string;
}

/** What stands between two indexes of `bytes`, behind `before` bytes of the body (BatchPart of the log). */
export interface RecordSpan {
  readonly bytes: Uint8Array;
  readonly recordsAt: number;
  readonly recordsEnd: number;
  readonly before: number;
  readonly isCut: boolean;
}

/** Visits the records; answers false where the walk had to stop before their end. */
export function eachRecord(
  { bytes, recordsAt: start, recordsEnd: end, before, isCut }: RecordSpan,
  visit: (facts: RecordFacts, at: number) => void,
): boolean {
  let at = start;
  while (at < end) {
    const head = recordHeadAt(bytes, at, end);
    if (head === null) return false;
    const type = typeNames[head.type] ?? `type ${head.type}`;
    const base = { type, group: head.groupId, offset: before + at - start, recLen: head.recLen };
    visit({ ...base, ...bodyFacts(bytes, at, head, isCut) }, at);
    at += head.recLen;
  }
  return true;
}

type BodyFacts = Omit<RecordFacts, 'type' | 'group' | 'offset' | 'recLen'>;
const plain: BodyFacts = { first: 0, last: 0, term: 0, block: '-', note: '' };
const impossible: BodyFacts = { ...plain, note: 'BAD: a body that cannot be' };

function voteText({ nodeId, generation, instance }: VoteIdentity): string {
  return nodeId === 0 ? 'none' : `${nodeId}/${generation}/${instance}`;
}

function bodyFacts(
  bytes: Uint8Array,
  at: number,
  head: { readonly type: number; readonly flags: number; readonly recLen: number },
  isCut: boolean,
): BodyFacts {
  const { type, flags, recLen } = head;
  switch (type) {
    case recordTypes.entries:
      return recLen < recordHeadBytes + blockHeaderBytes
        ? impossible
        : entriesFacts(bytes, at, head, isCut);
    case recordTypes.hardState: {
      if (recLen < recordHeadBytes + 32) return impossible;
      const { term, vote, commit } = hardStateAt(bytes, at);
      return { ...plain, term, note: `commit=${commit} vote=${voteText(vote)}` };
    }
    case recordTypes.truncateSuffix:
      if (recLen < recordHeadBytes + 8) return impossible;
      return { ...plain, first: u64At(bytes, at + 16), note: 'drops from there on' };
    case recordTypes.groupOpen:
      if (recLen < recordHeadBytes + 16) return impossible;
      return {
        ...plain,
        note: `generation ${u64At(bytes, at + 16)} replica ${u64At(bytes, at + 24)}`,
      };
    case recordTypes.compact: {
      const body = compactAt(bytes, at);
      if (body === null) return impossible;
      const { firstIndex: first, prevTerm } = body;
      return { ...plain, first, note: `the log begins there, term before ${prevTerm}` };
    }
    case recordTypes.snapshot: {
      const body = snapshotAt(bytes, at);
      if (body === null) return impossible;
      const resets = (flags & snapshotFlagReset) !== 0 ? ', replaces the log' : '';
      const note = `${Buffer.from(body.id).toString('hex')}, ${body.bytes} bytes${resets}`;
      return { ...plain, first: body.index, term: body.term, note };
    }
    case recordTypes.groupRemove: {
      const body = groupRemoveAt(bytes, at);
      if (body === null) return impossible;
      const note = `tombstone of generation ${body.generation} vote=${voteText(body.vote)}`;
      return { ...plain, term: body.term, note };
    }
    case recordTypes.groupState: {
      const body = groupStateAt(bytes, at);
      if (body === null) return impossible;
      const { firstIndex: first, lastIndex: last, term, commit, generation } = body;
      const note = `generation ${generation} commit=${commit} vote=${voteText(body.vote)}`;
      return { ...plain, first, last, term, note };
    }
    default:
      return plain;
  }
}

function entriesFacts(
  bytes: Uint8Array,
  at: number,
  head: { readonly flags: number; readonly recLen: number },
  isCut: boolean,
): BodyFacts {
  const block = at + recordHeadBytes;
  const first = blockFirstIndex(bytes, block);
  // A block that is cut was verified before.
  const verdict = isCut ? 'ok' : verifyBlockInRecord(bytes, block, at + head.recLen);
  const isOk = verdict === 'ok';
  const moved = (head.flags & entriesFlagRewrite) !== 0 ? ' rewritten' : '';
  return {
    first,
    last: first + blockCount(bytes, block) - 1,
    term: blockTerm(bytes, block),
    block: isOk ? 'ok' : 'BAD',
    note: (isOk ? `${blockBytesAt(bytes, block)} bytes` : verdict) + moved,
  };
}
