// export: every group and its live entries as JSON lines, payloads in base64: what another program needs to take over
// what a log holds, or to compare it with something else.

import { recoveredGroupsOf } from '@flotilla/wal';
import { exitCodes, outcomeOf } from '../exit-codes.ts';
import { RunReader } from '../index-runs.ts';
import { lookAt } from '../look.ts';
import { eachEntry } from '../payload.ts';
import type { Job } from '../run.ts';
import { hexOf } from '../text.ts';

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}

export async function exportEntries(job: Job): Promise<number> {
  const { out, options } = job;
  const look = await lookAt(job);
  const { inspection } = look;
  const reader = new RunReader(job, options.directory, inspection);
  let broken = 0;
  const wanted = recoveredGroupsOf(inspection.index).filter(
    (group) => options.group === null || group.groupId === options.group,
  );
  for (const found of wanted) {
    const { slot: _slot, ...group } = found;
    out.line(
      JSON.stringify({ kind: 'group', ...group }, (_key, value: unknown) =>
        value instanceof Uint8Array ? hexOf(value) : value,
      ),
    );
    const { groupId } = group;
    let index = Math.max(group.firstIndex, options.indexes.from);
    const end = Math.min(group.lastIndex, options.indexes.to);
    while (index <= end) {
      const run = await reader.at(groupId, index);
      if (run === null) {
        // Compacted while this was written.
        const first = reader.rangeOf(groupId)?.first ?? 0;
        if (first <= index) break;
        index = first;
        continue;
      }
      const last = Math.min(run.last, end);
      if (run.broken !== null) {
        broken++;
        out.line(
          JSON.stringify({ kind: 'lost', group: groupId, first: index, last, why: run.broken }),
        );
      } else {
        const { term } = run;
        eachEntry(run.bytes, run.block, { from: index, to: last }, (entry) => {
          const { type, codec } = entry;
          const payload = base64Of(entry.stored);
          out.line(
            JSON.stringify({
              kind: 'entry',
              group: groupId,
              index: entry.index,
              term,
              type,
              codec,
              payload,
            }),
          );
        });
      }
      index = run.last + 1;
    }
  }
  await reader.close();
  const { refusal, lastSeq } = inspection;
  const complete = refusal === null && broken === 0;
  out.line(JSON.stringify({ kind: 'end', groups: wanted.length, lastSeq, complete, refusal }));
  return broken > 0 && refusal === null ? exitCodes.corrupt : outcomeOf(look).code;
}
