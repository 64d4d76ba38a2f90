// groups: what the log says of each group, as far as it could be read.

import { liveBytesOf, recoveredGroupsOf } from '@flotilla/wal';
import { outcomeOf } from '../exit-codes.ts';
import { lookAt } from '../look.ts';
import type { Job } from '../run.ts';
import { hexOf, segmentLabel, tableTo } from '../text.ts';
import { untilLine } from '../until-line.ts';

export async function groups(job: Job): Promise<number> {
  const { out, options } = job;
  const look = await lookAt(job);
  const { inspection } = look;
  const { refusal } = inspection;
  const segments = inspection.survey?.segments ?? [];
  const uses = new Map<number, { readonly bytes: number; readonly oldestSegment: string | null }>();
  liveBytesOf(inspection.index, segments.length, ({ groupId, bytes, oldestSlot }) => {
    const oldest = segments[oldestSlot];
    const oldestSegment = oldest === undefined ? null : segmentLabel(oldest.segId);
    uses.set(groupId, { bytes, oldestSegment });
  });
  const found = recoveredGroupsOf(inspection.index).filter(
    (group) => options.group === null || group.groupId === options.group,
  );
  if (options.json) {
    const facts = found.map(({ slot: _slot, ...group }) => ({
      ...group,
      ...uses.get(group.groupId),
    }));
    // Bytes (configurations, snapshot ids) as hex.
    const text = JSON.stringify({ groups: facts, refusal }, (_key, value: unknown) =>
      value instanceof Uint8Array ? hexOf(value) : value,
    );
    out.line(text);
    return outcomeOf(look).code;
  }
  const head = ['group', 'gen', 'first', 'last', 'commit', 'term', 'last term', 'vote'];
  const rows = found.map((group) => [
    group.groupId,
    group.generation,
    group.firstIndex,
    group.lastIndex,
    group.commit,
    group.term,
    group.termEnds.at(-1)?.term ?? group.prevTerm,
    group.vote.nodeId === 0 ? '-' : `${group.vote.nodeId}`,
    uses.get(group.groupId)?.bytes ?? 0,
    uses.get(group.groupId)?.oldestSegment ?? '-',
  ]);
  tableTo(out, [...head, 'bytes', 'oldest'], rows);
  const until = untilLine(inspection);
  if (until !== null) out.line(until);
  return outcomeOf(look).code;
}
