// The groups of an index as the host and the tools see them.

import type { RecoveredGroup } from './api.ts';
import type { LogIndex } from './log-index.ts';

/** All groups, in order of id. Allocates: for opening and for tools. */
export function recoveredGroupsOf(index: LogIndex): RecoveredGroup[] {
  const { groups } = index;
  const found: RecoveredGroup[] = [];
  for (let slot = 0; slot < groups.size; slot++) {
    found.push({
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
    });
  }
  return found.sort((a, b) => a.groupId - b.groupId);
}
