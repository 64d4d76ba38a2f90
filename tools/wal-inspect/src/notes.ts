// What opening tolerates and an operator may want to know: found by the same inspection, no part of its verdict.

import { batchFlags, type Inspection, pageBytes } from '@flotilla/wal';
import { hasTwoSlots } from './store-line.ts';

/** `unsynced`: batches that were written without a sync. */
export function notesOf(inspection: Inspection, unsynced: number): string[] {
  const { survey, segments, tail, verdict } = inspection;
  if (survey === null) return [];
  const notes: string[] = [];
  const [a, b] = survey.store.slots;
  if (a === null || b === null) {
    if (hasTwoSlots(survey.store.current))
      notes.push(`slot ${a === null ? 'A' : 'B'} of STORE is damaged`);
  }
  for (const name of survey.strays) notes.push(`${name} is not a file of the log`);
  for (const name of survey.leftovers) notes.push(`${name} was left by a purge that was cut short`);
  for (const { name } of survey.beyond)
    notes.push(`${name} was left by a rotation or an opening that was cut short`);
  for (const segment of segments) {
    if (segment.bytes < segment.capacityBytes)
      notes.push(`${segment.name} has ${segment.bytes} bytes instead of ${segment.capacityBytes}`);
  }
  if (tail !== null && verdict !== 'torn' && verdict !== 'refused') {
    if (tail.fault === 'stale')
      notes.push(`an earlier life of the file shows from page ${tail.page} on`);
    else if (!tail.isZeroAfter && tail.fault === 'zero')
      notes.push(`something that is no batch stands behind page ${tail.offset / pageBytes}`);
  }
  if (unsynced > 0)
    notes.push(`${unsynced} batches were written without a sync (flag ${batchFlags.unsynced})`);
  return notes;
}
