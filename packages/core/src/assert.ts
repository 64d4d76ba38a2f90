// The core's own assertion (it imports nothing, not even from `io`). It stays on in production. A failed one means a
// broken invariant of ours, never bad input: whoever catches it stops this group and does not step it again.

export class AssertionFailure extends Error {
  constructor(message: string) {
    super(`invariant broken: ${message}`);
    this.name = 'AssertionFailure';
  }
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}
