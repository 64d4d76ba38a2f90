// An index as text: everything that recovery learned of each group, and where each of its runs stands. Two indexes with
// the same text are the same log.

import type { LogIndex } from '../src/log-index.ts';

export function indexText(index: LogIndex): string {
  const { groups } = index;
  const lines: string[] = [`live ${index.use.totalBytes}`];
  for (let slot = 0; slot < groups.size; slot++) {
    const columns = [
      groups.groupId,
      groups.generation,
      groups.replicaId,
      groups.first,
      groups.last,
      groups.commit,
      groups.term,
      groups.voteNode,
      groups.voteGeneration,
      groups.voteInstance,
      groups.prevTerm,
      groups.lastTerm,
      groups.status,
      groups.stateSegment,
      groups.stateBytes,
    ];
    const config = Buffer.from(groups.config[slot] ?? []).toString('hex');
    const snapshot = groups.snapshot[slot]?.index ?? 0;
    const values = columns.map((column) => column[slot]).join(' ');
    const ends = index.termEnds(slot).map((end) => `${end.term}:${end.lastIndex}`);
    lines.push(`${values} ${config} ${snapshot} ${ends.join(',')}`);
    const last = groups.last[slot] as number;
    for (let at = groups.first[slot] as number; at <= last; at = index.foundLast + 1) {
      // Of a log that was refused halfway, runs may stand nowhere yet.
      if (!index.find(slot, at)) {
        lines.push(`  nothing at ${at}`);
        break;
      }
      const { foundFirst, foundLast, foundSegSlot, foundOffset, foundRecLen } = index;
      lines.push(`  ${foundFirst}..${foundLast} ${foundSegSlot}:${foundOffset}+${foundRecLen}`);
    }
  }
  return lines.join('\n');
}
