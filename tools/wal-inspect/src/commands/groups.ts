// groups: what the log says of each group, as far as it could be read. One group after the other, so that a hundred
// thousand of them take no more memory than the index has already.

import { groupSlotsOf, liveBytesOf, type RecoveredGroup, recoveredGroupAt } from '@flotilla/wal';
import { outcomeOf } from '../exit-codes.ts';
import { lookAt } from '../look.ts';
import { itemsTo } from '../output.ts';
import type { Job } from '../run.ts';
import { hexOf, segmentLabel, tableTo } from '../text.ts';
import { untilLine } from '../until-line.ts';

/** What the segments hold of a group. */
interface Use {
  readonly bytes: number;
  /** The oldest segment with one of its entries, or null. */
  readonly oldestSegment: string | null;
}

export async function groups(job: Job): Promise<number> {
  const { out, options } = job;
  const look = await lookAt(job);
  const { inspection } = look;
  const { refusal, index } = inspection;
  const segments = inspection.survey?.segments ?? [];
  const bytesOf = new Float64Array(index.groups.size);
  const oldestOf = new Int32Array(index.groups.size);
  liveBytesOf(index, segments.length, ({ slot, bytes, oldestSlot }) => {
    bytesOf[slot] = bytes;
    oldestOf[slot] = oldestSlot;
  });
  const useOf = (slot: number): Use => {
    const oldest = segments[oldestOf[slot] as number];
    const oldestSegment = oldest === undefined ? null : segmentLabel(oldest.segId);
    return { bytes: bytesOf[slot] as number, oldestSegment };
  };
  const wanted = groupSlotsOf(index).filter(
    (slot) => options.group === null || index.groups.groupId[slot] === options.group,
  );
  if (options.json) {
    out.part('{"groups":[');
    const item = itemsTo(out);
    for (const at of wanted) {
      const { slot, ...group } = recoveredGroupAt(index, at);
      item(jsonOf({ ...group, ...useOf(slot) }));
    }
    out.line(`],"refusal":${JSON.stringify(refusal)}}`);
    return outcomeOf(look).code;
  }
  const head = ['group', 'gen', 'first', 'last', 'commit', 'term', 'last term', 'vote'];
  const rows = {
    *[Symbol.iterator](): Generator<(string | number)[]> {
      for (const slot of wanted) yield rowOf(recoveredGroupAt(index, slot), useOf(slot));
    },
  };
  tableTo(out, [...head, 'bytes', 'oldest'], rows);
  const until = untilLine(inspection);
  if (until !== null) out.line(until);
  return outcomeOf(look).code;
}

/** Bytes (configurations, snapshot ids) as hex. */
function jsonOf(group: Omit<RecoveredGroup, 'slot'>): string {
  return JSON.stringify(group, (_key, value: unknown) =>
    value instanceof Uint8Array ? hexOf(value) : value,
  );
}

function rowOf(group: RecoveredGroup, { bytes, oldestSegment }: Use): (string | number)[] {
  return [
    group.groupId,
    group.generation,
    group.firstIndex,
    group.lastIndex,
    group.commit,
    group.term,
    group.termEnds.at(-1)?.term ?? group.prevTerm,
    group.vote.nodeId === 0 ? '-' : `${group.vote.nodeId}`,
    bytes,
    oldestSegment ?? '-',
  ];
}
