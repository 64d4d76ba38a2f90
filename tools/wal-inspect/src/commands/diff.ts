// diff: what two logs say of the same groups. Logs of two replicas may end at different places and still agree; what
// may not be is another term, or with --deep other bytes, at an index that both call committed.

import {
  groupSlotsOf,
  type Inspection,
  type RecoveredGroup,
  recoveredGroupAt,
} from '@flotilla/wal';
import { exitCodes, outcomeOf } from '../exit-codes.ts';
import { type LiveRun, RunReader } from '../index-runs.ts';
import { lookAt } from '../look.ts';
import { eachEntry } from '../payload.ts';
import type { Job } from '../run.ts';

interface Difference {
  readonly group: number;
  readonly what: string;
  /** Two replicas may not differ in this. */
  readonly isConflict: boolean;
}

export async function diff(job: Job): Promise<number> {
  const { out, options } = job;
  const [a = '', b = ''] = options.arguments;
  const looks = [await lookAt(job, { directory: a }), await lookAt(job, { directory: b })] as const;
  const outcomes = looks.map(outcomeOf);
  const [left, right] = [looks[0].inspection.index, looks[1].inspection.index];
  const readers = [
    new RunReader(job, a, looks[0].inspection),
    new RunReader(job, b, looks[1].inspection),
  ] as const;
  let conflicts = 0;
  let differences = 0;
  const tell = (difference: Difference): void => {
    differences++;
    if (difference.isConflict) conflicts++;
    const mark = difference.isConflict ? 'CONFLICT' : 'differs ';
    out.line(
      options.json
        ? JSON.stringify(difference)
        : `${mark} group ${difference.group} ${difference.what}`,
    );
  };
  let groups = 0;
  for (const [id, slot, otherSlot] of pairsOf(left, right)) {
    if (options.group !== null && id !== options.group) continue;
    groups++;
    if (slot < 0 || otherSlot < 0) {
      tell({ group: id, what: `is only in ${slot < 0 ? b : a}`, isConflict: false });
      continue;
    }
    const one = recoveredGroupAt(left, slot);
    const other = recoveredGroupAt(right, otherSlot);
    for (const what of fieldsThatDiffer(one, other)) tell({ group: id, what, isConflict: false });
    const committed = Math.min(one.commit, other.commit);
    const parted = firstTermThatDiffers(one, other);
    if (parted > 0) {
      const isConflict = parted <= committed;
      tell({ group: id, what: `terms part at index ${parted}`, isConflict });
    }
    if (options.deep) {
      const until = parted > 0 ? parted - 1 : Math.min(one.lastIndex, other.lastIndex);
      const at = await firstPayloadThatDiffers(readers, one, other, until);
      if (at !== null)
        tell({ group: id, what: `payloads part at index ${at.index}${at.why}`, isConflict: true });
    }
  }
  await readers[0].close();
  await readers[1].close();
  for (const [side, outcome] of outcomes.entries()) {
    const { refusal } = looks[side as 0 | 1].inspection;
    if (refusal !== null)
      out.error(`wal-inspect: ${[a, b][side]} is ${outcome.verdict}: ${refusal.reason}`);
  }
  const code = conflicts > 0 ? exitCodes.corrupt : Math.max(...outcomes.map((one) => one.code));
  if (options.json) {
    out.line(JSON.stringify({ groups, differences, conflicts, exit: code }));
  } else {
    out.line(`${groups} groups, ${differences} differences, ${conflicts} conflicts`);
  }
  return code;
}

/** The groups of both logs in order of id, with their slots; -1 where a log does not have the group. */
function* pairsOf(
  left: Inspection['index'],
  right: Inspection['index'],
): Generator<[number, number, number]> {
  const [slots, otherSlots] = [groupSlotsOf(left), groupSlotsOf(right)];
  let i = 0;
  let j = 0;
  while (i < slots.length || j < otherSlots.length) {
    const slot = slots[i] ?? -1;
    const otherSlot = otherSlots[j] ?? -1;
    const id = slot < 0 ? Number.POSITIVE_INFINITY : (left.groups.groupId[slot] as number);
    const otherId =
      otherSlot < 0 ? Number.POSITIVE_INFINITY : (right.groups.groupId[otherSlot] as number);
    if (id <= otherId) i++;
    if (otherId <= id) j++;
    yield [Math.min(id, otherId), id <= otherId ? slot : -1, otherId <= id ? otherSlot : -1];
  }
}

function fieldsThatDiffer(one: RecoveredGroup, other: RecoveredGroup): string[] {
  const fields = ['generation', 'firstIndex', 'lastIndex', 'commit', 'term'] as const;
  const found: string[] = fields
    .filter((field) => one[field] !== other[field])
    .map((field) => `${field} ${one[field]} / ${other[field]}`);
  if (one.vote.nodeId !== other.vote.nodeId)
    found.push(`vote ${one.vote.nodeId} / ${other.vote.nodeId}`);
  return found;
}

/** The lowest index that both have with different terms, 0 = there is none. Walks runs of terms, not entries. */
function firstTermThatDiffers(one: RecoveredGroup, other: RecoveredGroup): number {
  let index = Math.max(one.firstIndex, other.firstIndex);
  const end = Math.min(one.lastIndex, other.lastIndex);
  let i = 0;
  let j = 0;
  while (index <= end) {
    while ((one.termEnds[i]?.lastIndex ?? end) < index) i++;
    while ((other.termEnds[j]?.lastIndex ?? end) < index) j++;
    const a = one.termEnds[i];
    const b = other.termEnds[j];
    if (a === undefined || b === undefined) return 0;
    if (a.term !== b.term) return index;
    index = Math.min(a.lastIndex, b.lastIndex) + 1;
  }
  return 0;
}

async function firstPayloadThatDiffers(
  [a, b]: readonly [RunReader, RunReader],
  one: RecoveredGroup,
  other: RecoveredGroup,
  until: number,
): Promise<{ readonly index: number; readonly why: string } | null> {
  let index = Math.max(one.firstIndex, other.firstIndex);
  while (index <= until) {
    const left = await a.at(one.groupId, index);
    const right = await b.at(other.groupId, index);
    if (left === null || right === null) {
      // Compacted while this was read.
      const [first, otherFirst] = [a, b].map((side) => side.rangeOf(one.groupId)?.first ?? 0);
      const next = Math.max(first ?? 0, otherFirst ?? 0);
      if (next <= index) return null;
      index = next;
      continue;
    }
    const broken = left.broken ?? right.broken;
    if (broken !== null) return { index, why: `: ${broken}` };
    const to = Math.min(left.last, right.last, until);
    if (left.isCut || right.isCut) {
      if (!(await isSameCut([a, b], [left, right]))) return { index, why: '' };
      index = to + 1;
      continue;
    }
    const stored: Uint8Array[] = [];
    const range = { from: index, to };
    eachEntry(left.bytes, left.block, range, (entry) => stored.push(entry.stored));
    let parted = 0;
    eachEntry(right.bytes, right.block, range, (entry) => {
      const mine = stored[entry.index - index];
      const isSame = mine !== undefined && Buffer.compare(mine, entry.stored) === 0;
      if (!isSame && parted === 0) parted = entry.index;
    });
    if (parted > 0) return { index: parted, why: '' };
    index = to + 1;
  }
  return null;
}

const pieceBytes = 256 * 1024;

/** Whether two entries that are too large to be held are stored alike. */
async function isSameCut(
  [a, b]: readonly [RunReader, RunReader],
  [left, right]: readonly [LiveRun, LiveRun],
): Promise<boolean> {
  if (!left.isCut || !right.isCut) return false;
  for (let from = 0; ; from += pieceBytes) {
    const mine = await a.pieceOf(left, from, pieceBytes);
    const other = await b.pieceOf(right, from, pieceBytes);
    if (Buffer.compare(mine, other) !== 0) return false;
    if (mine.length < pieceBytes) return true;
  }
}
