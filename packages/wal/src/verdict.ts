// The decision about the end of the log, as a pure function of facts: does the newest segment end here in good order, is
// there a torn tail that nobody was told about, or is acknowledged data damaged? Everything else in recovery only
// gathers these facts.
//
//   X is the first page of the newest segment that does not continue the log, s the batch expected there, D the highest
//   batch that any witness says was durable.

import type { RefusalReason } from './refusal.ts';

/**
 * What stands at X:
 * `end` the segment is full; `zero` only zeros; `stale` a header of an earlier life of the file, whole;
 * `short` the file ends; `header` bytes that are no whole header; `body` a whole header over a body whose CRC fails;
 * `misplaced` a whole header of this segment that belongs to another page; `order` one that breaks sequence, chain or
 * epoch; `format` a batch whose checksums hold but whose lengths or records cannot be; `version` one of a format that
 * this code does not know.
 */
export type TailFault =
  | 'end'
  | 'zero'
  | 'stale'
  | 'short'
  | 'header'
  | 'body'
  | 'misplaced'
  | 'order'
  | 'format'
  | 'version';

export interface TailFacts {
  readonly fault: TailFault;
  /** s <= D. */
  readonly isWitnessed: boolean;
  /** A whole header stands on a later page, of a batch with seq >= s. */
  readonly hasLater: boolean;
  /** Such a one says durableSeq >= s. */
  readonly laterProves: boolean;
  /** The batch at X is whole but for exactly one bit. */
  readonly isOneBit: boolean;
  readonly suspectTail: 'refuse' | 'discard';
}

export type TailVerdict = 'cleanEnd' | 'torn' | RefusalReason;

export function decideTail(facts: TailFacts): TailVerdict {
  const { fault, hasLater } = facts;
  // Checksums hold: nothing was torn here, whatever the witnesses say.
  if (fault === 'version') return 'E_VERSION';
  if (fault === 'format') return 'E_FORMAT';
  if (facts.isWitnessed || facts.laterProves) return 'E_CORRUPT_ACKED';
  if (fault === 'misplaced' || fault === 'order') return 'E_CORRUPT';
  if (fault === 'end' || fault === 'zero' || fault === 'stale')
    return hasLater ? 'torn' : 'cleanEnd';
  if (facts.isOneBit && !hasLater && facts.suspectTail === 'refuse') return 'E_SUSPECT_BITFLIP';
  return 'torn';
}
