// Assertions that stay on in production. A failed one means a broken invariant of ours, never bad input: whoever
// catches it stops the group (or the host, if the log is concerned) and does not retry.

export class AssertionFailure extends Error {
  constructor(message: string) {
    super(`invariant broken: ${message}`);
    this.name = 'AssertionFailure';
  }
}

/** Throws AssertionFailure when `condition` is false. Pass a function where building the message costs something. */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new AssertionFailure(typeof message === 'string' ? message : message());
}

/** The `default` of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`unexpected ${String(value)}`);
}
