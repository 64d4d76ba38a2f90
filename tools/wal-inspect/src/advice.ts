// What a verdict means and what to do about it, in words for the person who reads it at night. One entry a reason;
// commands are complete, so that they can be pasted.

import { type Inspection, type RefusalReason, segmentIdOf } from '@flotilla/wal';
import { segmentLabel } from './text.ts';

export interface Advice {
  readonly meaning: string;
  readonly next: readonly string[];
}

const reseed =
  're-seed this replica: take this host out of its groups, give it an empty directory, add it again; the others have the data';

const meanings: Readonly<Record<RefusalReason, string>> = {
  E_CORRUPT_ACKED:
    'data that was once durable and acknowledged is damaged or gone; a torn write cannot explain it. Opening without it could lose committed writes or a vote',
  E_CORRUPT:
    'a part of the log that was complete, and is followed by more, is damaged: a failing disk, or another program that wrote here',
  E_SUSPECT_BITFLIP:
    'the last batch is whole but for one bit. A torn write leaves other traces; memory or media changed the bit, and the batch may have been acknowledged',
  E_SEG_MISSING:
    'a file that STORE counts as part of the log is not in the directory. Files of the log are never removed by hand',
  E_SEG_UNEXPECTED:
    'STORE comes from an earlier time than the segments: a backup was put back in parts, or a disk forgot a write it had acknowledged',
  E_SEG_HEADER:
    'a file does not say that it is the segment its name claims: it is damaged, or it was copied or renamed',
  E_UUID: 'a file of another log lies in this directory',
  E_STORE:
    'neither copy of the record that says which files are the log is whole; without it nobody knows what was acknowledged',
  E_ABSENT:
    'there is no STORE: either no log was ever here, or the file that says which segments are the log is gone',
  E_FORMAT:
    'the checksums hold, so the bytes are as they were written, but they break the format: a bug, or somebody wrote them on purpose',
  E_HOLE:
    'the checksums hold, but the records contradict each other: a bug, or files of different times',
  E_STATE:
    'the checksums hold, but the records contradict each other: a bug, or files of different times',
  E_VERSION: 'a newer version wrote this log, or needs features that this one does not know',
  E_NOT_FILE: 'something that is no plain file stands where a file of the log belongs',
  E_SYMLINK: 'the directory is reached through a link, which could change under a running host',
  E_NOT_DIRECTORY: 'this is not a directory',
  E_IO: 'the operating system does not let it be read: permissions, a name that is not there, or a failing disk',
};

export function adviceFor(inspection: Inspection, directory: string, isLive: boolean): Advice {
  const { refusal, verdict, tail } = inspection;
  if (refusal === null) {
    if (verdict === 'clean')
      return { meaning: 'the log was closed in good order', next: ['nothing: it opens'] };
    if (verdict === 'cleanEnd') {
      const meaning = isLive
        ? 'a host has it open; what is written is whole'
        : 'it was not closed, as after a crash; everything written is whole';
      return { meaning, next: ['nothing: it opens with all of its batches'] };
    }
    if (isLive) return { meaning: 'a host is writing its last batch', next: ['nothing'] };
    return {
      meaning:
        'the machine or the process stopped while a batch was being written. No witness says that it was durable, so nobody was told that it is',
      next: [`nothing: opening drops ${tail?.discardedBytes ?? 0} bytes and says so`],
    };
  }
  const label = `${segmentLabel(segmentIdOf(refusal.file))}:${refusal.page}`;
  const out = `${directory.replace(/\/+$/, '')}.new`;
  const repair = `${program()} repair ${quoted(directory)} --out ${quoted(out)}`;
  const dropAfter = `if no other replica has the data: ${repair} --drop-after ${label} --accept-data-loss`;
  const meaning = meanings[refusal.reason];
  const mend =
    refusal.flippedBit === undefined
      ? []
      : [`${repair} --fix-bitflip ${label}   (loses nothing; check memory and disk)`];
  switch (refusal.reason) {
    case 'E_CORRUPT_ACKED':
    case 'E_CORRUPT':
      return { meaning, next: [...mend, reseed, ...(refusal.page > 0 ? [dropAfter] : [])] };
    case 'E_SUSPECT_BITFLIP':
      return {
        meaning,
        next: [
          ...mend,
          "if you know that nobody was told of this batch: start once with suspectTail 'discard', in cluster.json or Host.open; it is dropped",
        ],
      };
    case 'E_SEG_MISSING':
      return { meaning, next: [`put ${refusal.file} back, if it was moved`, reseed] };
    case 'E_SEG_UNEXPECTED':
      return {
        meaning,
        next: [
          'put the STORE back that belongs to these segments',
          reseed,
          `if no other replica has the data: ${repair} --rebuild-store --accept-data-loss`,
        ],
      };
    case 'E_SEG_HEADER':
      return { meaning, next: [...mend, `put the right ${refusal.file} back`, reseed] };
    case 'E_UUID':
      return { meaning, next: ['put the right file back', reseed] };
    case 'E_STORE':
      return {
        meaning,
        next: [
          reseed,
          `if no other replica has the data: ${repair} --rebuild-store --accept-data-loss`,
        ],
      };
    case 'E_ABSENT':
      return {
        meaning,
        next: [
          'give the directory that holds STORE, or put STORE back',
          `if segments are there and no other replica has the data: ${repair} --rebuild-store --accept-data-loss`,
        ],
      };
    case 'E_FORMAT':
    case 'E_HOLE':
    case 'E_STATE':
      return {
        meaning,
        next: [
          `${program()} dump ${quoted(directory)}   (what stands before it)`,
          'keep the directory: it is the evidence of a bug',
          reseed,
        ],
      };
    case 'E_VERSION':
      return { meaning, next: ['open it with the version that wrote it, or a newer one'] };
    case 'E_NOT_FILE':
      return { meaning, next: [`remove or replace ${refusal.file}, then try again`] };
    case 'E_SYMLINK':
    case 'E_NOT_DIRECTORY':
      return { meaning, next: ['give the directory itself'] };
    case 'E_IO':
      if (inspection.cause === null) {
        return {
          meaning:
            'nothing is known to be wrong. A host writes here, and gave up the segments each time before they were read',
          next: ['look again under less load, or have the host make a checkpoint and look at that'],
        };
      }
      return { meaning, next: ['make it readable, then try again'] };
  }
}

/** How this program is called where it was called from: what is printed can be pasted. */
function program(): string {
  return process.env.npm_lifecycle_event === 'wal-inspect'
    ? 'npm run -s wal-inspect --'
    : 'wal-inspect';
}

/** A path as a shell takes it. */
function quoted(path: string): string {
  return /^[\w./@%+,:-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
