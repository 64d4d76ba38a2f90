// store: what STORE says, slot by slot, and what the witnesses add up to.

import type { StoreSlot } from '@flotilla/wal';
import { outcomeOf } from '../exit-codes.ts';
import { lookAt } from '../look.ts';
import type { Job } from '../run.ts';
import { hasTwoSlots, storeLine } from '../store-line.ts';
import { hexOf, segmentLabel, tableTo } from '../text.ts';

function slotFacts(slot: StoreSlot | null): Record<string, unknown> | null {
  return slot === null ? null : { ...slot, uuid: hexOf(slot.uuid) };
}

export async function store(job: Job): Promise<number> {
  const look = await lookAt(job);
  const { inspection } = look;
  const { survey, refusal } = inspection;
  const { out, options } = job;
  if (survey === null) {
    const { code } = outcomeOf(look);
    const reason = `${refusal?.reason ?? ''} in ${refusal?.file ?? ''}: ${refusal?.summary ?? ''}`;
    out.line(options.json ? JSON.stringify({ refusal }) : `no store can be read: ${reason}`);
    return code;
  }
  const { slots, witness, current } = survey.store;
  if (options.json) {
    const lazy = witness === null ? null : { ...witness, uuid: hexOf(witness.uuid) };
    out.line(
      JSON.stringify({
        a: slotFacts(slots[0]),
        b: slotFacts(slots[1]),
        w: lazy,
        current: slotFacts(current),
        witnesses: inspection.witnesses,
      }),
    );
    return outcomeOf(look).code;
  }
  const missing = hasTwoSlots(current) ? 'damaged' : 'never written';
  const row = (name: string, slot: StoreSlot | null): (string | number)[] =>
    slot === null
      ? [name, missing, '', '', '', '', '', '']
      : [
          name,
          slot === current ? 'current' : 'older',
          `${slot.slotSeq}`,
          `${slot.epoch}`,
          segmentLabel(slot.oldestSeg),
          segmentLabel(slot.newestSeg),
          `${slot.durableSeq}`,
          slot.cleanSeq > 0 ? `${slot.cleanSeq}` : 'no',
        ];
  const rows = [row('A', slots[0]), row('B', slots[1])];
  rows.push(
    witness === null
      ? ['W', 'absent', '', '', '', '', '', '']
      : ['W', 'witness', '', `${witness.epoch}`, '', '', `${witness.durableSeq}`, ''],
  );
  tableTo(out, ['slot', 'state', 'seq', 'epoch', 'oldest', 'newest', 'durable', 'clean'], rows);
  out.line(`instance ${current.instance} created ${new Date(current.createdMs).toISOString()}`);
  out.line(storeLine(inspection));
  return outcomeOf(look).code;
}
