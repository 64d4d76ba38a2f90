// What a command that shows contents says where the log could not be read to its end.

import type { Inspection } from '@flotilla/wal';

/** Up to where, and why no further; null where the end was reached. */
export function untilLine({ refusal, lastSeq }: Inspection): string | null {
  if (refusal === null) return null;
  const { reason, file, summary } = refusal;
  const until = lastSeq > 0 ? `only up to batch ${lastSeq}` : 'nothing was read';
  return `${until}: ${reason} in ${file}: ${summary}`;
}
