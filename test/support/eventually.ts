// Waiting for a condition with a deadline, instead of sleeping for a time that may be too short or is always too long.

const pollMs = 20;

export interface WaitOptions {
  /** What is waited for, for the message of a failure. */
  readonly what: string;
  readonly deadlineMs?: number;
}

/** Resolves with the first answer of `look` that is neither null nor false nor undefined. */
export async function eventually<T>(
  look: () => T | Promise<T>,
  { what, deadlineMs = 30_000 }: WaitOptions,
): Promise<NonNullable<Exclude<T, false>>> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const answer = await look();
    if (answer !== null && answer !== undefined && answer !== false) {
      return answer as NonNullable<Exclude<T, false>>;
    }
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** `promise`, or a failure that says what was waited for. */
export async function within<T>(
  promise: Promise<T>,
  { what, deadlineMs = 30_000 }: WaitOptions,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`waited ${deadlineMs} ms in vain: ${what}`)),
      deadlineMs,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
