// The error that users of Flotilla see for everything that can go wrong while it runs.
//
// Codes are stable and documented one by one in docs/reference/errors.md (a test compares the two lists); messages are
// for people and may change. Misuse of an API (a wrong argument) is a TypeError or RangeError instead, and a broken
// invariant is an AssertionFailure from assert.ts.

/** Every operational error code, with whether trying the same call again can help without anybody acting first. */
export const errorCodes = {
  /** This replica does not lead the group; `details.leaderHint` names who does, if known. */
  NOT_LEADER: { retryable: true },
  /** A queue is at its byte cap; nothing was taken. */
  BUSY: { retryable: true },
  /** The write was handed over, but whether it committed cannot be known here. */
  OUTCOME_UNKNOWN: { retryable: false },
  /** The write certainly did not happen: it was dropped before it left this process. */
  DROPPED: { retryable: true },
  /** The call's time limit passed; a write may still commit. */
  TIMED_OUT: { retryable: false },
  /** The host or the group is shut down. */
  CLOSED: { retryable: false },
  /** One entry is larger than `entryBytesMax`. */
  ENTRY_TOO_LARGE: { retryable: false },
  /** No such group on this host. */
  UNKNOWN_GROUP: { retryable: false },
  /** A group of this id exists already. */
  GROUP_EXISTS: { retryable: false },
  /** The replica stopped for good: its state machine threw, or its log is damaged. */
  GROUP_FATAL: { retryable: false },
  /** A change of members waits for the one before it, or for the leader's first commit; nothing was changed. */
  CONFIG_IN_PROGRESS: { retryable: true },
  /** No group can have these members; `details.kind` says why. */
  MEMBERSHIP_INVALID: { retryable: false },
  /** A node that is to join does not answer, or has no replica that waits to; nothing was changed. `details.reason` says which. */
  MEMBER_NOT_READY: { retryable: true },
  /** This host's replica was removed from its group; what is left is a tombstone. */
  REPLICA_REMOVED: { retryable: false },
  /** A key is served by another shard or host; `details` names it. */
  WRONG_SHARD: { retryable: true },
  /** An option has a value that cannot work; `details.problems` lists each one. */
  CONFIG_INVALID: { retryable: false },
  /** Another process has the data directory open. */
  WAL_LOCKED: { retryable: false },
  /** The log directory holds no store, and creating one was not asked for. */
  WAL_ABSENT: { retryable: false },
  /** The log directory holds something that is not an empty folder or a store. */
  WAL_NOT_EMPTY: { retryable: false },
  /** Recovery refuses: damage of acknowledged data, or a directory that does not fit together. `details.reason` says which. */
  WAL_CORRUPT: { retryable: false },
  /** The store was written by a version or with a feature that this one does not know. */
  WAL_VERSION: { retryable: false },
  /** The log is at its limit and cannot free space. */
  WAL_FULL: { retryable: true },
  /** A write or fsync of the log failed; the host stops for good. */
  WAL_POISONED: { retryable: false },
  /** A record failed its checksum when it was read back. */
  WAL_ENTRY_CORRUPT: { retryable: false },
  /** Reading the log failed. */
  WAL_READ_FAILED: { retryable: false },
  /** The directory, a file in it, or an address cannot be used as asked. */
  IO_REFUSED: { retryable: false },
  /** The data directory belongs to another host, store or cluster. */
  IDENTITY_MISMATCH: { retryable: false },
  /** A frame or record from a peer breaks the protocol; the connection is closed. */
  PROTOCOL_VIOLATION: { retryable: false },
  /** A peer refused the handshake; `details.reason` is its code. */
  HANDSHAKE_REJECTED: { retryable: false },
} as const;

export type ErrorCode = keyof typeof errorCodes;

/** An operational failure. Switch on `code`; never parse `message`. */
export class FlotillaError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'FlotillaError';
    this.code = code;
    this.retryable = errorCodes[code].retryable;
    this.details = details;
  }
}

/**
 * The same error without a stack, for answers that an overloaded host gives by the hundred thousand: taking the stack
 * costs several times as much as the call that is refused, and it would only show the way through the engine.
 */
export function errorWithoutStack(
  code: ErrorCode,
  message: string,
  details: Readonly<Record<string, unknown>> = {},
): FlotillaError {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return new FlotillaError(code, message, details);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
