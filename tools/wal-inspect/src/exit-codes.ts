// What the exit code of the command says, for scripts.

import { isSystemRefusal, type Refusal } from '@flotilla/wal';

export const exitCodes = {
  clean: 0,
  usage: 1,
  torn: 2,
  corrupt: 3,
  io: 4,
  locked: 5,
  version: 6,
} as const;

export interface Outcome {
  /** What the verdict is called on the command line. */
  readonly verdict:
    | 'clean'
    | 'clean end'
    | 'live'
    | 'torn'
    | 'CORRUPT'
    | 'UNREADABLE'
    | 'UNKNOWN VERSION';
  readonly code: number;
}

/** The outcome of one inspection; `isLive`: another process has the store open. */
export function outcomeOf(look: {
  readonly inspection: {
    readonly refusal: Refusal | null;
    readonly verdict: 'clean' | 'cleanEnd' | 'torn' | 'refused';
  };
  readonly isLive: boolean;
}): Outcome {
  const { refusal, verdict } = look.inspection;
  if (refusal !== null) {
    if (refusal.reason === 'E_VERSION')
      return { verdict: 'UNKNOWN VERSION', code: exitCodes.version };
    return isSystemRefusal(refusal.reason)
      ? { verdict: 'UNREADABLE', code: exitCodes.io }
      : { verdict: 'CORRUPT', code: exitCodes.corrupt };
  }
  if (verdict !== 'torn')
    return { verdict: verdict === 'clean' ? 'clean' : 'clean end', code: exitCodes.clean };
  // The tail of a log that somebody writes right now is not torn but in the making.
  return look.isLive
    ? { verdict: 'live', code: exitCodes.clean }
    : { verdict: 'torn', code: exitCodes.torn };
}
