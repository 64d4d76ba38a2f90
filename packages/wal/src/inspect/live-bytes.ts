// How much of each segment the index still points to: what keeps it from being freed, and for whom.

import { recordHeadBytes } from '@flotilla/codec';
import type { LogIndex } from '../log-index.ts';

export interface GroupUse {
  readonly slot: number;
  readonly groupId: number;
  /** Bytes of its live records in all segments, and in the oldest one. */
  readonly bytes: number;
  readonly oldestBytes: number;
  /** Slot of the oldest segment that holds one of its entries, -1 = it has none. */
  readonly oldestSlot: number;
}

/** Live bytes of entries per segment slot. A record of which one entry is left counts whole. */
export function liveBytesOf(
  index: LogIndex,
  segments: number,
  visit: (use: GroupUse) => void = () => {},
): Float64Array {
  const live = new Float64Array(segments);
  const { groups } = index;
  for (let slot = 0; slot < groups.size; slot++) {
    let bytes = 0;
    let oldestBytes = 0;
    let oldestSlot = -1;
    const first = groups.first[slot] as number;
    for (let found = index.find(slot, first); found; found = index.findNext(slot)) {
      const { foundSegSlot: at, foundRecLen: recLen } = index;
      if (at >= segments || recLen < recordHeadBytes) continue;
      live[at] = (live[at] as number) + recLen;
      bytes += recLen;
      if (at === 0) oldestBytes += recLen;
      if (oldestSlot < 0 || at < oldestSlot) oldestSlot = at;
    }
    const groupId = groups.groupId[slot] as number;
    visit({ slot, groupId, bytes, oldestBytes, oldestSlot });
  }
  return live;
}
