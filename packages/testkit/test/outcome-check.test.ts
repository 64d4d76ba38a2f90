// P3, the check of unknown outcomes in the simulated cluster, shown what it must not let pass.

import { describe, expect, test } from 'vitest';
import { OutcomeCheck } from '../src/cluster/outcome-check.ts';
import { ViolationLog } from '../src/cluster/violation.ts';

describe('an outcome that is said to be unknown', () => {
  const make = (): { check: OutcomeCheck; log: ViolationLog; time: { event: number } } => {
    const log = new ViolationLog(
      () => 0,
      () => {},
    );
    const time = { event: 1 };
    return { log, time, check: new OutcomeCheck(log, () => time.event) };
  };

  test('P3: must not be that of a command which the host has applied', () => {
    const { check, log, time } = make();
    check.applied('n1', 7);
    time.event = 2;
    check.unknown('n1', 7);
    expect(log.first?.invariant).toBe('P3');
  });

  test('P3: may be that of a command which others have applied, nobody has, or this very event does', () => {
    const { check, log, time } = make();
    check.unknown('n1', 7);
    check.applied('n2', 7);
    time.event = 2;
    check.unknown('n1', 7);
    check.applied('n1', 7);
    check.unknown('n1', 7);
    expect(log.first).toBe(null);
  });
});
