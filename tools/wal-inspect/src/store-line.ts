// The line that names a store and what its witnesses add up to.

import type { Inspection, StoreSlot } from '@flotilla/wal';
import { hexOf, segmentLabel } from './text.ts';

/** Whether both slots of STORE were written: one that was just created has one only. */
export function hasTwoSlots({ slotSeq }: StoreSlot): boolean {
  return slotSeq > 1;
}

/** One line that names the store and its witnesses. */
export function storeLine(inspection: Inspection): string {
  const { survey, witnesses } = inspection;
  if (survey === null) return 'store unreadable';
  const { current } = survey.store;
  const { inLog, store, lazy, all } = witnesses;
  return (
    `store uuid ${hexOf(current.uuid)} epoch ${current.epoch} ` +
    `segments ${segmentLabel(current.oldestSeg)}..${segmentLabel(current.newestSeg)} ` +
    `clean=${current.cleanSeq > 0 ? 'yes' : 'no'} ` +
    `witness: batch ${all} (in-log ${inLog}, store ${store}, lazy ${lazy})`
  );
}
