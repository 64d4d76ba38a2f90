// The records of a batch as facts, one after the other. Works on damaged bodies too: it stops at the first head that
// cannot be, and a body that is none is called BAD.

import {
  blockBytesAt,
  blockCount,
  blockFirstIndex,
  blockHeaderBytes,
  blockTerm,
  entriesFlagRewrite,
  type RecordHead,
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

/** Valid during the visit only: a walk has one such object and writes the next record into it. */
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

/** The one record of a walk, its fields in the order of a line of JSON. */
class WalkedRecord implements RecordFacts {
  type = '';
  group = 0;
  offset = 0;
  recLen = 0;
  first = 0;
  last = 0;
  term = 0;
  block: RecordFacts['block'] = '-';
  note = '';

  /** A record whose body is not looked at yet. */
  take(type: string, group: number, offset: number, recLen: number): void {
    this.type = type;
    this.group = group;
    this.offset = offset;
    this.recLen = recLen;
    this.first = 0;
    this.last = 0;
    this.term = 0;
    this.block = '-';
    this.note = '';
  }
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
  const facts = new WalkedRecord();
  let at = start;
  while (at < end) {
    const head = recordHeadAt(bytes, at, end);
    if (head === null) return false;
    const type = typeNames[head.type] ?? `type ${head.type}`;
    facts.take(type, head.groupId, before + at - start, head.recLen);
    if (!takeBody(facts, bytes, at, head, isCut)) facts.note = 'BAD: a body that cannot be';
    visit(facts, at);
    at += head.recLen;
  }
  return true;
}

function voteText({ nodeId, generation, instance }: VoteIdentity): string {
  return nodeId === 0 ? 'none' : `${nodeId}/${generation}/${instance}`;
}

/** Fills in what the body says; false where it cannot be. */
function takeBody(
  facts: WalkedRecord,
  bytes: Uint8Array,
  at: number,
  head: RecordHead,
  isCut: boolean,
): boolean {
  const { type, flags, recLen } = head;
  switch (type) {
    case recordTypes.entries:
      if (recLen < recordHeadBytes + blockHeaderBytes) return false;
      takeEntries(facts, bytes, at, head, isCut);
      return true;
    case recordTypes.hardState: {
      if (recLen < recordHeadBytes + 32) return false;
      const { term, vote, commit } = hardStateAt(bytes, at);
      facts.term = term;
      facts.note = `commit=${commit} vote=${voteText(vote)}`;
      return true;
    }
    case recordTypes.truncateSuffix:
      if (recLen < recordHeadBytes + 8) return false;
      facts.first = u64At(bytes, at + 16);
      facts.note = 'drops from there on';
      return true;
    case recordTypes.groupOpen:
      if (recLen < recordHeadBytes + 16) return false;
      facts.note = `generation ${u64At(bytes, at + 16)} replica ${u64At(bytes, at + 24)}`;
      return true;
    case recordTypes.compact: {
      const body = compactAt(bytes, at);
      if (body === null) return false;
      facts.first = body.firstIndex;
      facts.note = `the log begins there, term before ${body.prevTerm}`;
      return true;
    }
    case recordTypes.snapshot: {
      const body = snapshotAt(bytes, at);
      if (body === null) return false;
      const resets = (flags & snapshotFlagReset) !== 0 ? ', replaces the log' : '';
      facts.first = body.index;
      facts.term = body.term;
      facts.note = `${Buffer.from(body.id).toString('hex')}, ${body.bytes} bytes${resets}`;
      return true;
    }
    case recordTypes.groupRemove: {
      const body = groupRemoveAt(bytes, at);
      if (body === null) return false;
      facts.term = body.term;
      facts.note = `tombstone of generation ${body.generation} vote=${voteText(body.vote)}`;
      return true;
    }
    case recordTypes.groupState: {
      const body = groupStateAt(bytes, at);
      if (body === null) return false;
      facts.first = body.firstIndex;
      facts.last = body.lastIndex;
      facts.term = body.term;
      facts.note = `generation ${body.generation} commit=${body.commit} vote=${voteText(body.vote)}`;
      return true;
    }
    default:
      return true;
  }
}

function takeEntries(
  facts: WalkedRecord,
  bytes: Uint8Array,
  at: number,
  head: RecordHead,
  isCut: boolean,
): void {
  const block = at + recordHeadBytes;
  // A block that is cut was verified before.
  const verdict = isCut ? 'ok' : verifyBlockInRecord(bytes, block, at + head.recLen);
  const isOk = verdict === 'ok';
  const moved = (head.flags & entriesFlagRewrite) !== 0 ? ' rewritten' : '';
  facts.first = blockFirstIndex(bytes, block);
  facts.last = facts.first + blockCount(bytes, block) - 1;
  facts.term = blockTerm(bytes, block);
  facts.block = isOk ? 'ok' : 'BAD';
  facts.note = (isOk ? `${blockBytesAt(bytes, block)} bytes` : verdict) + moved;
}
