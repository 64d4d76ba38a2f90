// The groups of an index as the host and the tools see them.

import type { RecoveredGroup } from './api.ts';
import type { LogIndex } from './log-index.ts';

/** All groups, in order of id. Allocates: for opening. */
export function recoveredGroupsOf(index: LogIndex): RecoveredGroup[] {
  return Array.from(groupSlotsOf(index), (slot) => recoveredGroupAt(index, slot));
}

/** Slots of all groups, in order of id: for a tool that looks at one group after the other and keeps none. */
export function groupSlotsOf(index: LogIndex): Int32Array {
  const { groupId, size } = index.groups;
  const slots = Int32Array.from({ length: size }, (_none, slot) => slot);
  return slots.sort((a, b) => (groupId[a] as number) - (groupId[b] as number));
}

/** What the log says of the group of a slot. Allocates. */
export function recoveredGroupAt(index: LogIndex, slot: number): RecoveredGroup {
  const { groups } = index;
  return {
    slot,
    groupId: groups.groupId[slot] as number,
    generation: groups.generation[slot] as number,
    replicaId: groups.replicaId[slot] as number,
    config: groups.config[slot] as Uint8Array,
    term: groups.term[slot] as number,
    vote: {
      nodeId: groups.voteNode[slot] as number,
      generation: groups.voteGeneration[slot] as number,
      instance: groups.voteInstance[slot] as number,
    },
    commit: groups.commit[slot] as number,
    firstIndex: groups.first[slot] as number,
    prevTerm: groups.prevTerm[slot] as number,
    lastIndex: groups.last[slot] as number,
    termEnds: index.termEnds(slot),
    configurationsAt: index.configurationsAt(slot),
    snapshot: groups.snapshot[slot] ?? null,
    isRemoved: groups.isRemoved(slot),
  };
}
