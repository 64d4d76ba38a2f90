// groups: what the log says of each group, as far as it could be read.

import { recoveredGroupsOf } from '@flotilla/wal';
import type { Look } from './look.ts';
import { type Job, outcomeOf } from './run.ts';
import { hexOf, table } from './text.ts';

export function groups(job: Job, look: Look): number {
  const { inspection } = look;
  const { out, options } = job;
  const found = recoveredGroupsOf(inspection.index).filter(
    (group) => options.group === null || group.groupId === options.group,
  );
  if (options.json) {
    const facts = found.map(({ config, slot: _slot, ...group }) => ({
      ...group,
      config: hexOf(config),
    }));
    out.line(JSON.stringify({ groups: facts, refusal: inspection.refusal }));
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
  ]);
  for (const line of table(head, rows)) out.line(line);
  const { refusal } = inspection;
  if (refusal !== null) {
    out.line(`only up to batch ${inspection.lastSeq}: ${refusal.reason} in ${refusal.file}`);
  }
  return outcomeOf(look).code;
}
