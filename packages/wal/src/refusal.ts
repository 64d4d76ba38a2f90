// How recovery and opening say no: one FlotillaError with a reason, a place, the evidence, and what to do next.

import { type ErrorCode, FlotillaError, type IoError } from '@flotilla/io';

/** Why recovery refuses a directory. Stable: tools and tests switch on it. */
export type RefusalReason =
  /** Damage or loss of data that a witness says was acknowledged. */
  | 'E_CORRUPT_ACKED'
  /** Damage in a segment that a later one declares complete. */
  | 'E_CORRUPT'
  /** The last batch, un-witnessed, is one flipped bit away from being whole: a media or memory fault, not a torn write. */
  | 'E_SUSPECT_BITFLIP'
  | 'E_SEG_MISSING'
  /** A segment after the newest one that STORE knows holds batches: STORE is older than the data. */
  | 'E_SEG_UNEXPECTED'
  | 'E_SEG_HEADER'
  | 'E_UUID'
  | 'E_STORE'
  /** There is no STORE. */
  | 'E_ABSENT'
  /** Bytes whose checksums hold break the format. */
  | 'E_FORMAT'
  /** Records whose checksums hold contradict each other: a hole, a term or generation that goes back. */
  | 'E_HOLE'
  | 'E_STATE'
  | 'E_VERSION'
  | 'E_NOT_FILE'
  /** The directory itself is a link, or no directory. */
  | 'E_SYMLINK'
  | 'E_NOT_DIRECTORY'
  | 'E_IO';

export interface Refusal {
  readonly reason: RefusalReason;
  /** Name in the directory. */
  readonly file: string;
  /** Page in the file, 0 where none applies. */
  readonly page: number;
  /** Batch expected there, 0 where none applies. */
  readonly seq: number;
  readonly summary: string;
  readonly evidence: readonly string[];
  /** Where exactly one flipped bit explains the damage: its byte's offset in the file, and which of its bits. */
  readonly flippedBit?: { readonly offset: number; readonly bit: number };
}

/** Not the log is wrong but the way to it: files that are none, links, a failing or forbidding system. */
const systemReasons: readonly RefusalReason[] = [
  'E_ABSENT',
  'E_NOT_FILE',
  'E_SYMLINK',
  'E_NOT_DIRECTORY',
  'E_IO',
];

export function isSystemRefusal(reason: RefusalReason): boolean {
  return systemReasons.includes(reason);
}

function codeOf(reason: RefusalReason): ErrorCode {
  if (reason === 'E_VERSION') return 'WAL_VERSION';
  if (reason === 'E_ABSENT') return 'WAL_ABSENT';
  return isSystemRefusal(reason) ? 'IO_REFUSED' : 'WAL_CORRUPT';
}

/** The error that openWal's caller sees. */
export function refusalError(directory: string, refusal: Refusal, cause?: unknown): FlotillaError {
  const { reason, file, page, seq, summary, evidence } = refusal;
  const at = `${file}${page > 0 ? ` page ${page}` : ''}${seq > 0 ? ` batch ${seq}` : ''}`;
  const message = [
    `${reason}: ${at}: ${summary}; nothing on disk was changed`,
    ...evidence.map((line) => `  evidence: ${line}`),
    `  next: wal-inspect explain ${directory}; wal-inspect verify ${directory}; or re-seed this replica`,
  ].join('\n');
  return new FlotillaError(codeOf(reason), message, { reason, file, page, seq, evidence }, cause);
}

/** The operating system said no while opening: missing rights, a link, a failing disk. */
export function refusedBySystem(what: string, path: string, error: IoError): FlotillaError {
  const { code } = error;
  let reason = 'E_IO';
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') reason = 'E_ACCESS';
  if (code === 'ELOOP') reason = 'E_SYMLINK';
  return new FlotillaError(
    'IO_REFUSED',
    `cannot ${what} ${path}: ${error.message}`,
    { reason, file: path, code },
    error,
  );
}
