// What the checkers beside the linearizability search answer: every planted or real fault by name, and whether the
// history was able to show one at all. A history in which nobody looked proves nothing: 'unknown' is not passed.

export interface Finding<Kind extends string> {
  readonly kind: Kind;
  /** One sentence that names the operations by client and time. */
  readonly detail: string;
}

export interface CheckReport<Kind extends string> {
  readonly verdict: 'ok' | 'violation' | 'unknown';
  /** In the order in which they were found; none where the verdict is 'ok' or 'unknown'. */
  readonly findings: readonly Finding<Kind>[];
  /** Acknowledged writes that no operation which was called later had a chance to see. */
  readonly unread: number;
}

export function reportOf<Kind extends string>(
  findings: readonly Finding<Kind>[],
  unread: number,
): CheckReport<Kind> {
  if (findings.length > 0) return { verdict: 'violation', findings, unread };
  return { verdict: unread > 0 ? 'unknown' : 'ok', findings, unread };
}
