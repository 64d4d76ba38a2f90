// export: every group and its live entries as JSON lines, payloads in base64: what another program needs to take over
// what a log holds, or to compare it with something else.

import { groupSlotsOf, recoveredGroupAt } from '@flotilla/wal';
import { exitCodes, outcomeOf } from '../exit-codes.ts';
import { type LiveRun, RunReader } from '../index-runs.ts';
import { lookAt } from '../look.ts';
import type { Output } from '../output.ts';
import { eachEntry } from '../payload.ts';
import type { Job } from '../run.ts';
import { hexOf } from '../text.ts';

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}

/** A multiple of three, so that pieces of base64 join. */
const pieceBytes = 3 * 64 * 1024;

/** The line of a large entry; `line` is the one with an empty payload. */
function writePieces(out: Output, line: string, stored: Uint8Array): void {
  out.part(line.slice(0, -2));
  for (let from = 0; from < stored.length; from += pieceBytes)
    out.part(base64Of(stored.subarray(from, from + pieceBytes)));
  out.line(line.slice(-2));
}

/** The line of an entry that is too large to be held; `line` is the one with an empty payload. */
async function writeCut(out: Output, line: string, reader: RunReader, run: LiveRun): Promise<void> {
  out.part(line.slice(0, -2));
  for (let from = 0; ; from += pieceBytes) {
    const piece = await reader.pieceOf(run, from, pieceBytes);
    out.part(base64Of(piece));
    if (piece.length < pieceBytes) break;
  }
  out.line(line.slice(-2));
}

export async function exportEntries(job: Job): Promise<number> {
  const { out, options } = job;
  const look = await lookAt(job);
  const { inspection } = look;
  const reader = new RunReader(job, options.directory, inspection);
  let broken = 0;
  const { index: log } = inspection;
  const wanted = groupSlotsOf(log).filter(
    (slot) => options.group === null || log.groups.groupId[slot] === options.group,
  );
  for (const at of wanted) {
    const { slot: _slot, ...group } = recoveredGroupAt(log, at);
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
        let cutLine = '';
        eachEntry(run.bytes, run.block, { from: index, to: last }, (entry) => {
          const { type, codec, index: at } = entry;
          const isHeld = entry.stored.length <= pieceBytes && !run.isCut;
          const payload = isHeld ? base64Of(entry.stored) : '';
          const line = JSON.stringify({
            kind: 'entry',
            group: groupId,
            index: at,
            term,
            type,
            codec,
            payload,
          });
          if (run.isCut) cutLine = line;
          else if (isHeld) out.line(line);
          else writePieces(out, line, entry.stored);
        });
        if (run.isCut) await writeCut(out, cutLine, reader, run);
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
